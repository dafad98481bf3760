"""In-memory backends for the gateway. The same contract suite runs on the gRPC ones."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

from gateway.backends import Passage, PlacedWord, Profile, Sound, Thought, ToolFault
from gateway.realtime import signals as sig
from gateway.realtime.effects import Begun, Listening, StartReply
from gateway.realtime.items import FunctionCallOutput, McpCall
from gateway.realtime.settings import McpTool
from mesh.errors import MeshError

RATE_HZ = 24_000
FRAME_BYTES = 960
SAMPLES_A_WORD = RATE_HZ // 4


class FakeMicrophone:
    """Hears speech in samples that are not zero; what was said is `words`."""

    def __init__(
        self, how: Listening, from_sample: int, words: str, deaf: MeshError | None
    ) -> None:
        self._how, self._sample, self._words, self._deaf = how, from_sample, words, deaf
        self._signals: asyncio.Queue[sig.Hearing] = asyncio.Queue()
        self._utterance = 0
        self._speaks = False
        self._start = from_sample

    async def hear(self, pcm: bytes) -> None:
        for at in range(0, len(pcm), FRAME_BYTES):  # audio comes in any cut
            self._hear(pcm[at : at + FRAME_BYTES])

    def _hear(self, pcm: bytes) -> None:
        speech = any(pcm)
        begin, self._sample = self._sample, self._sample + len(pcm) // 2
        if self._how.turn_detection is None or speech == self._speaks:
            return
        self._speaks = speech
        if speech:
            self._utterance += 1
            self._start = begin
            self._signals.put_nowait(sig.SpeechStarted(self._name, begin * 1000 // RATE_HZ))
        else:
            end_ms = self._sample * 1000 // RATE_HZ
            self._signals.put_nowait(sig.SpeechStopped(self._name, end_ms))
            self._transcribe(self._name)

    async def end_utterance(self, utterance: str) -> None:
        self._speaks = False
        self._transcribe(utterance)

    async def forget(self) -> None:
        self._speaks = False

    async def listen(self, how: Listening) -> None:
        self._how = how

    async def __aiter__(self) -> AsyncIterator[sig.Hearing]:
        if self._deaf is not None:
            raise self._deaf
        while True:
            yield await self._signals.get()

    @property
    def _name(self) -> str:
        return f"u{self._utterance}"

    def _transcribe(self, name: str) -> None:
        length_ms = (self._sample - self._start) * 1000 // RATE_HZ
        self._signals.put_nowait(sig.Transcribed(name, self._words, length_ms))


class FakeDictation:
    """Hears speech in samples that are not zero, at 16 kHz; each run of it says `words`."""

    RATE_HZ = 16_000
    FRAME_BYTES = 640

    def __init__(self, world: FakeBackends) -> None:
        self._world = world
        self._passages: asyncio.Queue[Passage | None] = asyncio.Queue()
        self._sample = 0
        self._start: int | None = None

    async def hear(self, pcm: bytes) -> None:
        for at in range(0, len(pcm), self.FRAME_BYTES):
            frame = pcm[at : at + self.FRAME_BYTES]
            if any(frame) and self._start is None:
                self._start = self._sample
            elif not any(frame):
                self._end()
            self._sample += len(frame) // 2

    async def finish(self) -> None:
        self._end()
        self._passages.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[Passage]:
        if self._world.deaf is not None:
            raise self._world.deaf
        if self._world.attention is not None:
            await self._world.attention.wait()
        while (passage := await self._passages.get()) is not None:
            yield passage

    def _end(self) -> None:
        if self._start is None:
            return
        start_ms, end_ms = (at * 1000 // self.RATE_HZ for at in (self._start, self._sample))
        self._start = None
        texts = self._world.words.split()
        length = (end_ms - start_ms) // len(texts)
        words = [
            PlacedWord(text, start_ms + n * length, start_ms + (n + 1) * length)
            for n, text in enumerate(texts)
        ]
        logprobs = tuple((f" {text}" if n else text, -0.1) for n, text in enumerate(texts))
        speakers = (PlacedWord(self._world.words, start_ms, end_ms, "A"),)
        passage = Passage(
            self._world.words, start_ms, end_ms, "en", tuple(words), logprobs, speakers
        )
        self._passages.put_nowait(passage)


class FakeSpeech:
    """Says each word as a quarter of a second of a constant tone."""

    def __init__(self, start: StartReply, world: FakeBackends) -> None:
        self._id, self._world = start.response_id, world
        self._begun = start.begun or Begun("", 0, 0, 0, None)
        self._words: asyncio.Queue[str | None] = asyncio.Queue()

    async def say(self, text: str) -> None:
        for word in re.findall(r"\s*\S+\s*", text):
            await self._words.put(word)

    async def finish(self) -> None:
        await self._words.put(None)

    async def __aiter__(self) -> AsyncGenerator[Sound]:
        chars, words, skip = self._begun.from_char, 0, self._begun.sent_bytes
        while (word := await self._words.get()) is not None:
            if self._world.breath is not None:
                await self._world.breath.acquire()
            if self._world.mute is not None and words >= self._world.mute_after:
                raise self._world.mute
            chars += len(word)
            words += 1
            yield sig.ReplyTiming(self._id, ((chars, self._begun.from_ms + words * 250),))
            pcm = b"\x10\x00" * SAMPLES_A_WORD
            if len(pcm) > skip:
                yield sig.ReplyAudio(self._id, pcm[skip:])
            skip = max(0, skip - len(pcm))


SEARCH: dict[str, Any] = {
    "name": "search",
    "description": "Search docs",
    "input_schema": {"type": "object", "properties": {"q": {"type": "string"}}},
    "annotations": {"readOnlyHint": True},
}


class FakeBackends:
    """A mesh that hears `words` and answers `answer`, word by word."""

    def __init__(self, words: str = "hello", answer: tuple[str, ...] = ("Hi ", "there.")) -> None:
        self.words, self.answer = words, answer
        self.call: tuple[str, str] | None = None  # name and arguments of a function to call first
        self.fail: MeshError | None = None  # what thinking fails with
        self.deaf: MeshError | None = None  # what listening fails with
        self.attention: asyncio.Event | None = None  # dictation waits for it
        self.mute: MeshError | None = None  # what speaking fails with
        self.mute_after = 0  # words
        self.breath: asyncio.Semaphore | None = None  # each word takes one, and waits for it
        self.gate: asyncio.Event | None = None  # thinking waits for it before the second word
        self.asked: list[StartReply] = []
        self.spoken: list[StartReply] = []
        self.dictated: list[tuple[Listening, bool]] = []
        self.open_streams = 0
        self.profiles: list[Profile] = []
        self.served: tuple[dict[str, Any], ...] = (SEARCH,)  # the tools of every MCP server
        self.unlisted: MeshError | None = None  # what listing them fails with
        self.result: str | ToolFault | MeshError = "3 hits"  # of every tool
        self.tool_gate: asyncio.Event | None = None  # MCP servers wait for it
        self.servers: list[McpTool] = []  # that were asked
        self.called: list[tuple[str, str]] = []  # name and arguments

    def with_profile(self, profile: Profile) -> Self:
        self.profiles.append(profile)
        return self

    @asynccontextmanager
    async def listen(
        self, how: Listening, from_sample: int, epoch: int = 1
    ) -> AsyncIterator[FakeMicrophone]:
        self.open_streams += 1
        try:
            yield FakeMicrophone(how, from_sample, self.words, self.deaf)
        finally:
            self.open_streams -= 1

    async def transcribe(self, pcm: bytes, how: Listening) -> str:
        return self.words

    @asynccontextmanager
    async def dictate(self, how: Listening, *, words: bool) -> AsyncIterator[FakeDictation]:
        self.dictated.append((how, words))
        self.open_streams += 1
        try:
            yield FakeDictation(self)
        finally:
            self.open_streams -= 1

    @asynccontextmanager
    async def think(self, start: StartReply) -> AsyncIterator[AsyncIterator[Thought]]:
        self.asked.append(start)
        self.open_streams += 1
        try:
            yield self._thoughts(start)
        finally:
            self.open_streams -= 1

    @asynccontextmanager
    async def speak(self, start: StartReply) -> AsyncIterator[FakeSpeech]:
        self.spoken.append(start)
        self.open_streams += 1
        try:
            yield FakeSpeech(start, self)
        finally:
            self.open_streams -= 1

    async def _thoughts(self, start: StartReply) -> AsyncIterator[Thought]:
        if self.fail is not None:
            raise self.fail
        rid = start.response_id
        results = FunctionCallOutput | McpCall
        answered = any(isinstance(line.item, results) for line in start.context)
        if self.call is not None and not answered:
            name, arguments = self.call
            half = len(arguments) // 2
            for part in (arguments[:half], arguments[half:]):
                yield sig.ReplyCall(rid, "call_1", name, part)
            yield sig.ReplyCallDone(rid, "call_1", name, arguments)
        else:
            for n, word in enumerate(self.answer):
                if n and self.gate is not None:
                    await self.gate.wait()
                yield sig.ReplyText(rid, word)
        yield sig.ReplyEnded(rid, sig.Tokens(input=10, output=len(self.answer)))

    async def list_tools(self, server: McpTool) -> tuple[dict[str, Any], ...]:
        await self._ask(server)
        if self.unlisted is not None:
            raise self.unlisted
        return self.served

    async def call_tool(self, server: McpTool, name: str, arguments: str) -> str | ToolFault:
        self.called.append((name, arguments))
        await self._ask(server)
        if isinstance(self.result, MeshError):
            raise self.result
        return self.result

    async def _ask(self, server: McpTool) -> None:
        self.servers.append(server)
        self.open_streams += 1
        try:
            if self.tool_gate is not None:
                await self.tool_gate.wait()
        finally:
            self.open_streams -= 1
