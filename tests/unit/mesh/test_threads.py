import asyncio
import contextvars
import gc
import itertools
import os
import random
import sys
import threading
import time
from contextlib import aclosing

import pytest

from mesh.crew import NICE
from mesh.errors import Overloaded, Unavailable
from mesh.fair_queue import Turn
from mesh.threads import ModelThreads

LIMIT_S = 30


@pytest.fixture
async def threads():
    """One thread, two places to wait."""
    threads = ModelThreads("model", threads=1, max_waiting=2)
    yield threads
    await threads.close()


class Gate:
    """Work that lasts until it is told to end, and says when it began."""

    def __init__(self):
        self.began, self.may_end = asyncio.Event(), threading.Event()
        self._loop = asyncio.get_running_loop()

    def __call__(self, *passed):
        self._loop.call_soon_threadsafe(self.began.set)
        assert self.may_end.wait(LIMIT_S)
        return passed


@pytest.fixture
async def gate():
    gate = Gate()
    yield gate
    gate.may_end.set()


@pytest.fixture
async def busy(threads, gate):
    """The one thread is at work until the gate opens."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(threads.run(gate), name="work")
        await gate.began.wait()
        yield threads
        gate.may_end.set()


async def test_work_runs_on_a_thread_of_that_name(threads):
    assert await threads.run(lambda a, b: (a, b), 1, 2) == (1, 2)
    name = await threads.run(lambda: threading.current_thread().name)
    assert name.startswith("model")


async def test_a_thread_is_free_until_it_is_at_work(threads, gate):
    assert threads.free == 1
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(threads.run(gate))
        await gate.began.wait()
        assert threads.free == 0
        gate.may_end.set()


async def test_what_the_work_raises_is_raised_here(threads):
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 / 0)


async def test_work_that_raises_stop_iteration_does_not_wait_forever(threads):
    with pytest.raises(RuntimeError, match="StopIteration"):
        async with asyncio.timeout(LIMIT_S):
            await threads.run(next, iter([]))


async def test_context_variables_pass(threads):
    session = contextvars.ContextVar("session", default="")
    session.set("sess_1")
    assert await threads.run(session.get) == "sess_1"
    assert [item async for item in threads.stream(lambda: iter([session.get()]))] == ["sess_1"]


async def test_the_queue_is_bounded_and_refuses_at_once(busy, gate):
    async with asyncio.TaskGroup() as tasks:
        for n in range(2):
            tasks.create_task(busy.run(gate, n), name=f"waits {n}")
        await asyncio.sleep(0)  # lets them get in line
        assert (busy.busy, busy.waiting) == (1, 2)
        with pytest.raises(Overloaded, match="model: 2 pieces of work wait"):
            await busy.run(gate)
        with pytest.raises(Overloaded):
            await anext(busy.stream(lambda: iter([1])))
        gate.may_end.set()
    assert (busy.waiting, await busy.run(int)) == (0, 0)


async def test_whose_turn_it_is_is_decided_when_a_thread_is_free(busy, gate):
    ran = []
    async with asyncio.TaskGroup() as tasks:
        for tenant, rank in (("many", 1), ("few", 0)):
            turn = Turn(tenant=tenant, rank=rank)
            tasks.create_task(busy.run(ran.append, tenant, turn=turn), name=tenant)
            await asyncio.sleep(0)  # lets it get in line
        gate.may_end.set()
    assert ran == ["few", "many"]


async def test_a_spare_thread_is_for_tenants_with_nothing_at_work(gate):
    threads = ModelThreads("model", threads=1, max_waiting=9, spare=1)
    ran = []
    many, few = Turn(tenant="many"), Turn(tenant="few")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(threads.run(gate, turn=many), name="work")
        await gate.began.wait()
        for n in range(3):
            tasks.create_task(threads.run(ran.append, n, turn=many), name=f"waits {n}")
        await asyncio.sleep(0)  # lets them get in line
        await threads.run(ran.append, "few", turn=few)
        assert ran == ["few"], "though the others came first"
        gate.may_end.set()
    assert ran == ["few", 0, 1, 2]
    await threads.close()


async def test_who_is_left_by_a_spare_thread_is_for_the_others():
    """Several tenants with nothing at work come at once: each wants the spare one."""
    threads = ModelThreads("model", threads=2, max_waiting=9, spare=1)
    all_there = threading.Barrier(3, timeout=20)
    async with asyncio.TaskGroup() as tasks:
        for tenant in ("one", "two", "three"):
            tasks.create_task(threads.run(all_there.wait, turn=Turn(tenant=tenant)), name=tenant)
    await threads.close()


async def test_nobody_is_forgotten_whoever_comes_when():
    threads = ModelThreads("model", threads=3, max_waiting=1000, spare=1)
    chance = random.Random(1)
    ran: list[int] = []

    def work(n: int) -> None:
        time.sleep(chance.random() / 2000)
        ran.append(n)

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        for n in range(600):
            turn = Turn(tenant=chance.choice("aaaabc"))
            tasks.create_task(threads.run(work, n, turn=turn), name=str(n))
            if chance.random() < 0.1:
                await asyncio.sleep(0.001)
    assert sorted(ran) == list(range(600))
    assert (threads.busy, threads.waiting) == (0, 0)
    await threads.close()


async def test_where_there_is_a_spare_thread_the_others_are_the_last_to_run(gate):
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    threads = ModelThreads("model", threads=1, max_waiting=9, spare=1)
    usual = niceness()
    many = Turn(tenant="many")
    async with asyncio.TaskGroup() as tasks:
        assert await threads.run(niceness, turn=many) == usual, "nobody else was there"
        tasks.create_task(threads.run(gate, turn=Turn(tenant="on the spare one")), name="work")
        await gate.began.wait()
        last = usual + NICE if sys.platform == "linux" else usual
        assert await threads.run(niceness, turn=many) == min(last, 19)
        gate.may_end.set()
    await threads.close()


async def test_threads_at_work_are_used(busy, gate):
    while not (used := busy.utilisation):
        await asyncio.sleep(0)
    assert 0 < used <= 1


async def test_the_count_comes_down_whatever_the_work_does(threads):
    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: 1 / 0)
        assert [item async for item in threads.stream(lambda: iter([1]))] == [1]
    assert (threads.busy, threads.waiting) == (0, 0)


async def test_work_cancelled_while_it_waits_never_runs(busy, gate):
    ran = []
    async with asyncio.TaskGroup() as tasks:
        waits = tasks.create_task(busy.run(ran.append, 1), name="waits")
        await asyncio.sleep(0)  # lets it get in line
        assert busy.waiting == 1
        waits.cancel()
    assert waits.cancelled()
    assert busy.waiting == 0, "its place is free at once"
    gate.may_end.set()
    await busy.run(int)
    assert ran == []


async def test_work_cancelled_while_it_runs_keeps_its_thread_until_it_ends(threads, gate):
    async with asyncio.TaskGroup() as tasks:
        work = tasks.create_task(threads.run(gate), name="work")
        await gate.began.wait()
        work.cancel()
    assert threads.busy == 1
    gate.may_end.set()
    assert await threads.run(int) == 0


async def test_a_stream_gives_the_items_in_order_and_ends(threads):
    stream = threads.stream(lambda: iter(range(100)))
    assert [item async for item in stream] == list(range(100))


async def test_an_item_may_be_none(threads):
    assert [item async for item in threads.stream(lambda: iter([1, None, 2]))] == [1, None, 2]


async def test_a_stream_does_not_wait_for_a_slow_reader(threads):
    async with aclosing(threads.stream(lambda: iter(range(50)))) as stream:
        assert await anext(stream) == 0
        assert await threads.run(int) == 0, "the thread is free again"
        assert [item async for item in stream] == list(range(1, 50))


async def test_what_the_iterator_raises_comes_behind_its_items(threads):
    def items():
        yield 1
        raise KeyError("model")

    stream = threads.stream(items)
    assert await anext(stream) == 1
    with pytest.raises(KeyError, match="model"):
        await anext(stream)


@pytest.mark.parametrize("where", ["make", "close"])
async def test_a_stream_that_cannot_begin_or_end_says_so(threads, where):
    class Items:
        def __init__(self):
            if where == "make":
                raise OSError("no weights")

        def __iter__(self):
            return iter([1])

        def close(self):
            raise OSError("no weights")

    async def read():
        async with asyncio.timeout(LIMIT_S):
            return [item async for item in threads.stream(Items)]

    with pytest.raises(OSError, match="no weights"):
        await read()


async def test_closing_a_stream_stops_it_between_two_items(threads):
    last, closed_on = [], []

    def items():
        try:
            for n in itertools.count():
                last[:] = [n]
                yield n
        finally:
            closed_on.append(threading.current_thread().name)

    async with aclosing(threads.stream(items)) as stream:
        assert await anext(stream) == 0
    async with asyncio.timeout(LIMIT_S):
        await threads.run(int)  # the thread comes free, though the iterator never ends
    assert closed_on
    assert closed_on[0].startswith("model")
    n_made = last[0]
    await threads.run(int)
    assert last[0] == n_made


async def test_cancelling_the_reader_stops_the_stream(threads):
    began = asyncio.Event()

    async def read():
        async for _ in threads.stream(itertools.count):
            began.set()

    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read(), name="read")
        await began.wait()
        reading.cancel()
    async with asyncio.timeout(LIMIT_S):
        assert await threads.run(int) == 0


async def test_a_stream_closed_while_it_waits_never_begins(busy, gate):
    made = []
    stream = busy.stream(lambda: iter(made.append(1) or []))
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(anext(stream), name="read")
        await asyncio.sleep(0)  # lets it get in line
        assert busy.waiting == 1
        reading.cancel()
    gate.may_end.set()
    await busy.run(int)
    assert made == []


async def test_a_failure_nobody_waits_for_is_not_reported(threads, caplog):
    def items():
        yield 1
        raise KeyError("late")

    async with aclosing(threads.stream(items)) as stream:
        assert await anext(stream) == 1
        await threads.run(int)  # the stream has failed by now
    del stream
    gc.collect()
    assert caplog.messages == []


async def test_closing_lets_running_work_end_and_drops_what_waits(busy, gate):
    async def drop(work):
        with pytest.raises(Unavailable):
            async with asyncio.timeout(LIMIT_S):
                await work

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(drop(busy.run(int)), name="waits")
        tasks.create_task(drop(anext(busy.stream(lambda: iter([1])))), name="waits too")
        await asyncio.sleep(0)
        assert busy.waiting == 2
        closing = tasks.create_task(busy.close(), name="close")
        await asyncio.wait({closing}, timeout=0.05)
        assert not closing.done(), "work still runs"
        gate.may_end.set()


async def test_closed_threads_take_nothing(threads):
    await threads.close()
    with pytest.raises(Unavailable, match="model: closed"):
        await threads.run(int)
    with pytest.raises(Unavailable, match="model: closed"):
        await anext(threads.stream(lambda: iter([1])))
    assert threads.waiting == 0
