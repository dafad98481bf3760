from __future__ import annotations

import asyncio
import sys

from gateway.flag import Flag


async def test_who_waits_comes_back_when_it_is_set():
    flag = Flag()
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(flag.wait(), name=f"wait {n}") for n in range(3)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        flag.set()
        assert flag.is_set()


async def test_nobody_waits_for_a_flag_that_is_set():
    flag = Flag(is_set=True)
    await flag.wait()
    flag.clear()
    assert not flag.is_set()
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(flag.wait(), name="wait")
        await asyncio.sleep(0)
        assert not waiting.done()
        flag.set()


async def test_who_waited_comes_back_though_it_was_cleared_at_once():
    flag = Flag()
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(flag.wait(), name="wait")
        await asyncio.sleep(0)
        flag.set()
        flag.clear()
    assert not flag.is_set()


async def test_who_gave_up_waiting_is_in_nobodys_way():
    flag = Flag()
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        gone = tasks.create_task(flag.wait(), name="gone")
        tasks.create_task(flag.wait(), name="wait")
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        flag.set()


def test_it_is_smaller_than_what_it_replaces():
    event = asyncio.Event()
    assert sys.getsizeof(Flag()) < sys.getsizeof(event._waiters) / 10
