"""Backends that do what a script says, when it says it. For replays over a real socket."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Self

from gateway.backends import Dictation, Profile, Sound, Thought, ToolFault
from gateway.realtime import signals as sig
from gateway.realtime.effects import Listening, StartReply
from gateway.realtime.settings import McpTool
from mesh.errors import MeshError


class ScriptedMicrophone:
    """Reports what it is told to, whatever the audio is."""

    def __init__(self, signals: asyncio.Queue[sig.Hearing]) -> None:
        self._signals = signals

    async def hear(self, pcm: bytes) -> None:
        pass

    async def end_utterance(self, utterance: str) -> None:
        pass

    async def forget(self) -> None:
        pass

    async def listen(self, how: Listening) -> None:
        pass

    async def __aiter__(self) -> AsyncIterator[sig.Hearing]:
        while True:
            yield await self._signals.get()


class ScriptedSpeech:
    """Says what it is told to, until the reply is over."""

    def __init__(self, sounds: asyncio.Queue[Sound | None]) -> None:
        self._sounds = sounds

    async def say(self, text: str) -> None:
        pass

    async def finish(self) -> None:
        await self._sounds.put(None)

    async def __aiter__(self) -> AsyncIterator[Sound]:
        while (sound := await self._sounds.get()) is not None:
            yield sound


class ScriptedBackends:
    """What is given before anybody listens, thinks or speaks waits for them."""

    def __init__(self) -> None:
        self._hearing: asyncio.Queue[sig.Hearing] = asyncio.Queue()
        self._thoughts: dict[str, asyncio.Queue[Thought | MeshError]] = defaultdict(asyncio.Queue)
        self.listings: asyncio.Queue[tuple[dict[str, Any], ...]] = asyncio.Queue()
        """What MCP servers list, and what their tools return."""
        self.outputs: asyncio.Queue[str | ToolFault] = asyncio.Queue()
        self._sounds: dict[str, asyncio.Queue[Sound | None]] = defaultdict(asyncio.Queue)

    def give(self, signal: sig.Hearing | Thought | Sound) -> None:
        """Report this to the gateway, from the backend whose news it is."""
        if isinstance(signal, sig.Hearing):
            self._hearing.put_nowait(signal)
        elif isinstance(signal, Sound):
            self._sounds[signal.response_id].put_nowait(signal)
        else:
            self._thoughts[signal.response_id].put_nowait(signal)

    def fail(self, response_id: str, error: MeshError) -> None:
        """The model fails."""
        self._thoughts[response_id].put_nowait(error)

    def with_profile(self, profile: Profile) -> Self:
        return self

    @asynccontextmanager
    async def listen(
        self, how: Listening, from_sample: int, epoch: int = 1
    ) -> AsyncIterator[ScriptedMicrophone]:
        yield ScriptedMicrophone(self._hearing)

    async def transcribe(self, pcm: bytes, how: Listening) -> str:
        return ""

    async def list_tools(self, server: McpTool) -> tuple[dict[str, Any], ...]:
        return await self.listings.get()

    async def call_tool(self, server: McpTool, name: str, arguments: str) -> str | ToolFault:
        return await self.outputs.get()

    @asynccontextmanager
    async def dictate(self, how: Listening, *, words: bool) -> AsyncIterator[Dictation]:
        raise AssertionError("a transcript is of a WebSocket: nobody dictates a file")
        yield

    @asynccontextmanager
    async def think(self, start: StartReply) -> AsyncIterator[AsyncIterator[Thought]]:
        yield self._think(start, self._thoughts[start.response_id])

    @asynccontextmanager
    async def speak(self, start: StartReply) -> AsyncIterator[ScriptedSpeech]:
        yield ScriptedSpeech(self._sounds[start.response_id])

    async def _think(
        self, start: StartReply, thoughts: asyncio.Queue[Thought | MeshError]
    ) -> AsyncIterator[Thought]:
        ended = False
        while not ended:
            thought = await thoughts.get()
            if isinstance(thought, MeshError):
                raise thought
            if isinstance(thought, sig.ReplyCall | sig.ReplyCallDone):
                thought = replace(thought, name=_offered(start, thought.name))
            yield thought
            ended = isinstance(thought, sig.ReplyEnded)


def _offered(start: StartReply, name: str) -> str:
    """A tool as the model knows it: those of MCP servers may have longer names."""
    return next((tool.name for tool in start.tools if tool.name.endswith(name)), name)
