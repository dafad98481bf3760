"""Turns through the stock `openai` client, over the real mesh with its weightless engines."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.e2e import judges
from tests.e2e.speech import recording, speak

TRANSCRIBED = "conversation.item.input_audio_transcription.completed"
WITH_TRANSCRIPTS = {
    "type": "realtime",
    "audio": {"input": {"transcription": {"model": "whisper-1"}}},
}


@pytest.fixture
async def connection(stack):
    async with (
        stack.openai() as client,
        client.realtime.connect(model="gpt-realtime") as connection,
    ):
        created = await connection.recv()
        assert created.type == "session.created"
        yield connection


async def until(connection: Any, *types: str) -> list[Any]:
    """Events up to the first of one of these types."""
    events = []
    async for event in connection:
        events.append(event)
        if event.type in types:
            return events
    raise AssertionError(f"the connection ended before {types}")


def of(events: list[Any], type_: str) -> list[Any]:
    return [event for event in events if event.type == type_]


def audio(events: list[Any]) -> bytes:
    return b"".join(base64.b64decode(e.delta) for e in of(events, "response.output_audio.delta"))


async def test_a_spoken_question_gets_a_spoken_answer_that_can_be_understood(connection):
    await connection.session.update(session=WITH_TRANSCRIPTS)
    await speak(connection, recording("what_time_is_it_in_london_today"))
    events = await until(connection, "response.done")
    assert events[-1].response.status == "completed"
    [heard] = of(events, TRANSCRIBED)
    assert heard.transcript == "what time is it in london today"
    [said] = of(events, "response.output_audio_transcript.done")
    assert "london" in said.transcript.lower()
    judges.speech_fits(audio(events), said.transcript)


async def test_speaking_over_the_answer_stops_it_and_the_next_turn_works(connection):
    await connection.conversation.item.create(
        item={
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "one two three four five six seven " * 12}],
        }
    )
    await connection.response.create()
    await until(connection, "response.output_audio.delta")
    await speak(connection, recording("what_time_is_it_in_london_today"))
    events = await until(connection, "response.done")
    first = events[-1].response
    assert (first.status, first.status_details.reason) == ("cancelled", "turn_detected")
    started = [e.type for e in events].index("input_audio_buffer.speech_started")
    assert "response.output_audio.delta" not in [e.type for e in events[started:]]

    events = await until(connection, "response.done")
    assert events[-1].response.status == "completed"
    assert all(e.response_id != first.id for e in of(events, "response.output_audio.delta"))
    assert audio(events)


async def test_a_function_is_called_with_what_was_said_and_its_result_is_spoken(connection):
    tool = {
        "type": "function",
        "name": "get_weather",
        "description": "Tells the weather at a place.",
        "parameters": {
            "type": "object",
            "properties": {"location": {"type": "string"}},
            "required": ["location"],
        },
    }
    await connection.session.update(session={**WITH_TRANSCRIPTS, "tools": [tool]})
    await speak(connection, recording("what_is_the_weather_in_paris"))
    events = await until(connection, "response.done")
    [call] = events[-1].response.output
    assert (call.type, call.name) == ("function_call", "get_weather")
    assert json.loads(call.arguments) == {"location": "paris"}

    output = {"type": "function_call_output", "call_id": call.call_id}
    await connection.conversation.item.create(item={**output, "output": '{"sky": "sunny"}'})
    await connection.response.create()
    events = await until(connection, "response.done")
    [said] = of(events, "response.output_audio_transcript.done")
    assert "sunny" in said.transcript


async def test_push_to_talk(connection):
    session = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
    await connection.session.update(session=session)
    await speak(connection, recording("what_time_is_it_in_london_today"))
    await connection.input_audio_buffer.commit()
    await connection.response.create()
    events = await until(connection, "response.done")
    assert not of(events, "input_audio_buffer.speech_started")
    assert "london" in of(events, "response.output_audio_transcript.done")[0].transcript.lower()


async def test_text_in_text_out(connection):
    await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
    content = [{"type": "input_text", "text": "what is twelve plus thirty"}]
    await connection.conversation.item.create(
        item={"type": "message", "role": "user", "content": content}
    )
    await connection.response.create()
    events = await until(connection, "response.done")
    assert "forty" in of(events, "response.output_text.done")[0].text.lower()
    assert not audio(events)
