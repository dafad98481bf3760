"""How allowances count is in tests/contract/test_allowance.py."""

from __future__ import annotations

import asyncio
import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from redis.asyncio import Redis
from redis.exceptions import RedisClusterException

from gateway.allowance import LocalAllowance, SameForAll
from gateway.redis_allowance import PATIENCE_S, RedisAllowance, key
from mesh.redis import connect


class Clock:
    def __init__(self, now_s: float = 1_700_000_000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
async def redis(streams_url):
    redis = connect(streams_url)
    yield redis
    await redis.aclose()


def made(redis, requests=3, tokens=100, *, clock=None, server_time=None):
    limits, clock = SameForAll(requests, tokens), clock or Clock()
    local = LocalAllowance(limits, clock)
    return RedisAllowance(redis, limits, local, clock=clock, server_time=server_time)


def metric(name):
    return REGISTRY.get_sample_value(name)


async def test_two_gateways_share_a_tenants_limit(streams_url):
    one, other = connect(streams_url), connect(streams_url)
    gateways = [made(one, 100), made(other, 100)]
    async with asyncio.TaskGroup() as tasks:
        asked = [
            tasks.create_task(gateways[n % 2].take_request("acme"), name=f"{n}") for n in range(400)
        ]
    waits_s = [task.result() for task in asked]
    assert waits_s.count(None) == 100
    assert all(55 < wait_s <= 61 for wait_s in waits_s if wait_s is not None)
    await one.aclose()
    await other.aclose()


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["take", "take", "count", "spend"]),
        st.integers(0, 60),  # tokens
        st.sampled_from([0, 1, 1000, 300_000, 999_999, 1_000_000, 7_000_000, 30_000_000]),  # µs
    ),
    max_size=60,
)


class Naive:
    """Every request and token, one by one: a second is forgotten a minute after its last."""

    def __init__(self) -> None:
        self.spent: list[tuple[str, int, int]] = []  # what, µs, amount

    def counts(self, what, now_us):
        """(µs of its second's last, amount) of what is not forgotten, oldest first."""
        lasts = {us // 10**6: us for kind, us, _ in sorted(self.spent) if kind == what}
        rows = [(lasts[us // 10**6], n) for kind, us, n in self.spent if kind == what]
        return sorted(row for row in rows if row[0] > now_us - 60 * 10**6)

    def wait_us(self, what, limit, now_us):
        rows = self.counts(what, now_us)
        left = sum(n for _, n in rows)
        for last, n in rows:
            if left < limit:
                break
            left -= n
            if left < limit:
                return last + 60 * 10**6 - now_us
        return -1


@given(MOVES)
@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_it_counts_as_someone_would_who_kept_everything(streams_url, moves):
    async def compare():
        async with Redis.from_url(streams_url) as redis:
            await redis.flushdb()
            await compared(redis, moves)

    with asyncio.Runner() as runner:
        runner.run(compare())


async def compared(redis, moves):
    now_us, naive = 1_700_000_000_000_000, Naive()
    allowance = made(redis, server_time=lambda: now_us / 10**6)
    for move, n_tokens, pause_us in moves:
        now_us += pause_us
        if move == "take":
            waits = [naive.wait_us("requests", 3, now_us), naive.wait_us("tokens", 100, now_us)]
            wait_s = await allowance.take_request("acme")
            assert wait_s == (max(waits) / 10**6 if max(waits) >= 0 else None)
            if wait_s is None:
                naive.spent.append(("requests", now_us, 1))
        elif move == "count":
            await allowance.count_request("acme")
            naive.spent.append(("requests", now_us, 1))
        else:
            if n_tokens:
                naive.spent.append(("tokens", now_us, n_tokens))
            for figure in await allowance.spend_tokens("acme", n_tokens):
                rows = naive.counts(figure.name, now_us)
                assert figure.remaining == max(0, figure.limit - sum(n for _, n in rows))
                reset_us = rows[-1][0] + 60 * 10**6 - now_us if rows else 0
                assert figure.reset_seconds == round(reset_us / 10**6, 3)


async def test_it_goes_by_redis_clock(redis):
    """Whatever this machine's says."""
    allowance = made(redis, 1)
    assert await allowance.take_request("acme") is None
    second, _ = await redis.time()
    [found] = await redis.hkeys(key("acme"))
    assert second - 5 <= int(found) <= second


async def test_redis_keeps_little_and_forgets_in_time(redis):
    clock = Clock()
    allowance = made(redis, 0, 100, server_time=clock)
    for _ in range(500):
        await allowance.take_request("acme {x} \n")
        clock.now_s += 0.7
    [found] = await redis.keys()
    assert found == key("acme {x} \n").encode()
    assert b"acme" not in found
    assert b"{" not in found
    assert 0 < await redis.hlen(found) <= 62
    assert 60 < await redis.ttl(found) <= 120


async def test_who_has_no_limit_costs_redis_nothing(redis):
    allowance = made(redis, 0, 0)
    await allowance.take_request("acme")
    await allowance.count_request("acme")
    assert await allowance.spend_tokens("acme", 5) == ()
    assert await redis.keys() == []


async def test_a_refusal_writes_nothing(redis):
    clock = Clock()
    allowance = made(redis, 1, server_time=clock)
    await allowance.take_request("acme")
    before = await redis.hgetall(key("acme"))
    clock.now_s += 2
    assert await allowance.take_request("acme") == 58.0
    assert await redis.hgetall(key("acme")) == before


async def test_a_clock_that_is_set_back_locks_nobody_out(redis):
    """Another server takes over, whose clock is behind."""
    clock = Clock()
    allowance = made(redis, 2, server_time=clock)
    assert [await allowance.take_request("acme") for _ in range(3)] == [None, None, 60.0]
    clock.now_s -= 2.5
    assert await allowance.take_request("acme") == 62.5
    clock.now_s -= 3600
    assert [await allowance.take_request("acme") for _ in range(3)] == [None, None, 60.0]
    assert await redis.hlen(key("acme")) == 1


async def test_a_server_that_does_not_know_the_script_is_told(redis):
    allowance = made(redis, 2)
    await allowance.take_request("acme")
    await redis.script_flush()
    assert [await allowance.take_request("acme") for _ in range(2)] == [
        None,
        pytest.approx(60, 0.1),
    ]


async def test_one_call_a_check(redis):
    allowance = made(redis, 10)
    await allowance.take_request("acme")
    await redis.config_resetstat()
    for _ in range(4):
        await allowance.take_request("acme")
    await allowance.spend_tokens("acme", 5)
    stats = await redis.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] == 5
    assert "cmdstat_eval" not in stats


async def test_without_redis_the_process_decides_alone_and_says_so(own_redis, caplog):
    """It goes on from what Redis let through."""
    caplog.set_level(logging.INFO, "gateway")
    clock, redis = Clock(), connect(own_redis.url)
    allowance = made(redis, 3, clock=clock)
    assert await allowance.take_request("acme") is None
    await allowance.spend_tokens("acme", 40)
    alone = metric("gateway_limits_alone_total")
    own_redis.stop()
    for _ in range(2):
        assert await allowance.take_request("acme") is None
    assert await allowance.take_request("acme") == 60.0
    await allowance.count_request("zen")
    left = await allowance.spend_tokens("acme", 10)
    assert [figure.remaining for figure in left] == [0, 50]
    assert metric("gateway_limits_away") == 1
    assert metric("gateway_limits_alone_total") == alone + 5
    own_redis.start()
    assert await allowance.take_request("acme") == 60.0  # it is not asked every time
    clock.now_s += 1.1
    assert await allowance.take_request("acme") is None
    assert metric("gateway_limits_away") == 0
    assert [(r.levelname, r.message) for r in caplog.records] == [
        ("ERROR", "limits hold for this process alone"),
        ("WARNING", "limits hold for all gateways again"),
    ]
    assert "acme" not in caplog.text
    await redis.aclose()


class Stuck:
    """A Redis that takes a command and never answers."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def evalsha(self, *args):
        self.asked.set()
        await asyncio.Event().wait()


async def test_a_redis_that_hangs_is_not_waited_for_twice():
    allowance, loop = made(Stuck(), 1), asyncio.get_running_loop()
    began_s = loop.time()
    assert await allowance.take_request("acme") is None
    assert loop.time() - began_s >= PATIENCE_S * 0.9
    began_s = loop.time()
    for _ in range(100):
        assert await allowance.take_request("acme") == 60.0
    assert loop.time() - began_s < 10 * PATIENCE_S, "a hundred times that, if each had waited"


async def test_many_who_wait_for_a_redis_that_hangs_wait_together():
    allowance, loop = made(Stuck(), 10), asyncio.get_running_loop()
    began_s = loop.time()
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(allowance.take_request("acme")) for _ in range(100)]
    assert [task.result() for task in asked].count(None) == 10
    assert loop.time() - began_s < 10 * PATIENCE_S


async def test_a_check_that_is_cancelled_says_nothing_about_redis(caplog):
    redis = Stuck()
    allowance = made(redis)
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(allowance.take_request("acme"))
        await redis.asked.wait()
        asking.cancel()
    assert asking.cancelled()
    assert not caplog.records


class Deaf:
    """A Redis client that loses cancellations, as `asyncio.wait_for` did."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def evalsha(self, *args):
        self.asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return [-1, 1, 0, 60, 0]


async def test_a_lost_cancellation_still_ends_who_asks():
    redis = Deaf()
    allowance, went_on = made(redis), []

    async def loop():
        await allowance.take_request("acme")
        went_on.append(True)

    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(loop())
        await redis.asked.wait()
        asking.cancel()
    assert asking.cancelled()
    assert not went_on


@pytest.mark.parametrize("is_away", [False, True])
async def test_what_is_spent_at_the_end_of_a_cancelled_task_counts(redis, is_away):
    allowance, began = made(Scattered() if is_away else redis), asyncio.Event()

    async def speak():
        try:
            began.set()
            await asyncio.Event().wait()
        finally:
            await allowance.spend_tokens("acme", 60)

    async with asyncio.TaskGroup() as tasks:
        speaking = tasks.create_task(speak())
        await began.wait()
        speaking.cancel()
    assert speaking.cancelled()
    [_, tokens] = await allowance.spend_tokens("acme", 0)
    assert tokens.remaining == 40


class Scattered:
    async def evalsha(self, *args):
        raise RedisClusterException("no node answers")


async def test_a_cluster_that_is_away_is_away(caplog):
    assert await made(Scattered()).take_request("acme") is None
    assert "RedisClusterException" in caplog.records[0].reason
