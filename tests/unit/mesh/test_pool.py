from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager

import grpc
import pytest

from mesh.breaker import FAILURES
from mesh.errors import Draining, Overloaded, Rejected, Unavailable, answering
from mesh.health import Load
from mesh.pool import Pool
from tests.fakes.registry import FakeRegistry

CALL = "/test.Test/Call"


class House:
    """A worker on loopback: how full it is, what its calls fail with, who has been there."""

    def __init__(self, name):
        self.name, self.active, self.most = name, 0, 10
        self.mood, self.calls = None, 0
        self.server = None

    @property
    def address(self):
        return f"127.0.0.1:{self.server.port}"

    async def answer(self, request, context):
        async with answering(context):
            self.calls += 1
            if self.mood is not None:
                raise self.mood
        return self.name.encode()


@pytest.fixture
def house(serve):
    async def open_house(name, **about):
        made = House(name)
        vars(made).update(about)
        handlers = {"Call": grpc.unary_unary_rpc_method_handler(made.answer)}
        load = lambda: Load(made.active, made.most)  # noqa: E731
        made.server = await serve(handlers=handlers, load=load)
        await made.server.ready()
        return made

    return open_house


@asynccontextmanager
async def pool_of(*targets, registry=None):
    pool = Pool("stt", targets, registry, chance=random.Random(7))
    try:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(pool.run(), name="pool")
            yield pool
            running.cancel()
    finally:
        await pool.close()


async def ask(worker):
    return await worker.channel.unary_unary(CALL)(b"", timeout=10)


def loaded(pool, *loads):
    """Whether the workers say to be so full."""
    return sorted(worker.load for worker in pool.workers if worker.serving) == sorted(loads)


async def test_before_anything_is_known_the_settings_say_whom_to_call(house):
    one = await house("one")
    pool = Pool("stt", [one.address])  # nobody watches it
    assert not pool.serving
    assert await pool.ask(ask) == b"one"
    await pool.close()


async def test_who_is_listed_is_called_and_who_is_listed_no_longer_is_not(house, until):
    one, two = await house("one"), await house("two")
    registry = FakeRegistry(w_1=one.address)
    async with pool_of(registry=registry) as pool:
        await until(lambda: pool.n_usable == 1)
        registry.listed["w_2"] = {"address": two.address}
        await until(lambda: pool.n_usable == 2)
        assert {await pool.ask(ask) for _ in range(50)} == {b"one", b"two"}
        del registry.listed["w_1"]
        await one.server.drain()
        await until(lambda: [worker.target for worker in pool.workers] == [two.address])
        assert {await pool.ask(ask) for _ in range(20)} == {b"two"}


async def test_one_that_settings_and_list_name_is_one_member(house, until):
    one = await house("one")
    async with pool_of(one.address, registry=FakeRegistry(w_1=one.address)) as pool:
        [worker] = pool.workers
        await until(lambda: worker.is_listed and worker.serving)
        assert len(pool.workers) == 1


async def test_one_process_under_two_names_is_called_as_one(house, until):
    one = await house("one")
    other_name = f"localhost:{one.server.port}"
    async with pool_of(one.address, other_name) as pool:
        await until(lambda: all(worker.id for worker in pool.workers))
        await until(lambda: all(worker.serving for worker in pool.workers))
        assert pool.n_usable == 1
        assert not pool.has_other([pool.pick()])


async def test_the_last_list_holds_while_redis_is_away(house, until, caplog):
    one, two = await house("one"), await house("two")
    registry = FakeRegistry(w_1=one.address)
    async with pool_of(registry=registry) as pool:
        await until(lambda: pool.n_usable == 1)
        registry.is_away = True
        await until(lambda: "list is stale" in caplog.messages)
        assert await pool.ask(ask) == b"one"
        registry.listed["w_2"] = {"address": two.address}
        registry.is_away = False
        await until(lambda: pool.n_usable == 2)


async def test_a_list_that_was_lost_takes_nobody_away_who_lives(house, until):
    one = await house("one")
    registry = FakeRegistry(w_1=one.address)
    async with pool_of(registry=registry) as pool:
        await until(lambda: pool.n_usable == 1)
        [worker] = pool.workers
        registry.listed.clear()
        await until(lambda: not worker.is_listed)
        assert pool.n_usable == 1


async def test_a_call_that_runs_outlives_the_entry_of_its_worker(house, until):
    one = await house("one")
    registry = FakeRegistry(w_1=one.address)
    async with pool_of(registry=registry) as pool:
        await until(lambda: pool.n_usable == 1)
        worker = pool.pick()
        with worker.held():
            registry.listed.clear()
            await one.server.unready()
            await until(lambda: not pool.workers)
            assert await ask(worker) == b"one"
        await until(lambda: worker.channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN)


async def test_the_less_full_one_of_two_is_called(house, until):
    one, two = await house("one", active=8), await house("two", active=2)
    async with pool_of(one.address, two.address) as pool:
        await until(lambda: loaded(pool, 0.2, 0.8))
        picked = [pool.pick().target for _ in range(5)]
        assert picked == [two.address] * 5


async def test_what_we_opened_since_the_last_report_counts(house, until):
    one, two = await house("one", active=3), await house("two", active=3)
    async with pool_of(one.address, two.address) as pool:
        await until(lambda: loaded(pool, 0.3, 0.3))
        for n in range(6):
            pool.pick().begin(n)
        assert loaded(pool, 0.6, 0.6)


async def test_one_is_full_when_all_that_is_known_says_so(house, until):
    one, two = await house("one", active=10), await house("two", active=9)
    async with pool_of(one.address, two.address) as pool:
        await until(lambda: loaded(pool, 0.9, 1.0))
        assert not pool.is_full
        last = pool.pick()
        assert last.target == two.address
        last.begin("call")
        assert pool.is_full  # as far as we know: we have just taken the last place
        with pytest.raises(Overloaded) as raised:
            pool.pick()
        assert raised.value.tier == "stt"
        assert raised.value.retry_after_s > 0
        last.end("call")
        await until(lambda: not pool.is_full)


async def test_who_failed_is_avoided(house, until):
    one, two = await house("one"), await house("two")
    async with pool_of(one.address, two.address) as pool:
        await until(lambda: pool.n_usable == 2)
        first = pool.pick()
        assert pool.has_other([first])
        assert pool.pick([first]) is not first
        assert not pool.has_other(list(pool.workers))
        with pytest.raises(Unavailable):
            pool.pick(list(pool.workers))


@pytest.mark.parametrize("kind", [Unavailable, Overloaded, Draining])
async def test_a_call_that_one_cannot_take_is_made_once_more_elsewhere(house, until, kind):
    one, two = await house("one", mood=kind("no")), await house("two")
    async with pool_of(one.address, two.address) as pool:
        await until(lambda: pool.n_usable == 2)
        assert {await pool.ask(ask) for _ in range(10)} == {b"two"}
        assert one.calls > 0


async def test_a_call_is_made_twice_at_most(house, until):
    houses = [await house(name, mood=Overloaded("full")) for name in "abc"]
    async with pool_of(*(one.address for one in houses)) as pool:
        await until(lambda: pool.n_usable == 3)
        with pytest.raises(Overloaded, match="full"):
            await pool.ask(ask)
        assert sum(one.calls for one in houses) == 2


async def test_a_call_that_is_wrong_is_not_made_again(house, until):
    one, two = await house("one", mood=Rejected("no")), await house("two", mood=Rejected("no"))
    async with pool_of(one.address, two.address) as pool:
        await until(lambda: pool.n_usable == 2)
        with pytest.raises(Rejected):
            await pool.ask(ask)
        assert one.calls + two.calls == 1


async def test_one_whose_breaker_is_open_is_passed_over(house, until):
    one, two = await house("one"), await house("two")
    async with pool_of(one.address, two.address) as pool:
        await until(lambda: pool.n_usable == 2)
        [bad] = [worker for worker in pool.workers if worker.target == one.address]
        for _ in range(FAILURES):
            bad.failed(Unavailable("no"))
        assert pool.n_usable == 1
        assert {await pool.ask(ask) for _ in range(20)} == {b"two"}
        bad.breaker.revived()  # its rest is over: one call may try
        assert {await pool.ask(ask) for _ in range(20)} == {b"one", b"two"}
        assert pool.n_usable == 2


async def test_when_all_breakers_are_open_it_says_for_how_long(house, until):
    one = await house("one")
    async with pool_of(one.address) as pool:
        await until(lambda: pool.serving)
        [worker] = pool.workers
        for _ in range(FAILURES):
            worker.failed(Unavailable("no"))
        with pytest.raises(Unavailable, match="the breaker is open") as raised:
            pool.pick()
        assert 25 < raised.value.retry_after_s <= 30


async def test_without_any_worker_nothing_can_be_called():
    async with pool_of() as pool:
        with pytest.raises(Unavailable, match="stt: no worker"):
            pool.pick()
        assert not pool.serving
        assert not pool.is_full


async def test_one_that_drains_is_out_of_view_at_once(house, until):
    one, two = await house("one"), await house("two")
    async with pool_of(one.address, two.address) as pool:
        await until(lambda: pool.n_usable == 2)
        await one.server.drain()
        await until(lambda: pool.n_usable == 1)
        assert {await pool.ask(ask) for _ in range(20)} == {b"two"}
