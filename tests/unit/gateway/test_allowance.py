from __future__ import annotations

import asyncio
import math

from hypothesis import given
from hypothesis import strategies as st

from gateway import allowance
from gateway.allowance import LocalAllowance, SameForAll, Share
from gateway.realtime.server_events import RateLimit

REQUESTS, TOKENS = 3, 100


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def local(requests: int, tokens: int, clock: Clock) -> LocalAllowance:
    return LocalAllowance(SameForAll(requests, tokens), clock)


class Naive:
    """Every request and token of the last sixty seconds, one by one."""

    def __init__(self) -> None:
        self.requests: list[int] = []
        self.tokens: list[tuple[int, int]] = []

    def spent(self, now_s: float) -> tuple[int, int]:
        first = math.floor(now_s) - 59
        requests = sum(second >= first for second in self.requests)
        return requests, sum(n for second, n in self.tokens if second >= first)

    def reset_s(self, now_s: float) -> tuple[float, float]:
        first = math.floor(now_s) - 59
        requests = [s + 60 - now_s for s in self.requests if s >= first]
        tokens = [s + 60 - now_s for s, n in self.tokens if s >= first and n]
        return max(requests, default=0), max(tokens, default=0)

    def wait_s(self, now_s: float) -> float | None:
        """Looks a tenth of a second at a time."""
        for tenths in range(0, 700):
            later_s = now_s + tenths / 10
            requests, tokens = self.spent(later_s)
            if requests < REQUESTS and tokens < TOKENS:
                return tenths / 10 or None
        raise AssertionError


MOVES = st.one_of(
    st.tuples(st.sampled_from(["request", "count"]), st.just(0)),
    st.tuples(st.just("tokens"), st.integers(0, 120)),
    st.tuples(st.just("wait"), st.integers(0, 700)),
)


@given(st.lists(MOVES, max_size=40))
def test_it_counts_as_someone_would_who_kept_everything(moves):
    with asyncio.Runner() as runner:
        runner.run(compared(moves))


async def compared(moves):
    clock, naive = Clock(), Naive()
    counted = local(REQUESTS, TOKENS, clock)
    for move, amount in moves:
        if move == "wait":
            clock.now_s = round(clock.now_s + amount / 10, 1)
        elif move == "tokens":
            figures = await counted.spend_tokens("acme", amount)
            assert figures == counted.figures("acme")
            naive.tokens.append((math.floor(clock.now_s), amount))
        elif move == "count":
            await counted.count_request("acme")
            naive.requests.append(math.floor(clock.now_s))
        else:
            expected_s, wait_s = naive.wait_s(clock.now_s), await counted.take_request("acme")
            if wait_s is None:
                assert expected_s is None
                naive.requests.append(math.floor(clock.now_s))
            else:
                assert expected_s is not None
                assert abs(wait_s - expected_s) <= 0.11
        figures = counted.figures("acme")
        spent, resets_s = naive.spent(clock.now_s), naive.reset_s(clock.now_s)
        for figure, used, reset_s in zip(figures, spent, resets_s, strict=True):
            assert figure.remaining == max(0, figure.limit - used)
            assert abs(figure.reset_seconds - reset_s) < 0.01


async def test_figures_are_told_as_the_protocol_does():
    clock = Clock()
    counted = local(REQUESTS, TOKENS, clock)
    assert await counted.take_request("acme") is None
    await counted.spend_tokens("acme", 130)
    clock.now_s += 20.5
    assert counted.figures("acme") == (
        RateLimit("requests", 3, 2, 39.5),
        RateLimit("tokens", 100, 0, 39.5),
    )
    assert counted.figures("zen") == (
        RateLimit("requests", 3, 3, 0.0),
        RateLimit("tokens", 100, 100, 0.0),
    )


async def test_a_refused_request_waits_until_there_is_room():
    clock = Clock()
    counted = local(REQUESTS, TOKENS, clock)
    assert [await counted.take_request("acme") for _ in range(4)] == [None, None, None, 60.0]
    clock.now_s += 59.9
    assert 0 < await counted.take_request("acme") < 0.2
    clock.now_s += 0.1
    assert await counted.take_request("acme") is None
    await counted.spend_tokens("acme", TOKENS)
    assert await counted.take_request("acme") == 60.0
    assert await counted.take_request("zen") is None


async def test_no_limit_is_neither_kept_nor_told():
    counted = local(0, 0, Clock())
    assert {await counted.take_request("acme") for _ in range(1000)} == {None}
    await counted.spend_tokens("acme", 1 << 40)
    assert counted.figures("acme") == ()


async def test_those_that_ask_nothing_are_forgotten(monkeypatch):
    monkeypatch.setattr(allowance, "_MOST_TENANTS", 10)
    clock = Clock()
    counted = local(REQUESTS, TOKENS, clock)
    for n in range(10):
        await counted.take_request(f"tenant {n}")
    clock.now_s += 61
    await counted.take_request("another")
    assert len(counted._windows) == 1


async def test_memory_does_not_grow_with_what_is_asked():
    clock = Clock()
    counted = local(0, 0, clock)
    for _ in range(5000):
        await counted.take_request("acme")
        await counted.spend_tokens("acme", 10)
        clock.now_s += 0.1
    assert len(counted._windows["acme"].spent) <= allowance.WINDOW_S


async def test_a_share_is_one_tenants_part():
    counted = local(REQUESTS, TOKENS, Clock())
    share = Share(counted, "acme")
    assert await share.take_request() is None
    assert [figure.remaining for figure in await share.spend_tokens(40)] == [2, 60]
    assert [figure.remaining for figure in counted.figures("zen")] == [3, 100]
