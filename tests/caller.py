"""A caller who never hangs up: the stock openai client, with the one option that makes it come
back to its session."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Self

from openai.types.websocket_reconnection import ReconnectingEvent, ReconnectingOverrides
from websockets.exceptions import ConnectionClosed

from tests.stack import Stack

ASKED = "What can you do?"
"""The offline responder talks for 13 seconds about it."""
ANSWER = (
    "I am the offline responder. I answer by rules, without a network and without a language "
    "model. I can greet you, tell the time and the date, do arithmetic and call tools. I can not "
    "follow instructions."
)
ANSWER_S = 12.0  # at least so much audio


@dataclass
class Caller:
    """What one client heard, over all its connections."""

    stack: Stack
    session_id: str = ""
    connections: int = 0
    text: str = ""
    """All deltas of the transcript of the last answer."""
    whole: str = ""
    """Its transcript as it was told at the end."""
    audio: bytearray = field(default_factory=bytearray)
    statuses: list[str] = field(default_factory=list)
    """How its answers ended."""
    codes: list[int | None] = field(default_factory=list)
    """With which its connections were closed."""
    speech: list[tuple[str, str]] = field(default_factory=list)
    """What was noticed of its own speech, with the item that it became."""
    heard: list[str] = field(default_factory=list)
    """Its own words, as the server heard them."""
    items: list[str] = field(default_factory=list)
    """All that was ever said, by id."""
    errors: list[Any] = field(default_factory=list)
    gaps_s: list[float] = field(default_factory=list)
    """Between the last audio of a connection and the first of the next one."""

    def __post_init__(self) -> None:
        self._client = self.stack.openai()
        self._changed = asyncio.Condition()
        self._heard_s = 0.0
        self._is_back = False
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        connecting = self._client.realtime.connect(
            model="gpt-realtime", on_reconnecting=self._again, initial_delay=0.05
        )
        self.connection = await self._stack.enter_async_context(connecting)
        tasks = await self._stack.enter_async_context(asyncio.TaskGroup())
        self._reading = tasks.create_task(self._read())
        await self.until(lambda: self.connections > 0)
        return self

    async def __aexit__(self, *error: Any) -> None:
        self._reading.cancel()
        await self._stack.__aexit__(*error)
        await self._client.close()

    async def ask(self, text: str = ASKED) -> None:
        """Ask for an answer; it is begun when this returns, whatever happens to connections."""
        part = {"type": "input_text", "text": text}
        item: Any = {"type": "message", "role": "user", "content": [part]}
        self.text, self.whole, self.audio = "", "", bytearray()
        await self._send(lambda: self.connection.conversation.item.create(item=item))
        await self._send(self.connection.response.create)

    async def speak(self, pcm: bytes) -> None:
        """Say something (PCM16 LE mono 24 kHz) in real time, as a microphone does."""
        due_s = time.monotonic()
        for at in range(0, len(pcm), 960):
            audio = base64.b64encode(pcm[at : at + 960]).decode()
            await self._send(lambda a=audio: self.connection.input_audio_buffer.append(audio=a))  # type: ignore[misc]
            due_s += 0.02
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))

    async def hear(self) -> str:
        """Listen until the answer is over; its status."""
        n = len(self.statuses)
        await self.until(lambda: len(self.statuses) > n)
        return self.statuses[-1]

    async def until(self, happened: Callable[[], bool], within_s: float = 60) -> None:
        """Wait until something has happened to this caller."""
        async with asyncio.timeout(within_s), self._changed:
            await self._changed.wait_for(lambda: happened() or bool(self.errors))
        assert not self.errors, self.errors

    def check(self, answer: str = ANSWER) -> None:
        """Nothing was lost, nothing was said twice."""
        assert self.statuses[-1] == "completed"
        assert self.text == answer
        assert self.whole == answer

    @property
    def audio_s(self) -> float:
        return len(self.audio) / 48_000

    def _again(self, event: ReconnectingEvent) -> ReconnectingOverrides:
        if event.attempt == 1:
            self.codes.append(event.close_code)
        self._is_back = True
        return {"extra_query": {"session_id": self.session_id}}

    async def _send(self, send: Callable[[], Awaitable[None]]) -> None:
        """A message that meets a closed door is not on its way: it is sent when we are back."""
        while True:
            n = self.connections
            try:
                return await send()
            except ConnectionClosed:
                await self.until(lambda n=n: self.connections > n)  # type: ignore[misc]

    async def _read(self) -> None:
        async for event in self.connection:
            async with self._changed:
                self._take(event)
                self._changed.notify_all()

    def _take(self, event: Any) -> None:  # noqa: C901 - a table
        match event.type:
            case "session.created":
                assert event.session.id == (self.session_id or event.session.id)
                self.session_id = event.session.id
                self.connections += 1
            case "input_audio_buffer.speech_started" | "input_audio_buffer.speech_stopped":
                self.speech.append((event.type.rpartition("_")[2], event.item_id))
            case "conversation.item.input_audio_transcription.completed":
                self.heard.append(event.transcript)
            case "conversation.item.done":
                self.items.append(event.item.id)
            case "response.output_audio_transcript.delta":
                self.text += event.delta
            case "response.output_audio_transcript.done":
                self.whole = event.transcript
            case "response.output_audio.delta":
                self._hear(base64.b64decode(event.delta))
            case "response.done":
                self.statuses.append(event.response.status)
            case "error":
                self.errors.append(event.error)

    def _hear(self, pcm: bytes) -> None:
        now_s = time.monotonic()
        if self._is_back and self.audio:
            self.gaps_s.append(now_s - self._heard_s)
        self._heard_s, self._is_back = now_s, False
        self.audio += pcm


def owner_of(stack: Stack, session_id: str) -> int:
    """Which gateway serves a session, as its log tells; 0 is the first."""
    newest = ("", -1)
    for n in range(len(stack.gateways)):
        log = (stack.data_dir / "logs" / f"gateway-{n + 1}.log").read_text()
        for line in log.splitlines():
            if session_id in line and ('"session opened"' in line or '"session resumed"' in line):
                newest = max(newest, (line.rpartition('"time": "')[2], n))
    assert newest[1] >= 0, "nobody serves it"
    return newest[1]
