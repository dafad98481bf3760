"""Sessions move between real gateways behind a real HAProxy, and their callers notice little."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.caller import ANSWER_S, Caller, owner_of
from tests.e2e.speech import recording
from tests.moves import alive, the_owner_sleeps
from tests.stack import Stack, running


@pytest.fixture(scope="module")
def mesh() -> Iterator[Stack]:
    settings = {
        "GATEWAY_CONNECTS_PER_S": "0",
        "GATEWAY_REQUESTS_PER_MINUTE": "0",
        "GATEWAY_TOKENS_PER_MINUTE": "0",
        "HAPROXY_SLOWSTART": "1s",
    }
    with tempfile.TemporaryDirectory(prefix="moves") as folder:
        Path(folder).chmod(0o711)  # root's PostgreSQL runs as nobody and must get in
        arguments = ("--gateways", "3", "--haproxy")
        with running(Path(folder), arguments=arguments, **settings) as stack:
            yield stack


@pytest.mark.parametrize("heard_s", [0.5, 5.0, 9.5])
async def test_a_gateway_dies_in_the_middle_of_an_answer(mesh, heard_s):
    await alive(mesh)
    async with Caller(mesh) as caller:
        await caller.ask()
        async with asyncio.TaskGroup() as tasks:
            hearing = tasks.create_task(caller.hear())
            await caller.until(lambda: caller.audio_s >= heard_s)
            mesh.signal_gateway(owner_of(mesh, caller.session_id), signal.SIGKILL)
        assert hearing.result() == "completed"
        assert caller.connections == 2
        caller.check()
        assert ANSWER_S < caller.audio_s < ANSWER_S + 2
        await caller.ask("What time is it in London?")
        assert await caller.hear() == "completed"
        assert "London" in caller.whole


async def test_a_gateway_dies_while_its_caller_speaks(mesh):
    await alive(mesh)
    question = recording("what_time_is_it_in_london_today")
    middle = len(question) // 2 // 960 * 960
    async with Caller(mesh) as caller:
        transcription = {"transcription": {"model": "whisper-1"}}
        settings: Any = {"type": "realtime", "audio": {"input": transcription}}
        await caller.connection.session.update(session=settings)
        await caller.speak(question[:middle])
        await caller.until(lambda: bool(caller.speech))
        mesh.signal_gateway(owner_of(mesh, caller.session_id), signal.SIGKILL)
        await caller.speak(question[middle:] + bytes(48_000))
        await caller.until(lambda: bool(caller.heard))
        assert caller.connections == 2
        [(first, item), (last, same)] = caller.speech
        assert (first, last, item) == ("started", "stopped", same)
        words = {"what", "time", "is", "it", "in", "london", "today"}
        assert len(words & set(caller.heard[0].lower().rstrip("?.").split())) >= 3, caller.heard
        await caller.until(lambda: bool(caller.statuses))
        assert caller.statuses == ["completed"]


async def test_an_owner_that_slept_writes_nothing_and_hangs_up(mesh):
    await the_owner_sleeps(mesh)


async def test_all_gateways_are_restarted_one_by_one(mesh):
    await alive(mesh)
    stop = asyncio.Event()

    async def talk(caller: Caller) -> int:
        turns = 0
        while not stop.is_set():
            await caller.ask("What time is it in London?")
            assert await caller.hear() == "completed"
            assert caller.text == caller.whole
            assert "London" in caller.whole
            turns += 1
        return turns

    async with AsyncExitStack() as callers, asyncio.TaskGroup() as tasks:
        talking = [await callers.enter_async_context(Caller(mesh)) for _ in range(8)]
        turns = [tasks.create_task(talk(caller)) for caller in talking]
        for n in range(3):
            pid = mesh.signal_gateway(n, signal.SIGTERM)
            async with asyncio.timeout(60):
                while mesh.gateway_pid(n) in (pid, None):
                    await asyncio.sleep(0.2)
            await alive(mesh)
        stop.set()
    assert all(task.result() > 1 for task in turns)
    assert sum(caller.connections for caller in talking) >= 16  # everybody has moved
    assert {code for caller in talking for code in caller.codes} == {1012}
