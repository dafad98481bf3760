"""What every allowance does: the one in this process and the one in Redis."""

from __future__ import annotations

import asyncio
import itertools
import math
import random

import pytest

from gateway.allowance import Limits, LocalAllowance, SameForAll
from gateway.realtime.server_events import RateLimit
from gateway.redis_allowance import RedisAllowance
from mesh.redis import connect

REQUESTS, TOKENS = 3, 100
LIMITS = SameForAll(REQUESTS, TOKENS)


class Clock:
    def __init__(self, now_s: float = 1_700_000_000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=["local", "redis"])
async def make(request, clock):
    """Makes one, by the test's clock."""
    redis = connect(request.getfixturevalue("streams_url")) if request.param == "redis" else None

    def make(limits: Limits = LIMITS) -> LocalAllowance | RedisAllowance:
        local = LocalAllowance(limits, clock)
        if redis is None:
            return local
        return RedisAllowance(redis, limits, local, server_time=clock)

    yield make
    if redis is not None:
        await redis.aclose()


async def test_requests_are_let_through_up_to_the_limit(make, clock):
    allowance = make()
    assert [await allowance.take_request("acme") for _ in range(4)] == [None, None, None, 60.0]
    clock.now_s += 59.5
    assert await allowance.take_request("acme") == 0.5
    clock.now_s += 0.5
    assert await allowance.take_request("acme") is None


async def test_what_was_refused_is_not_counted(make, clock):
    allowance = make()
    for _ in range(20):
        await allowance.take_request("acme")
        clock.now_s += 1
    clock.now_s += 42
    assert [await allowance.take_request("acme") for _ in range(3)] == [None] * 3


async def test_who_waits_as_told_is_let_through(make, clock):
    allowance, rng = make(), random.Random(1)
    for _ in range(60):
        clock.now_s += rng.random() * 25
        if rng.random() < 0.3:
            await allowance.spend_tokens("acme", rng.randrange(120))
        wait_s = await allowance.take_request("acme")
        if wait_s is not None:
            assert 0 < wait_s <= 61
            clock.now_s += wait_s + 1e-6  # a float has no better than that
            assert await allowance.take_request("acme") is None


async def test_a_request_that_nobody_may_refuse_counts(make):
    allowance = make()
    for _ in range(5):
        await allowance.count_request("acme")
    assert await allowance.take_request("acme") == 60.0
    assert [figure.remaining for figure in await allowance.spend_tokens("acme", 0)] == [0, 100]


async def test_tokens_refuse_the_next_request(make, clock):
    allowance = make()
    await allowance.spend_tokens("acme", TOKENS - 1)
    assert await allowance.take_request("acme") is None
    clock.now_s += 10
    await allowance.spend_tokens("acme", TOKENS)
    assert await allowance.take_request("acme") == 60.0
    clock.now_s += 60
    assert await allowance.take_request("acme") is None


async def test_what_is_left_is_told_as_the_protocol_does(make, clock):
    allowance = make()
    await allowance.take_request("acme")
    await allowance.spend_tokens("acme", 130)
    clock.now_s += 20.5
    assert await allowance.spend_tokens("acme", 0) == (
        RateLimit("requests", 3, 2, 39.5),
        RateLimit("tokens", 100, 0, 39.5),
    )
    assert await allowance.spend_tokens("acme", 1) == (
        RateLimit("requests", 3, 2, 39.5),
        RateLimit("tokens", 100, 0, pytest.approx(60, abs=1)),
    )
    assert await allowance.spend_tokens("acme", -5) == await allowance.spend_tokens("acme", 0)


@pytest.mark.parametrize(
    "other", ["zen", "acme ", "ACME", "{acme}", "acme:", "{", "a" * 100_000, "Ä\n\0 *"]
)
async def test_a_tenant_pays_for_itself_only(make, other):
    allowance = make()
    for _ in range(4):
        await allowance.take_request(other)
    assert await allowance.take_request(other) == 60.0
    assert await allowance.take_request("acme") is None
    assert await allowance.spend_tokens("acme", 7) == (
        RateLimit("requests", 3, 2, 60.0),
        RateLimit("tokens", 100, 93, 60.0),
    )


@pytest.mark.parametrize(("limits", "names"), [((0, 5), ["tokens"]), ((5, 0), ["requests"])])
async def test_no_limit_refuses_nobody_and_is_not_told(make, limits, names):
    allowance = make(SameForAll(*limits))
    left = await allowance.spend_tokens("acme", 4)
    assert [figure.name for figure in left] == names
    assert {await allowance.take_request("acme") for _ in range(5)} == {None}
    allowance = make(SameForAll(0, 0))
    assert await allowance.spend_tokens("acme", 1 << 40) == ()
    assert {await allowance.take_request("acme") for _ in range(50)} == {None}


async def test_large_numbers_are_kept_whole(make):
    allowance = make(SameForAll(0, 1 << 50))
    await allowance.spend_tokens("acme", (1 << 49) + 1)
    [left] = await allowance.spend_tokens("acme", 2)
    assert left.remaining == (1 << 49) - 3


async def test_limits_may_change_at_any_time(make):
    changed = {"limits": (1, 0)}

    class Changing:
        def of(self, tenant):
            return changed["limits"]

    allowance = make(Changing())
    assert [await allowance.take_request("acme") for _ in range(2)] == [None, 60.0]
    changed["limits"] = (3, 0)
    assert [await allowance.take_request("acme") for _ in range(3)] == [None, None, 60.0]
    changed["limits"] = (2, 0)
    assert await allowance.take_request("acme") == 60.0
    changed["limits"] = (0, 0)
    assert await allowance.take_request("acme") is None


async def test_two_who_ask_at_once_do_not_share_a_place(make):
    allowance = make(SameForAll(100, 0))
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(allowance.take_request("acme")) for _ in range(400)]
    assert sum(task.result() is None for task in asked) == 100


@pytest.mark.parametrize("pause_s", [0.013, 0.21, 0.7, 1.9])
async def test_no_minute_has_more_than_its_limit_and_few_have_less(make, clock, pause_s):
    """Someone asks all the time, for five minutes; half of the time much faster."""
    allowance, rng = make(SameForAll(40, 0)), random.Random(round(pause_s * 1000))
    began_s, taken = clock.now_s, []
    while clock.now_s < began_s + 300:
        busy = math.floor((clock.now_s - began_s) / 45) % 2 == 0
        clock.now_s += rng.expovariate(1) * (pause_s if busy else 5)
        if await allowance.take_request("acme") is None:
            taken.append(clock.now_s)
    # A second counts as a whole: here at its first moment, in Redis at its last request's.
    slack_s = 1 if isinstance(allowance, LocalAllowance) else 0
    for first, after in zip(taken, taken[40:], strict=False):
        assert after - first >= 60 - slack_s - 1e-5
    if pause_s < 0.3:
        gaps = [later - earlier for earlier, later in itertools.pairwise(taken)]
        assert len(taken) >= 40 * 4
        assert max(gaps) < 62
