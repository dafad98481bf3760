"""The synthesis tier is killed in mid-sentence: the reply goes on, and nothing is missing of it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from mesh.audio import resample
from tests.caller import ANSWER, Caller
from tests.e2e import judges
from tests.stack import Stack, running

CLOSE_MS = 100  # espeak ends a text with some silence more or less; a judge is a frame or two off


@pytest.fixture(scope="module")
def mesh() -> Iterator[Stack]:
    """A mesh of its own: it is being hurt. Slow machines take long to start a tier again."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)  # root's PostgreSQL runs as nobody and must get in
        with running(Path(folder), GATEWAY_TTS_PATIENCE_S="30") as stack:
            yield stack


async def test_a_reply_goes_on_when_its_voice_is_killed(mesh):
    async with Caller(mesh) as caller, asyncio.TaskGroup() as tasks:
        await caller.ask()
        hearing = tasks.create_task(caller.hear())
        for heard_s in (1.0, 6.0):
            await caller.until(lambda heard_s=heard_s: caller.audio_s >= heard_s)
            await _restarted(mesh, mesh.kill("tts_service"))
        assert await hearing == "completed"
    caller.check()
    assert 'gateway_failover_seconds_count{tier="tts"} 2.0' in await _metrics(mesh)

    undisturbed = await _undisturbed(mesh)
    assert abs(len(caller.audio) - len(undisturbed)) < 3 * CLOSE_MS * 48
    ours, theirs = placed(bytes(caller.audio)), placed(undisturbed)
    assert [word.text for word in ours] == judges.words_of(ANSWER)
    assert [word.text for word in theirs] == judges.words_of(ANSWER)
    moved_ms = [one.start_ms - other.start_ms for one, other in zip(ours, theirs, strict=True)]
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


async def _restarted(mesh: Stack, old_pid: int) -> None:
    async with aiohttp.ClientSession() as http, asyncio.timeout(60):
        while True:
            async with http.get(f"{mesh.url}/readyz") as answer:
                if answer.status == 200 and mesh.pid_of("tts_service") not in (None, old_pid):
                    return
            await asyncio.sleep(0.1)


async def _metrics(mesh: Stack) -> str:
    async with aiohttp.ClientSession() as http, http.get(f"{mesh.gateways[0]}/metrics") as page:
        return await page.text()
