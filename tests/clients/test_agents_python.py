"""The stock `openai-agents`: a RealtimeSession over its own WebSocket model.

Its defaults are left as they are (semantic_vad, transcription, tracing), so what it sends first
is what its users' programs send first. It parses every event strictly and tells of what it
cannot parse as an error.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from agents import function_tool
from agents.realtime import (
    RealtimeAgent,
    RealtimeModelSendInterrupt,
    RealtimeModelSendRawMessage,
    RealtimeRunner,
    RealtimeSession,
)
from agents.realtime.model_events import RealtimeModelRawServerEvent
from websockets.exceptions import ConnectionClosed

from tests.client import WAIT_S
from tests.clients import wall
from tests.e2e.speech import FRAME_BYTES, recording
from tests.wire import Event


class Call:
    """A session of the SDK, all it told, and the server's events as JSON."""

    def __init__(self, session: RealtimeSession) -> None:
        self.sdk = session
        self.told: list[Any] = []
        self.got: list[Event] = []
        self._news = aiter(session)

    async def until(self, type_: str) -> Any:
        """The next thing of one type that the SDK tells its user."""
        return await self._next(lambda event: event.type == type_)

    async def until_server(self, type_: str) -> None:
        """The next event of the server of one type, as it was on the wire."""
        n_before = len(self.got)
        await self._next(lambda _: any(e["type"] == type_ for e in self.got[n_before:]))

    async def _next(self, fits: Callable[[Any], bool]) -> Any:
        while True:
            async with asyncio.timeout(WAIT_S):
                event = await anext(self._news)
            self.told.append(event)
            if isinstance(raw := getattr(event, "data", None), RealtimeModelRawServerEvent):
                self.got.append(raw.data)
            if fits(event):
                return event

    def of(self, type_: str) -> list[Any]:
        return [event for event in self.told if event.type == type_]

    def fine(self) -> None:
        """It understood everything."""
        assert not self.of("error")
        failed = [e for e in self.of("raw_model_event") if e.data.type == "exception"]
        assert not failed

    def messages(self) -> list[tuple[str, str]]:
        """Its own history in the end: role and words of each message."""
        found = []
        for item in self.sdk._history:
            if item.type == "message":
                [part] = item.content
                found.append((item.role, getattr(part, "transcript", None) or part.text))
        return found

    async def speak(self, name: str) -> None:
        pcm = recording(name)
        for at in range(0, len(pcm), FRAME_BYTES):
            await self.sdk.send_audio(pcm[at : at + FRAME_BYTES])


@asynccontextmanager
async def connected(
    stack: Any, *, model: str = "gpt-realtime", key: str = "", tools: Any = (), **settings: Any
) -> Any:
    agent = RealtimeAgent(name="tester", instructions="Answer briefly.", tools=list(tools))
    url = stack.url.replace("http", "ws") + f"/v1/realtime?model={model}"
    options = {"url": url, "api_key": key or stack.key, "initial_model_settings": settings}
    async with await RealtimeRunner(agent).run(model_config=options) as session:
        yield Call(session)


@pytest.fixture
async def call(stack):
    async with connected(stack) as call:
        # Its first update sets the session up, its second turns tracing on.
        await call.until_server("session.updated")
        await call.until_server("session.updated")
        yield call


async def test_a_text_turn(stack):
    async with connected(stack, output_modalities=["text"]) as call:
        await call.sdk.send_message(wall.SUM)
        await call.until("agent_end")
    wall.a_text_turn(call.got)
    call.fine()
    [written] = wall.of(call.got, "response.output_text.done")
    assert call.messages() == [("user", wall.SUM), ("assistant", written["text"])]


async def test_a_spoken_turn(call):
    await call.speak(wall.QUESTION)
    await call.until("agent_end")
    wall.a_spoken_turn(call.got)
    call.fine()
    heard = b"".join(event.audio.data for event in call.of("audio"))
    assert heard == wall.audio(call.got)


async def test_speaking_over_the_answer_interrupts_it(call):
    await call.sdk.send_message(wall.LONG)
    await call.until("audio")
    await call.speak(wall.QUESTION)
    await call.until("agent_end")
    await call.until("agent_end")
    wall.a_barge_in(call.got)
    call.fine()
    assert len(call.of("audio_interrupted")) == 1


async def test_its_tool_runs_and_the_result_is_spoken(stack):
    asked = []

    @function_tool
    def get_weather(location: str) -> str:
        """Tells the weather at a place."""
        asked.append(location)
        return json.dumps({"sky": "sunny"})

    async with connected(stack, tools=[get_weather]) as call:
        await call.speak(wall.WEATHER)
        await call.until("tool_end")
        await call.until_server("response.output_audio_transcript.done")
        await call.until_server("response.done")
    wall.a_tool_call(call.got)
    call.fine()
    assert asked == ["paris"]


async def test_cancel_stops_the_answer_and_cuts_it(call):
    await call.sdk.send_message(wall.LONG)
    await call.until("audio")
    await call.sdk.model.send_event(RealtimeModelSendInterrupt(force_response_cancel=True))
    await call.until_server("response.done")
    await call.until_server("conversation.item.retrieved")
    wall.a_cancel(call.got)
    call.fine()
    assert len(wall.of(call.got, "conversation.item.truncated")) == 1


async def test_what_was_said_is_in_its_history(call):
    await call.speak(wall.QUESTION)
    await call.until_server("response.done")
    wall.check(call.got)
    call.fine()
    assert call.messages()[0] == ("user", wall.HEARD)


async def test_a_bad_event_is_an_error_that_names_it_and_no_more(call):
    bad = {"type": "conversation.item.delete", "other_data": {"item_id": "no", "event_id": "mine"}}
    await call.sdk.model.send_event(RealtimeModelSendRawMessage(message=bad))
    error = await call.until("error")
    assert error.error.event_id == "mine"
    await call.sdk.send_message(wall.SUM)
    await call.until("agent_end")
    wall.a_bad_event(call.got)


@pytest.mark.parametrize(
    ("options", "code"),
    [({"model": "no-such-model"}, "invalid_model"), ({"key": "sk-wrong"}, "invalid_api_key")],
)
async def test_who_is_not_let_in_is_told_why(stack, options, code):
    """It sends before it reads: its user gets the error, or the reason of the close."""
    try:
        async with connected(stack, **options) as call:
            error = await call.until("error")
        wall.a_refusal(call.got, code)
        reason = f"{error.error.type}.{error.error.code}"
    except ConnectionClosed as closed:
        reason = closed.rcvd.reason
    assert reason == f"invalid_request_error.{code}"
