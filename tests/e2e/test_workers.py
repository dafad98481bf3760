"""Several workers of a tier: one is lost in the middle of its work, and nobody notices; all are
full, and one more helps."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.caller import Caller
from tests.e2e.speech import FRAME_BYTES, recording
from tests.stack import Stack, running
from tests.workers import Fleet, started, until_usable

QUESTION = recording("what_time_is_it_in_london_today") + bytes(48_000)  # and a pause
MIDDLE = len(QUESTION) // 3 // FRAME_BYTES * FRAME_BYTES
TRANSCRIBED: Any = {
    "type": "realtime",
    "audio": {"input": {"transcription": {"model": "whisper-1"}}},
}
LOSSES = [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM]
SECONDS = 60.0  # generous: it takes one or two, and a start


@pytest.fixture(scope="module")
def mesh() -> Iterator[Stack]:
    settings = {"STT_MAX_STREAMS": "2", "GATEWAY_REQUESTS_PER_MINUTE": "0"}
    with tempfile.TemporaryDirectory(prefix="workers") as folder:
        Path(folder).chmod(0o711)  # root's PostgreSQL runs as nobody and must get in
        with running(Path(folder), arguments=("--stt", "2"), **settings) as stack:
            yield stack


@pytest.fixture
async def stt(mesh):
    async with Fleet(mesh.redis_url, "stt") as fleet:
        await fleet.until_there_are(2)
        await fleet.until_idle()
        await until_usable(mesh, "stt", 2)
        yield fleet


async def turn(caller: Caller, n: int) -> str:
    """The words of its utterance number `n`, counted from 1, when they have been answered."""
    await caller.until(lambda: len(caller.heard) == len(caller.statuses) == n)
    assert caller.statuses == ["completed"] * n
    return caller.heard[-1]


@pytest.fixture(scope="module")
def undisturbed(mesh) -> str:
    """What is heard when nothing happens."""

    async def hear() -> str:
        async with Caller(mesh) as caller:
            await caller.connection.session.update(session=TRANSCRIBED)
            await caller.speak(QUESTION)
            return await turn(caller, 1)

    words = asyncio.run(hear())
    assert "london" in words.lower()
    return words


@pytest.mark.parametrize("loss", LOSSES, ids=lambda number: number.name)
async def test_a_worker_that_is_lost_in_mid_utterance_costs_no_word(mesh, stt, undisturbed, loss):
    async with Caller(mesh) as caller:  # it fails at the first error that it is told
        await caller.connection.session.update(session=TRANSCRIBED)
        await caller.speak(QUESTION[:MIDDLE])
        hears = await stt.the_busy_one()
        os.kill(hears.pid, loss)
        try:
            await caller.speak(QUESTION[MIDDLE:])
            assert await turn(caller, 1) == undisturbed
            assert [event for event, _ in caller.speech] == ["started", "stopped"]
        finally:
            if loss == signal.SIGSTOP:
                os.kill(hears.pid, signal.SIGCONT)
        assert (await stt.the_busy_one()).id != hears.id


async def status(mesh: Stack, query: str = "model=gpt-realtime") -> tuple[int, str | None]:
    """How a handshake ends, and when to try again."""
    headers = {"Authorization": f"Bearer {mesh.key}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        try:
            async with http.ws_connect(f"{mesh.url}/v1/realtime?{query}"):
                return 101, None
        except aiohttp.WSServerHandshakeError as refused:
            return refused.status, (refused.headers or {}).get("Retry-After")


async def until_status(mesh: Stack, expected: int) -> None:
    async with asyncio.timeout(SECONDS):
        while (await status(mesh))[0] != expected:
            await asyncio.sleep(0.1)


async def test_when_all_are_full_who_is_new_is_refused_until_there_is_one_more(mesh, stt):
    async with AsyncExitStack() as callers, Caller(mesh) as fifth:
        talking = [await callers.enter_async_context(Caller(mesh)) for _ in range(4)]
        for caller in talking:
            await caller.speak(bytes(4800))
        await until_status(mesh, 503)
        assert await status(mesh) == (503, "1")
        assert (await status(mesh, "session_id=sess_unknown"))[0] == 101, "who comes back may"

        before = {worker.id for worker in await stt.workers()}
        worker = started(mesh, "stt_service", STT_MAX_STREAMS="2")
        try:
            await until_status(mesh, 101)
            await fifth.speak(QUESTION)
            await fifth.until(lambda: bool(fifth.speech))
            [new] = [one for one in await stt.workers() if one.id not in before]
            assert new.pid == worker.pid
            assert await stt.streams_of(new) == 1
        finally:
            worker.kill()
            worker.wait(60)
