"""A recorded telephone call: µ-law at 8 kHz in, the answers in G.711 out."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from gateway.realtime import g711
from tests.e2e import judges
from tests.e2e.speech import DATA

TRANSCRIBED = "conversation.item.input_audio_transcription.completed"
ANSWER = "response.output_audio.delta"
FRAME_BYTES = 160  # 20 ms
CALL = (DATA / "phone_call.ulaw").read_bytes()
SAID = ("good morning", "what time is it in tokyo")


def telephone(law: g711.Law) -> dict[str, Any]:
    """A session whose caller is on the telephone."""
    return {
        "type": "realtime",
        "audio": {
            "input": {
                "format": {"type": "audio/pcmu"},
                "transcription": {"model": "whisper-1"},
                "turn_detection": {"type": "server_vad"},
            },
            "output": {"format": {"type": law}},
        },
    }


@pytest.fixture
async def connection(stack):
    async with (
        stack.openai() as client,
        client.realtime.connect(model="gpt-realtime") as connection,
    ):
        assert (await connection.recv()).type == "session.created"
        yield connection


async def call(connection: Any, line: bytes) -> None:
    """What comes over the line, frame by frame."""
    for at in range(0, len(line), FRAME_BYTES):
        audio = base64.b64encode(line[at : at + FRAME_BYTES]).decode()
        await connection.input_audio_buffer.append(audio=audio)


async def until(connection: Any, kind: str) -> list[Any]:
    """Events up to the first of this type."""
    events = []
    async for event in connection:
        assert event.type != "error", event
        events.append(event)
        if event.type == kind:
            return events
    raise AssertionError(f"the connection ended before {kind}")


async def answered(connection: Any) -> list[Any]:
    """One turn; what was heard may come after the answer."""
    events = await until(connection, "response.done")
    if not of(events, TRANSCRIBED):
        events += await until(connection, TRANSCRIBED)
    return events


def of(events: list[Any], kind: str) -> list[Any]:
    return [event for event in events if event.type == kind]


def bytes_of(events: list[Any]) -> bytes:
    return b"".join(base64.b64decode(event.delta) for event in of(events, ANSWER))


@pytest.mark.parametrize("law", ["audio/pcmu", "audio/pcma"])
async def test_a_caller_is_heard_and_answered_on_the_telephone(connection, law):
    await connection.session.update(session=telephone(law))
    [*_, updated] = await until(connection, "session.updated")
    assert updated.session.audio.input.format.type == "audio/pcmu"
    assert updated.session.audio.output.format.type == law

    half = 8000 * 3 + 40  # after the first; a cut within a frame
    for line, asked in zip((CALL[:half], CALL[half:]), SAID, strict=True):
        await call(connection, line)  # and then the caller listens
        events = await answered(connection)

        [heard] = of(events, TRANSCRIBED)
        # A recogniser of wide-band speech does not catch every word on a telephone.
        words = set(judges.words_of(asked))
        assert 3 * len(words & set(judges.words_of(heard.transcript))) >= len(words)
        assert of(events, "response.done")[0].response.status == "completed"
        spoken, [said] = bytes_of(events), of(events, "response.output_audio_transcript.done")
        judges.speech_fits(g711.decode(spoken, law), said.transcript)


async def test_what_was_said_lies_where_it_is_in_the_call(connection):
    await connection.session.update(session=telephone("audio/pcmu"))
    await call(connection, CALL)
    events = await until(connection, "input_audio_buffer.speech_stopped")
    [started], [stopped] = (
        of(events, f"input_audio_buffer.speech_{what}") for what in ("started", "stopped")
    )
    # The greeting lasts from 0.5 to 1.2 s; padding before and silence after belong to it.
    assert 100 < started.audio_start_ms < 500
    assert 1_200 < stopped.audio_end_ms < 2_200
