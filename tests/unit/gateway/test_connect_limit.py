from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.connect_limit import ConnectLimit


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


def taken(limit, n):
    """How many of so many at once come in."""
    return [limit.take() for _ in range(n)].count(None)


def test_a_seconds_worth_may_come_at_once(clock):
    limit = ConnectLimit(25, clock)
    assert taken(limit, 100) == 25
    clock.now_s += 0.2
    assert taken(limit, 100) == 5
    clock.now_s += 3600
    assert taken(limit, 100) == 25


def test_who_is_told_to_wait_comes_in_then(clock):
    limit = ConnectLimit(4, clock)
    assert taken(limit, 4) == 4
    clock.now_s += 0.125
    wait_s = limit.take()
    assert wait_s == 0.125
    clock.now_s += wait_s
    assert taken(limit, 2) == 1


def test_less_than_one_a_second_still_lets_one_in(clock):
    limit = ConnectLimit(0.5, clock)
    assert limit.take() is None
    assert limit.take() == 2.0
    clock.now_s += 2
    assert taken(limit, 2) == 1


def test_no_limit(clock):
    assert taken(ConnectLimit(0, clock), 10_000) == 10_000


@given(st.floats(0.1, 500), st.integers(0, 1 << 32))
def test_no_second_has_more_than_the_burst_and_the_rate(per_s, seed):
    clock, rng, came = Clock(), random.Random(seed), []
    limit = ConnectLimit(per_s, clock)
    for _ in range(300):
        clock.now_s += rng.expovariate(1) / per_s * rng.choice([0, 0.1, 2])
        if limit.take() is None:
            came.append(clock.now_s)
    for n, first_s in enumerate(came):
        inside = sum(first_s <= s < first_s + 1 for s in came[n:])
        assert inside <= max(1, per_s) + per_s + 1 + 1e-6
    assert came
