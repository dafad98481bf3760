"""In-memory backends for the gateway. The same contract suite runs on the gRPC ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.backends import Sound, Thought
from gateway.realtime import signals as sig
from gateway.realtime.effects import Listening, StartReply
from gateway.realtime.items import FunctionCallOutput
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


class FakeSpeech:
    """Says each word as a quarter of a second of a constant tone."""

    def __init__(self, response_id: str) -> None:
        self._id = response_id
        self._text: asyncio.Queue[str | None] = asyncio.Queue()

    async def say(self, text: str) -> None:
        await self._text.put(text)

    async def finish(self) -> None:
        await self._text.put(None)

    async def __aiter__(self) -> AsyncIterator[Sound]:
        chars = words = 0
        while (text := await self._text.get()) is not None:
            chars += len(text)
            yield sig.ReplyTiming(self._id, ((chars, words * 250),))
            yield sig.ReplyAudio(self._id, b"\x10\x00" * SAMPLES_A_WORD)
            words += 1


class FakeBackends:
    """A mesh that hears `words` and answers `answer`, word by word."""

    def __init__(self, words: str = "hello", answer: tuple[str, ...] = ("Hi ", "there.")) -> None:
        self.words, self.answer = words, answer
        self.call: tuple[str, str] | None = None  # name and arguments of a function to call first
        self.fail: MeshError | None = None  # what thinking fails with
        self.deaf: MeshError | None = None  # what listening fails with
        self.gate: asyncio.Event | None = None  # thinking waits for it before the second word
        self.asked: list[StartReply] = []
        self.open_streams = 0

    @asynccontextmanager
    async def listen(self, how: Listening, from_sample: int) -> AsyncIterator[FakeMicrophone]:
        self.open_streams += 1
        try:
            yield FakeMicrophone(how, from_sample, self.words, self.deaf)
        finally:
            self.open_streams -= 1

    async def transcribe(self, pcm: bytes, how: Listening) -> str:
        return self.words

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
        self.open_streams += 1
        try:
            yield FakeSpeech(start.response_id)
        finally:
            self.open_streams -= 1

    async def _thoughts(self, start: StartReply) -> AsyncIterator[Thought]:
        if self.fail is not None:
            raise self.fail
        rid = start.response_id
        answered = any(isinstance(line.item, FunctionCallOutput) for line in start.context)
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
