"""Several workers of a tier: one dies or hangs in the middle of its work, and nobody notices."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.caller import Caller
from tests.e2e.speech import FRAME_BYTES, recording
from tests.stack import Stack, running
from tests.workers import Fleet

QUESTION = recording("what_time_is_it_in_london_today") + bytes(48_000)  # and a pause
MIDDLE = len(QUESTION) // 2 // FRAME_BYTES * FRAME_BYTES
TRANSCRIBED: Any = {
    "type": "realtime",
    "audio": {"input": {"transcription": {"model": "whisper-1"}}},
}
HURTS = [signal.SIGKILL, signal.SIGSTOP]


@pytest.fixture(scope="module")
def mesh() -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="workers") as folder:
        Path(folder).chmod(0o711)  # root's PostgreSQL runs as nobody and must get in
        with running(Path(folder), arguments=("--stt", "2", "--tts", "2")) as stack:
            yield stack


@pytest.fixture
async def stt(mesh):
    async with Fleet(mesh.redis_url, "stt") as fleet:
        await fleet.until_there_are(2)
        yield fleet


async def turn(caller: Caller, n: int) -> str:
    """The words of its utterance number `n`, counted from 1, when they have been answered."""
    await caller.until(lambda: len(caller.heard) == len(caller.statuses) == n)
    assert caller.statuses == ["completed"] * n
    return caller.heard[-1]


@pytest.mark.parametrize("hurt", HURTS, ids=lambda number: number.name)
async def test_a_worker_that_is_lost_in_mid_utterance_costs_no_word(mesh, stt, hurt):
    async with Caller(mesh) as caller:
        await caller.connection.session.update(session=TRANSCRIBED)
        await caller.speak(QUESTION)
        expected = await turn(caller, 1)
        assert "london" in expected.lower()

        await caller.speak(QUESTION[:MIDDLE])
        hears = await stt.the_busy_one()
        os.kill(hears.pid, hurt)
        try:
            await caller.speak(QUESTION[MIDDLE:])
            assert await turn(caller, 2) == expected
        finally:
            if hurt == signal.SIGSTOP:
                os.kill(hears.pid, signal.SIGCONT)
        assert (await stt.the_busy_one()).address != hears.address
