"""The stock `openai` package for Python, the newest."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from websockets.exceptions import ConnectionClosed

from tests.client import WAIT_S
from tests.clients import wall
from tests.e2e.speech import recording, speak
from tests.wire import Event

TRANSCRIBED = {
    "type": "realtime",
    "audio": {"input": {"transcription": {"model": "whisper-1"}}},
}


class Call:
    """A connection of the SDK; `got` is every event so far, as JSON."""

    def __init__(self, connection: Any) -> None:
        self.sdk = connection
        self.got: list[Event] = []

    async def until(self, *types: str) -> Any:
        """The next event of one of these types, as the SDK parses it."""
        while True:
            async with asyncio.timeout(WAIT_S):
                raw = await self.sdk.recv_bytes()  # what its `recv` does, in two steps
            self.got.append(json.loads(raw))
            event = self.sdk.parse_event(raw)
            assert type(event).__module__.startswith("openai.types.realtime."), event
            if event.type in types:
                return event

    async def say(self, text: str) -> None:
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content}
        await self.sdk.conversation.item.create(item=item)
        await self.sdk.response.create()


@asynccontextmanager
async def connected(stack: Any, **options: Any) -> Any:
    options = {"model": "gpt-realtime"} | options
    async with stack.openai() as client, client.realtime.connect(**options) as connection:
        yield Call(connection)


@pytest.fixture
async def call(stack):
    async with connected(stack) as call:
        await call.until("session.created")
        yield call


async def test_a_text_turn(call):
    await call.sdk.session.update(session={"type": "realtime", "output_modalities": ["text"]})
    await call.say(wall.SUM)
    await call.until("response.done")
    wall.a_text_turn(call.got)


async def test_a_spoken_turn(call):
    await call.sdk.session.update(session=TRANSCRIBED)
    await speak(call.sdk, recording(wall.QUESTION))
    await call.until("response.done")
    wall.a_spoken_turn(call.got)


async def test_the_same_over_tls(stack, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", stack.ca_file)
    url = f"{stack.https_url}/v1"
    async with (
        openai.AsyncOpenAI(base_url=url, api_key=stack.key) as client,
        client.realtime.connect(model="gpt-realtime") as connection,
    ):
        call = Call(connection)
        await call.sdk.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        await call.say(wall.SUM)
        await call.until("response.done")
    wall.a_text_turn(call.got)


async def test_speaking_over_the_answer_stops_it(call):
    await call.sdk.session.update(session=TRANSCRIBED)
    await call.say(wall.LONG)
    first = await call.until("response.output_audio.delta")
    await speak(call.sdk, recording(wall.QUESTION))
    await call.until("response.done")
    await call.sdk.conversation.item.truncate(
        item_id=first.item_id, content_index=0, audio_end_ms=100
    )
    await call.until("response.done")
    wall.a_barge_in(call.got)


async def test_a_tool_is_called_and_its_result_spoken(call):
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
    await call.sdk.session.update(session={**TRANSCRIBED, "tools": [tool]})
    await speak(call.sdk, recording(wall.WEATHER))
    [asked] = (await call.until("response.done")).response.output
    output = {
        "type": "function_call_output",
        "call_id": asked.call_id,
        "output": '{"sky": "sunny"}',
    }
    await call.sdk.conversation.item.create(item=output)
    await call.sdk.response.create()
    await call.until("response.done")
    wall.a_tool_call(call.got)


async def test_cancel_stops_the_answer_and_then_there_is_nothing_to_cancel(call):
    await call.say(wall.LONG)
    await call.until("response.output_audio.delta")
    await call.sdk.response.cancel()
    await call.until("response.done")
    await call.sdk.response.cancel(event_id="mine")
    error = await call.until("error")
    assert error.error.event_id == "mine"
    wall.a_cancel(call.got, errors=["response_cancel_not_active"])


async def test_a_transcription_session(stack):
    options = {"model": openai.omit, "extra_query": {"intent": "transcription"}}
    async with connected(stack, **options) as call:
        session = {**TRANSCRIBED, "type": "transcription"}
        await call.sdk.session.update(session=session)
        await speak(call.sdk, recording(wall.QUESTION))
        await call.until(wall.TRANSCRIBED)
    wall.a_transcription(call.got)


async def test_a_bad_event_is_an_error_that_names_it_and_no_more(call):
    await call.sdk.send_raw('{"type": "no.such.event", "event_id": "mine"}')
    await call.until("error")
    await call.say(wall.SUM)
    await call.until("response.done")
    wall.a_bad_event(call.got)


async def test_an_unknown_model_is_refused(stack):
    async with connected(stack, model="no-such-model") as call:
        with pytest.raises(ConnectionClosed) as closed:
            await call.until("session.created")
    wall.a_refusal(call.got, "invalid_model")
    assert closed.value.rcvd.code == 4000


async def test_a_wrong_key_is_refused(stack):
    async with (
        openai.AsyncOpenAI(base_url=f"{stack.url}/v1", api_key="sk-wrong") as client,
        client.realtime.connect(model="gpt-realtime") as connection,
    ):
        call = Call(connection)
        with pytest.raises(ConnectionClosed) as closed:
            await call.until("session.created")
    wall.a_refusal(call.got, "invalid_api_key")
    assert closed.value.rcvd.code == 3000


async def test_models_are_listed(stack):
    async with stack.openai() as client:
        names = [model.id async for model in client.models.list()]
    assert "gpt-realtime" in names
