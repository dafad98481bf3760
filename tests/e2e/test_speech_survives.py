"""The synthesis tier is killed in mid-sentence: the reply goes on, and nothing is missing of it."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from mesh.audio import resample
from tests.caller import ANSWER, Caller
from tests.e2e import judges
from tests.stack import Stack, running
from tests.workers import Fleet

CLOSE_MS = 100  # espeak ends a text with some silence more or less; a judge is a frame or two off


@pytest.fixture(scope="module")
def mesh() -> Iterator[Stack]:
    """A mesh of its own: it is being hurt. Slow machines take long to start a tier again."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)  # root's PostgreSQL runs as nobody and must get in
        with running(Path(folder), arguments=("--tts", "2"), GATEWAY_TTS_PATIENCE_S="30") as stack:
            yield stack


async def test_replies_go_on_when_their_voices_are_killed(mesh):
    async with (
        Fleet(mesh.redis_url, "tts") as fleet,
        Caller(mesh) as one,
        Caller(mesh) as two,
        asyncio.TaskGroup() as tasks,
    ):
        both = await fleet.until_there_are(2)
        await one.ask()
        hearing = [tasks.create_task(one.hear())]
        speaks = await fleet.the_busy_one()
        await one.until(lambda: one.audio_s >= 1.0)  # some seconds more have been made
        os.kill(speaks.pid, signal.SIGKILL)  # the other one goes on
        await two.ask()
        hearing.append(tasks.create_task(two.hear()))
        await one.until(lambda: one.audio_s >= 5.5)
        [other] = {worker.pid for worker in both} - {speaks.pid}
        os.kill(other, signal.SIGKILL)  # whoever is there again by then goes on
        assert [await task for task in hearing] == ["completed"] * 2
    assert await _failovers(mesh) >= 2

    undisturbed = await _undisturbed(mesh)
    theirs = placed(undisturbed)
    assert [word.text for word in theirs] == judges.words_of(ANSWER)
    for caller in (one, two):
        caller.check()
        assert abs(len(caller.audio) - len(undisturbed)) < 3 * CLOSE_MS * 48
        ours = placed(bytes(caller.audio))
        assert [word.text for word in ours] == judges.words_of(ANSWER)
        moved_ms = [a.start_ms - b.start_ms for a, b in zip(ours, theirs, strict=True)]
        assert max(map(abs, moved_ms)) < CLOSE_MS, moved_ms


def placed(audio: bytes) -> list[judges.Placed]:
    return judges.alignment(resample(audio, judges.RATE_HZ, judges.EAR_HZ), ANSWER)


async def _undisturbed(mesh: Stack) -> bytes:
    """The same text by the same voice."""
    async with mesh.openai() as client:
        spoken = await client.audio.speech.create(
            model="tts-1", voice="alloy", input=ANSWER, response_format="pcm"
        )
        return await spoken.aread()


async def _failovers(mesh: Stack) -> float:
    """How often another stream has taken over, a restarted worker's included."""
    async with aiohttp.ClientSession() as http, http.get(f"{mesh.gateways[0]}/metrics") as page:
        lines = (await page.text()).splitlines()
    name = 'gateway_failover_seconds_count{tier="tts"} '
    return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))
