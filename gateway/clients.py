"""The backends over gRPC: wire messages become signals here and in `listening.py`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from gateway.backends import Microphone, Sound, Thought
from gateway.listening import FORMAT, MeshMicrophone, recognition
from gateway.realtime import signals as sig
from gateway.realtime.effects import Line, Listening, StartReply
from gateway.realtime.items import FunctionCall, FunctionCallOutput, Message
from gateway.realtime.settings import RATE_HZ
from gateway.streams import Stream
from mesh import log as logs
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
_MAX_UNARY_BYTES = 3 << 20

_ROLES = {
    "system": llm.ROLE_SYSTEM,
    "user": llm.ROLE_USER,
    "assistant": llm.ROLE_ASSISTANT,
}
_TOOL_CHOICE = {
    "none": llm.TOOL_CHOICE_MODE_NONE,
    "auto": llm.TOOL_CHOICE_MODE_AUTO,
    "required": llm.TOOL_CHOICE_MODE_REQUIRED,
}
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
        self._stt_stub = stt_pb2_grpc.SttServiceStub(self.stt.channel)
        self._tts_stub = tts_pb2_grpc.TtsServiceStub(self.tts.channel)
        self._llm_stub = llm_pb2_grpc.LlmOrchestratorServiceStub(self.llm.channel)

    @asynccontextmanager
    async def listen(self, how: Listening, from_sample: int) -> AsyncIterator[Microphone]:
        def dial() -> Stream[stt.StreamingRecognizeRequest, stt.StreamingRecognizeResponse]:
            stub = self._stt_stub
            return Stream(
                self.stt, lambda: stub.StreamingRecognize(metadata=metadata()), self._tasks
            )

        microphone = MeshMicrophone(dial, how, from_sample, self._patience_s)
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
            recognition=recognition(how),
            audio=pcm,
        )
        with self.stt.calling():
            answer = await self._stt_stub.Recognize(
                request, timeout=_TRANSCRIBE_S, metadata=metadata()
            )
        return answer.transcript.text

    @asynccontextmanager
    async def think(self, start: StartReply) -> AsyncIterator[AsyncIterator[Thought]]:
        stub, timeout_s = self._llm_stub, self._llm_timeout_s
        stream = Stream(
            self.llm, lambda: stub.Generate(timeout=timeout_s, metadata=metadata()), self._tasks
        )
        try:
            await stream.write(llm.GenerateRequest(config=_generation(start)))
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
            await stream.write(tts.StreamingSynthesizeRequest(config=_synthesis(start)))
            yield speech
        finally:
            await stream.stop(tts.StreamingSynthesizeRequest(cancel=tts.CancelSynthesis()))


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

    async def __aiter__(self) -> AsyncIterator[Sound]:
        segment = _Segment()
        async for news in self._stream:
            match news.WhichOneof("payload"):
                case "segment_started":
                    started = news.segment_started
                    segment = _Segment(started.text, started.start_char, self._taken)
                case "audio":
                    pcm = news.audio.chunk.data
                    yield sig.ReplyAudio(self._id, pcm)
                    await self._took(len(pcm) // 2)
                case "segment_finished":
                    yield sig.ReplyTiming(self._id, segment.words(news.segment_finished))
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
    """Where the words of a piece of text lie in the audio."""

    def __init__(self, text: str = "", start_char: int = 0, start_sample: int = 0) -> None:
        self._text, self._start_char, self._start_sample = text, start_char, start_sample

    def words(self, finished: tts.SegmentFinished) -> tuple[tuple[int, int], ...]:
        """`(end_char, start_ms)` of each word; evenly spread if the voice does not say."""
        if finished.words:
            return tuple(
                (self._start_char + w.end_char, w.start_sample * 1000 // RATE_HZ)
                for w in finished.words
            )
        length = max(1, len(self._text))
        samples = finished.end_sample - self._start_sample
        spread = []
        at = 0
        for word in self._text.split():
            begin = self._text.index(word, at)
            at = begin + len(word)
            start = self._start_sample + samples * begin // length
            spread.append((self._start_char + at, start * 1000 // RATE_HZ))
        return tuple(spread)


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
                raise Broken(news.error.message, tier="llm")
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


def session_ref() -> common_pb2.SessionRef:
    """Whose call this is, from the log context."""
    return common_pb2.SessionRef(
        tenant_id=logs.tenant_id.get(), session_id=logs.session_id.get(), attempt=1
    )


def _synthesis(start: StartReply) -> tts.StreamingSynthesisConfig:
    assert start.voice is not None
    config = tts.StreamingSynthesisConfig(
        session=session_ref(),
        response_id=start.response_id,
        audio_format=FORMAT,
        voice=tts.VoiceSelection(voice_id=start.voice.name, speaking_rate=start.voice.speed),
        credit=common_pb2.FlowCredit(allowed_until_sample=_CREDIT_SAMPLES),
    )
    config.chunk_duration.FromMilliseconds(20)
    return config


def _generation(start: StartReply) -> llm.GenerationConfig:
    return llm.GenerationConfig(
        session=session_ref(),
        response_id=start.response_id,
        instructions=start.instructions,
        messages=[_message(line) for line in start.context],
        tools=[
            llm.Tool(
                name=tool.name,
                description=tool.description or "",
                parameters_json=json.dumps(tool.parameters) if tool.parameters else "",
            )
            for tool in start.tools
        ],
        tool_choice=_tool_choice(start.tool_choice),
        max_output_tokens=start.max_output_tokens or 0,
    )


def _message(line: Line) -> llm.Message:
    match line.item:
        case Message(role=role, id=item_id):
            return llm.Message(role=_ROLES[role], text=line.text, item_id=item_id)
        case FunctionCall() as call:
            made = llm.ToolCall(call_id=call.call_id, name=call.name, arguments_json=call.arguments)
            return llm.Message(role=llm.ROLE_ASSISTANT, tool_calls=[made], item_id=call.id)
        case FunctionCallOutput() as output:
            return llm.Message(
                role=llm.ROLE_TOOL, text=output.output, call_id=output.call_id, item_id=output.id
            )


def _tool_choice(choice: str | dict[str, str]) -> llm.ToolChoice:
    if isinstance(choice, dict):
        return llm.ToolChoice(mode=llm.TOOL_CHOICE_MODE_FUNCTION, name=choice["name"])
    return llm.ToolChoice(mode=_TOOL_CHOICE[choice])
