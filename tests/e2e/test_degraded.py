"""A tier is killed under a session: the client is told, stays connected, does what can be done
without it, and goes on as before when it is back."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from gateway.config import Config
from tests.caller import ANSWER, ANSWER_S, ASKED
from tests.e2e.speech import recording, speak
from tests.e2e.test_turns import WITH_TRANSCRIPTS, audio, of, until
from tests.stack import running

TOLD_S = 120.0  # far above what anything takes
BACK_S = 60.0
SECOND_BYTES = 48_000
QUESTION = "what_time_is_it_in_london_today"
TRANSCRIBED = "conversation.item.input_audio_transcription.completed"
TRANSCRIPT = "response.output_audio_transcript.delta"


@pytest.fixture(scope="module")
def own_stack():
    """A mesh of its own: it is being hurt."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        # A machine that is busy recognises slowly: here that is no outage.
        with running(Path(folder), GATEWAY_STT_WORDS_S=f"{TOLD_S:.0f}") as stack:
            yield stack


@pytest.fixture
async def connection(own_stack):
    async with (
        own_stack.openai() as client,
        client.realtime.connect(model="gpt-realtime") as connection,
    ):
        await connection.session.update(session=WITH_TRANSCRIPTS)
        await until(connection, "session.updated")
        yield connection


@asynccontextmanager
async def without(stack, module: str):
    """No process of this tier. Who restarts tiers is stopped, or the outage may be over before
    it is noticed."""
    stack.process.send_signal(signal.SIGSTOP)
    try:
        pid = stack.kill(module)
        async with asyncio.timeout(TOLD_S):
            yield
    finally:
        stack.process.send_signal(signal.SIGCONT)
    await _restarted(stack, module, pid)


async def _restarted(stack, module: str, old_pid: int) -> None:
    async with aiohttp.ClientSession() as http, asyncio.timeout(BACK_S):
        while True:
            async with http.get(f"{stack.url}/readyz") as answer:
                if answer.status == 200 and stack.pid_of(module) not in (None, old_pid):
                    return
            await asyncio.sleep(0.1)


async def counted(stack, what: str) -> float:
    line = f'gateway_degraded_replies_total{{what="{what}"}} '
    async with aiohttp.ClientSession() as http, http.get(f"{stack.url}/metrics") as answer:
        text = await answer.text()
    return sum(float(found.removeprefix(line)) for found in text.splitlines() if line in found)


async def is_answered(connection) -> None:
    """A spoken question gets its spoken answer, as if nothing had happened."""
    # What is still being said of the turn that was hurt is not of this one.
    await connection.input_audio_buffer.clear()
    async with asyncio.timeout(TOLD_S):
        await until(connection, "input_audio_buffer.cleared")
        await speak(connection, recording(QUESTION))
        events = await until(connection, "input_audio_buffer.committed")
        while True:
            events = await until(connection, "response.done")
            if events[-1].response.status != "cancelled":
                break
    response = events[-1].response
    assert (response.status, response.metadata) == ("completed", None)
    assert audio(events)


async def types(connection, text: str) -> None:
    content = [{"type": "input_text", "text": text}]
    item = {"type": "message", "role": "user", "content": content}
    await connection.conversation.item.create(item=item)
    await connection.response.create()


def words(events) -> str:
    return "".join(event.delta for event in of(events, TRANSCRIPT))


async def test_without_a_language_model_it_is_said_aloud(own_stack, connection):
    async with without(own_stack, "llm_orchestrator"):
        await speak(connection, recording(QUESTION))
        events = await until(connection, "response.done")
        assert "london" in of(events, TRANSCRIBED)[0].transcript.lower()
        assert words(events) == Config().apology
        assert len(audio(events)) > SECOND_BYTES
        response = events[-1].response
        assert response.status == "failed"
        assert response.status_details.error.code.startswith("llm_")
        assert response.output[0].status == "incomplete"
        assert await counted(own_stack, "no_llm") >= 1
    await is_answered(connection)


async def test_without_a_voice_the_answer_is_text(own_stack, connection):
    async with without(own_stack, "tts_service"):
        await speak(connection, recording(QUESTION))
        events = await until(connection, "response.done")
        assert "london" in of(events, TRANSCRIBED)[0].transcript.lower()
        response = events[-1].response
        assert response.status == "completed"
        assert words(events) == response.output[0].content[0].transcript != ""
        assert not audio(events)
        assert "ovos_text_only" in response.metadata
        assert await counted(own_stack, "no_tts") >= 1
    await is_answered(connection)


async def test_a_voice_that_dies_in_mid_answer_leaves_the_rest_as_text(own_stack, connection):
    await types(connection, ASKED)
    async with asyncio.timeout(TOLD_S):
        events = await until(connection, "response.output_audio.delta")
    async with without(own_stack, "tts_service"):
        events += await until(connection, "response.done")
        response = events[-1].response
        assert (response.status, words(events)) == ("completed", ANSWER)
        assert 0 < len(audio(events)) < SECOND_BYTES * ANSWER_S
        assert "ovos_text_only" in response.metadata
    await is_answered(connection)


async def test_without_ears_who_types_is_answered_aloud(own_stack, connection):
    async with without(own_stack, "stt_service"):
        await speak(connection, recording(QUESTION))
        events = await until(connection, "error")
        assert events[-1].error.code == "service_unavailable"
        await speak(connection, recording(QUESTION)[:SECOND_BYTES])  # fifty frames for nobody
        await types(connection, "What time is it in London today?")
        events = await until(connection, "response.done")
        assert events[-1].response.status == "completed"
        assert audio(events)
        assert len(of(events, "error")) <= 1
    await is_answered(connection)
