"""The backends over gRPC: wire messages become signals here and in `listening.py`."""

from __future__ import annotations

import asyncio
import copy
import re
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from gateway import mcp_calls
from gateway.backends import Microphone, Profile, Sound, Thought, ToolFault
from gateway.dictation import MeshDictation
from gateway.generation import generation, session_ref
from gateway.listening import MeshMicrophone
from gateway.realtime import signals as sig
from gateway.realtime.effects import Listening, StartReply
from gateway.realtime.settings import RATE_HZ, McpTool
from gateway.recognition import FORMAT, recognition
from gateway.streams import Stream
from mesh import errors
from mesh.dial import Link, metadata
from mesh.errors import Broken, MeshError, Rejected
from ovos.common.v1 import common_pb2
from ovos.llm.v1 import llm_pb2 as llm
from ovos.llm.v1 import llm_pb2_grpc
from ovos.stt.v1 import stt_pb2 as stt
from ovos.stt.v1 import stt_pb2_grpc
from ovos.tts.v1 import tts_pb2 as tts
from ovos.tts.v1 import tts_pb2_grpc

_TRANSCRIBE_S = 20.0
_CREDIT_SAMPLES = 4 * RATE_HZ  # audio that a worker may be ahead of what the client was sent
_GRANT_SAMPLES = RATE_HZ // 2  # a grant is worth a message from here on
_CHUNK_MS = 100  # five frames: one at a time, they cost this process a third more
_MAX_UNARY_BYTES = 3 << 20

_INCOMPLETE = {
    llm.FINISH_REASON_LENGTH: "max_output_tokens",
    llm.FINISH_REASON_CONTENT_FILTER: "content_filter",
}


class MeshBackends:
    """The three tiers. `tasks` outlives every session."""

    def __init__(
        self,
        links: tuple[Link, Link, Link],
        tasks: asyncio.TaskGroup,
        *,
        patience_s: float,
        llm_timeout_s: float,
    ) -> None:
        """
        Args:
            links: To stt, tts and llm.
            patience_s: How long a microphone waits for recognition to come back.
            llm_timeout_s: Deadline of one reply.
        """
        self.stt, self.tts, self.llm = links
        self._tasks = tasks
        self._patience_s, self._llm_timeout_s = patience_s, llm_timeout_s
        self._profile = Profile()
        self._by_profile: dict[Profile, MeshBackends] = {}  # of the operator: they are few
        self._stt_stub = stt_pb2_grpc.SttServiceStub(self.stt.channel)
        self._tts_stub = tts_pb2_grpc.TtsServiceStub(self.tts.channel)
        self._llm_stub = llm_pb2_grpc.LlmOrchestratorServiceStub(self.llm.channel)

    def with_profile(self, profile: Profile) -> MeshBackends:
        if profile not in self._by_profile:
            other = self._by_profile[profile] = copy.copy(self)
            other._profile = profile
        return self._by_profile[profile]

    @asynccontextmanager
    async def listen(self, how: Listening, from_sample: int) -> AsyncIterator[Microphone]:
        def dial() -> Stream[stt.StreamingRecognizeRequest, stt.StreamingRecognizeResponse]:
            stub = self._stt_stub
            return Stream(
                self.stt, lambda: stub.StreamingRecognize(metadata=metadata()), self._tasks
            )

        microphone = MeshMicrophone(
            dial, how, from_sample, self._patience_s, self._profile.stt, f"{secrets.token_hex(4)}."
        )
        try:
            yield microphone
        finally:
            await microphone.close()

    async def transcribe(self, pcm: bytes, how: Listening) -> str:
        if len(pcm) > _MAX_UNARY_BYTES:
            raise Rejected(f"a recording of {len(pcm)} bytes is too long", tier="stt")
        request = stt.RecognizeRequest(
            session=session_ref(),
            audio_format=FORMAT,
            recognition=recognition(how, self._profile.stt),
            audio=pcm,
        )
        with self.stt.calling():
            answer = await self._stt_stub.Recognize(
                request, timeout=_TRANSCRIBE_S, metadata=metadata()
            )
        return answer.transcript.text

    @asynccontextmanager
    async def dictate(self, how: Listening, *, words: bool) -> AsyncIterator[MeshDictation]:
        stub = self._stt_stub
        stream = Stream(self.stt, lambda: stub.StreamingRecognize(metadata=metadata()), self._tasks)
        dictation = MeshDictation(stream)
        try:
            await dictation.open(how, self._profile.stt, words=words)
            yield dictation
        finally:
            await dictation.close()

    @asynccontextmanager
    async def think(self, start: StartReply) -> AsyncIterator[AsyncIterator[Thought]]:
        stub, timeout_s = self._llm_stub, self._llm_timeout_s
        stream = Stream(
            self.llm, lambda: stub.Generate(timeout=timeout_s, metadata=metadata()), self._tasks
        )
        try:
            await stream.write(llm.GenerateRequest(config=generation(start, self._profile)))
            await stream.write(llm.GenerateRequest(finish=llm.FinishGeneration()))
            yield _thoughts(stream, start.response_id)
        finally:
            await stream.stop(llm.GenerateRequest(cancel=llm.CancelGeneration(reason="client")))

    @asynccontextmanager
    async def speak(self, start: StartReply) -> AsyncIterator[MeshSpeech]:
        stub = self._tts_stub
        stream = Stream(
            self.tts, lambda: stub.StreamingSynthesize(metadata=metadata()), self._tasks
        )
        speech = MeshSpeech(stream, start.response_id)
        try:
            config = _synthesis(start, self._profile)
            await stream.write(tts.StreamingSynthesizeRequest(config=config))
            yield speech
        finally:
            await stream.stop(tts.StreamingSynthesizeRequest(cancel=tts.CancelSynthesis()))

    async def list_tools(self, server: McpTool) -> tuple[dict[str, Any], ...]:
        return await mcp_calls.list_tools(self._llm_stub, server)

    async def call_tool(self, server: McpTool, name: str, arguments: str) -> str | ToolFault:
        return await mcp_calls.call_tool(self._llm_stub, server, name, arguments)


class MeshSpeech:
    """One reply being spoken; grants credit as its audio is taken."""

    def __init__(
        self,
        stream: Stream[tts.StreamingSynthesizeRequest, tts.StreamingSynthesizeResponse],
        response_id: str,
    ) -> None:
        self._stream, self._id = stream, response_id
        self._chunks = 0
        self._taken = 0  # samples
        self._granted = _CREDIT_SAMPLES

    async def say(self, text: str) -> None:
        self._chunks += 1
        chunk = tts.TextChunk(text=text, sequence=self._chunks)
        await self._stream.write(tts.StreamingSynthesizeRequest(text=chunk))

    async def finish(self) -> None:
        await self._stream.write(tts.StreamingSynthesizeRequest(finish=tts.FinishSynthesis()))

    async def __aiter__(self) -> AsyncIterator[Sound]:  # noqa: C901 - a table
        segment = _Segment()
        async for news in self._stream:
            match news.WhichOneof("payload"):
                case "segment_started":
                    started = news.segment_started
                    segment = _Segment(started.text, started.start_char, self._taken)
                case "audio":
                    pcm = news.audio.chunk.data
                    if begun := segment.begun(news.audio.words):
                        yield sig.ReplyTiming(self._id, begun)
                    yield sig.ReplyAudio(self._id, pcm)
                    await self._took(len(pcm) // 2)
                case "segment_finished":
                    rest, piece = (
                        segment.rest(news.segment_finished),
                        segment.whole(news.segment_finished),
                    )
                    yield sig.ReplyTiming(self._id, rest, piece)
                case "degraded":
                    worse = news.degraded
                    yield sig.ReplyDegraded(self._id, worse.failed_engine, worse.serving_engine)
                case "error" if not news.error.retryable:
                    raise Broken(news.error.message, tier="tts")
                case "finished":
                    return
        raise Broken("the stream ended early", tier="tts")

    async def _took(self, n_samples: int) -> None:
        self._taken += n_samples
        if self._taken + _CREDIT_SAMPLES - self._granted >= _GRANT_SAMPLES:
            self._granted = self._taken + _CREDIT_SAMPLES
            credit = common_pb2.FlowCredit(allowed_until_sample=self._granted)
            with suppress(MeshError):  # it has sent all and ended, or iterating says why it failed
                await self._stream.write(tts.StreamingSynthesizeRequest(credit=credit))


class _Segment:
    """When the words of a piece of text have been spoken: `(end_char, end_ms)` of each."""

    def __init__(self, text: str = "", start_char: int = 0, start_sample: int = 0) -> None:
        self._text, self._start_char, self._start_sample = text, start_char, start_sample
        self._last: tts.WordTiming | None = None  # it lasts until the next one begins

    def begun(self, words: Iterable[tts.WordTiming]) -> tuple[tuple[int, int], ...]:
        """Words begin, and those before them have been spoken."""
        spoken = []
        for word in words:
            if self._last is not None:
                spoken.append(self._spoken(self._last, word.start_sample))
            self._last = word
        return tuple(spoken)

    def rest(self, finished: tts.SegmentFinished) -> tuple[tuple[int, int], ...]:
        """What is left at the end; all words, evenly spread, if the voice has not said."""
        if self._last is not None:
            return (self._spoken(self._last, finished.end_sample),)
        length = max(1, len(self._text))
        samples = finished.end_sample - self._start_sample
        spread = []
        for word in re.finditer(r"\S+\s*", self._text):
            end_sample = self._start_sample + samples * word.end() // length
            end_char = word.start() + len(word[0].rstrip())
            spread.append((self._start_char + end_char, _ms(end_sample)))
        return tuple(spread)

    def whole(self, finished: tts.SegmentFinished) -> tuple[int, int]:
        """Where it ends: `(end_char, end_ms)`."""
        return self._start_char + len(self._text), _ms(finished.end_sample)

    def _spoken(self, word: tts.WordTiming, end_sample: int) -> tuple[int, int]:
        return self._start_char + word.end_char, _ms(end_sample)


def _ms(n_samples: int) -> int:
    return n_samples * 1000 // RATE_HZ


async def _thoughts(
    stream: Stream[llm.GenerateRequest, llm.GenerateResponse], response_id: str
) -> AsyncIterator[Thought]:
    async for news in stream:
        match news.WhichOneof("payload"):
            case "text_delta":
                yield sig.ReplyText(response_id, news.text_delta.text)
            case "tool_call_delta":
                d = news.tool_call_delta
                yield sig.ReplyCall(response_id, d.call_id, d.name, d.arguments_json)
            case "tool_call":
                c = news.tool_call
                yield sig.ReplyCallDone(response_id, c.call_id, c.name, c.arguments_json)
            case "error" if not news.error.retryable:
                code = news.error.metadata.get(errors.CODE, "")
                raise Broken(news.error.message, tier="llm", code=code)
            case "completed":
                if news.completed.finish_reason == llm.FINISH_REASON_FAILED:
                    raise Broken("every provider failed", tier="llm")
                yield _ended(response_id, news.completed)
                return
    raise Broken("the stream ended early", tier="llm")


def _ended(response_id: str, done: llm.GenerationCompleted) -> sig.ReplyEnded:
    u = done.usage
    tokens = sig.Tokens(u.input_tokens, u.cached_input_tokens, u.output_tokens)
    return sig.ReplyEnded(response_id, tokens, _INCOMPLETE.get(done.finish_reason))


def _synthesis(start: StartReply, profile: Profile) -> tts.StreamingSynthesisConfig:
    assert start.voice is not None
    config = tts.StreamingSynthesisConfig(
        session=session_ref(),
        response_id=start.response_id,
        audio_format=FORMAT,
        voice=tts.VoiceSelection(voice_id=start.voice.name, speaking_rate=start.voice.speed),
        credit=common_pb2.FlowCredit(allowed_until_sample=_CREDIT_SAMPLES),
    )
    config.voice.engines.extend(profile.tts)
    config.continues = start.begun is not None and start.begun.from_char > 0
    config.chunk_duration.FromMilliseconds(_CHUNK_MS)
    return config
