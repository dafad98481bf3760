"""The three tiers on loopback, over real gRPC, with fake backends behind them.

So the port's contract suite can run on the gRPC backends with the fakes' own answers, and
tests of one call can replace a tier's answer by a script.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc

from gateway.backends import ToolFault
from gateway.clients import MeshBackends
from gateway.realtime import signals as sig
from gateway.realtime.effects import Line, Listening, StartReply, Voice
from gateway.realtime.items import FunctionCallOutput, Message
from gateway.realtime.settings import RATE_HZ, McpTool, ServerVad
from mesh.errors import MeshError, answering, first_of
from mesh.pool import Pool
from ovos.llm.v1 import llm_pb2 as llm
from ovos.llm.v1 import llm_pb2_grpc
from ovos.stt.v1 import stt_pb2 as stt
from ovos.stt.v1 import stt_pb2_grpc
from ovos.tts.v1 import tts_pb2 as tts
from ovos.tts.v1 import tts_pb2_grpc
from tests.fakes.backends import FakeBackends

ALL_CREDIT = {"allowed_until_sample": 1 << 40}


class Call:
    """A server's end of one stream."""

    def __init__(self, context: Any, response: type, worker: int) -> None:
        self._context, self._response, self.worker = context, response, worker
        self._writing = asyncio.Lock()
        self.requests: list[Any] = []

    async def read(self) -> Any:
        """The next request; None when there are no more."""
        request = await self._context.read()
        if request is grpc.aio.EOF:
            return None
        self.requests.append(request)
        return request

    async def read_kind(self, kind: str) -> Any:
        """The payload of the next request, which must be of that kind."""
        request = await self.read()
        assert request is not None, f"no {kind} came"
        assert request.WhichOneof("payload") == kind, request
        return getattr(request, kind)

    async def say(self, **payload: Any) -> None:
        async with self._writing:
            await self._context.write(self._response(**payload))

    async def fail(self, code: grpc.StatusCode, detail: str = "scripted") -> None:
        await self._context.abort(code, detail)


Script = Callable[[Call], Awaitable[None]]


class Tiers(
    stt_pb2_grpc.SttServiceServicer,
    tts_pb2_grpc.TtsServiceServicer,
    llm_pb2_grpc.LlmOrchestratorServiceServicer,
):
    """All three services. What `scripts` holds is played first, call by call."""

    def __init__(self, backends: FakeBackends, worker: int = 0, first: Tiers | None = None) -> None:
        """
        Args:
            first: Whose scripts are played, and who keeps what comes, if it is not this one.
        """
        self._backends, self._worker, self._first = backends, worker, first or self
        self.scripts: list[Script] = []
        self.calls: list[Call] = []
        self.metadata: list[dict[str, str]] = []

    async def StreamingRecognize(self, requests: Any, context: Any) -> None:
        await self._serve(context, stt.StreamingRecognizeResponse, self._listen)

    async def StreamingSynthesize(self, requests: Any, context: Any) -> None:
        await self._serve(context, tts.StreamingSynthesizeResponse, self._speak)

    async def Generate(self, requests: Any, context: Any) -> None:
        await self._serve(context, llm.GenerateResponse, self._think)

    async def Recognize(self, request: Any, context: Any) -> Any:
        async with answering(context):
            text = await self._backends.transcribe(request.audio, Listening(None))
        return stt.RecognizeResponse(transcript=stt.Transcript(text=text, is_final=True))

    async def ListTools(self, request: Any, context: Any) -> Any:
        found: tuple[dict[str, Any], ...] = ()
        self.metadata.append(dict(context.invocation_metadata()))
        async with answering(context):
            found = await self._backends.list_tools(_mcp(request.server))
        return llm.ListToolsResponse(tools=[_listed(tool) for tool in found])

    async def CallTool(self, request: Any, context: Any) -> Any:
        said: str | ToolFault = ""
        self.metadata.append(dict(context.invocation_metadata()))
        async with answering(context):
            server = _mcp(request.server)
            said = await self._backends.call_tool(server, request.name, request.arguments_json)
        if isinstance(said, str):
            return llm.CallToolResponse(output=said)
        error = said.error
        kind, code = _KINDS[error["type"]], error.get("code", 0)
        return llm.CallToolResponse(error={"kind": kind, "code": code, "message": error["message"]})

    async def _serve(self, context: Any, response: type, usual: Script) -> None:
        call = Call(context, response, self._worker)
        first = self._first
        first.calls.append(call)
        first.metadata.append(dict(context.invocation_metadata()))
        failure: BaseExceptionGroup[MeshError] | None = None
        async with answering(context):
            try:
                await (first.scripts.pop(0) if first.scripts else usual)(call)
            except* MeshError as errors:
                failure = errors
            if failure is not None:
                raise first_of(failure)

    async def _listen(self, call: Call) -> None:
        config = await call.read_kind("config")
        await call.say(ready=stt.RecognitionReady(credit=ALL_CREDIT))
        if not config.interim_results:
            return await self._dictate(call, config)
        how = _how(config.endpointing)
        async with (
            self._backends.listen(how, config.resume_from_sample) as microphone,
            asyncio.TaskGroup() as tasks,
        ):
            telling = tasks.create_task(_tell_all(call, microphone), name="tell")
            while (request := await call.read()) is not None:
                match request.WhichOneof("payload"):
                    case "audio":
                        await microphone.hear(request.audio.data)
                    case "commit":
                        await microphone.end_utterance(request.commit.utterance_id)
                    case "clear":
                        await microphone.forget()
                    case "update":
                        await microphone.listen(_how(request.update.endpointing))
                    case "finish":
                        break
            telling.cancel()
        await call.say(finished=stt.RecognitionFinished())

    async def _dictate(self, call: Call, config: Any) -> None:
        how, words = _how(config.endpointing), config.recognition.word_timestamps
        async with (
            self._backends.dictate(how, words=words) as dictation,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(_tell_passages(call, dictation), name="tell")
            while (request := await call.read()) is not None:
                if request.WhichOneof("payload") == "finish":
                    await dictation.finish()
                    break
                await dictation.hear(request.audio.data)
        await call.say(finished=stt.RecognitionFinished())

    async def _think(self, call: Call) -> None:
        config = await call.read_kind("config")
        await call.read_kind("finish")  # a call that ends under a write loses its status
        start = StartReply(config.response_id, config.instructions, _context(config))
        async with self._backends.think(start) as thoughts:
            async for thought in thoughts:
                match thought:
                    case sig.ReplyText(delta=text):
                        await call.say(text_delta=llm.TextDelta(text=text))
                    case sig.ReplyCall(call_id=cid, name=name, delta=delta):
                        part = llm.ToolCallDelta(call_id=cid, name=name, arguments_json=delta)
                        await call.say(tool_call_delta=part)
                    case sig.ReplyCallDone(call_id=cid, name=name, arguments=arguments):
                        made = llm.ToolCall(call_id=cid, name=name, arguments_json=arguments)
                        await call.say(tool_call=made)
                    case sig.ReplyEnded(tokens=tokens):
                        usage = {"input_tokens": tokens.input, "output_tokens": tokens.output}
                        await call.say(completed=llm.GenerationCompleted(usage=usage))

    async def _speak(self, call: Call) -> None:
        config = await call.read_kind("config")
        await call.say(ready=tts.SynthesisReady(engine="fake"))
        voice = Voice(config.voice.voice_id, config.voice.speaking_rate)
        start = StartReply(config.response_id, "", (), voice=voice)
        async with self._backends.speak(start) as speech, asyncio.TaskGroup() as tasks:
            speaking = tasks.create_task(_speak_all(call, speech), name="speak")
            while (request := await call.read()) is not None:
                match request.WhichOneof("payload"):
                    case "text":
                        await speech.say(request.text.text)
                    case "finish":
                        await speech.finish()
                    case "cancel":
                        break
            speaking.cancel()


async def _tell_all(call: Call, microphone: Any) -> None:
    async for signal in microphone:
        match signal:
            case sig.SpeechStarted(utterance, audio_ms):
                sample = audio_ms * RATE_HZ // 1000
                await call.say(speech_started={"utterance_id": utterance, "start_sample": sample})
            case sig.SpeechStopped(utterance, audio_ms):
                sample = audio_ms * RATE_HZ // 1000
                await call.say(speech_stopped={"utterance_id": utterance, "end_sample": sample})
            case sig.Transcribed(utterance, text, audio_ms):
                words = stt.Transcript(
                    utterance_id=utterance,
                    text=text,
                    is_final=True,
                    end_sample=audio_ms * RATE_HZ // 1000,
                )
                await call.say(transcript=words)


async def _tell_passages(call: Call, dictation: Any) -> None:
    n = 0
    async for passage in dictation:
        n += 1
        found = stt.Transcript(
            utterance_id=f"u{n}",
            text=passage.text,
            is_final=True,
            language_code=passage.language,
            logprobs=[{"token": token, "logprob": p} for token, p in passage.logprobs],
            **_at_16k(passage.start_ms, passage.end_ms),
        )
        for word in passage.words:
            found.words.add(text=word.text, **_at_16k(word.start_ms, word.end_ms))
        for turn in passage.speakers:
            where = _at_16k(turn.start_ms, turn.end_ms)
            found.segments.add(text=turn.text, speaker=turn.speaker, **where)
        await call.say(transcript=found)


def _at_16k(start_ms: int, end_ms: int) -> dict[str, int]:
    return {"start_sample": start_ms * 16, "end_sample": end_ms * 16}


async def _speak_all(call: Call, speech: Any) -> None:
    samples = chars = segment = 0
    words: tuple[tuple[int, int], ...] = ()
    async for sound in speech:
        if isinstance(sound, sig.ReplyTiming):
            words = sound.words
            continue
        segment += 1
        await call.say(segment_started={"segment": segment, "start_char": chars})
        timings = [{"end_char": end - chars, "start_sample": samples} for end, _ in words]
        chunk = {"data": sound.pcm}
        await call.say(audio={"segment": segment, "chunk": chunk, "words": timings})
        samples += len(sound.pcm) // 2
        finished = {"segment": segment, "end_sample": samples, "words": timings}
        await call.say(segment_finished=finished)
        chars = words[-1][0] if words else chars
    await call.say(finished=tts.SynthesisFinished())


_KINDS = {
    "protocol_error": llm.MCP_ERROR_KIND_PROTOCOL,
    "http_error": llm.MCP_ERROR_KIND_HTTP,
    "tool_execution_error": llm.MCP_ERROR_KIND_EXECUTION,
}


def _mcp(server: llm.McpServer) -> McpTool:
    secrets = {"authorization": server.authorization or None}
    return McpTool(server.label, server.url, headers=dict(server.headers) or None, **secrets)


def _listed(tool: dict[str, Any]) -> llm.McpTool:
    return llm.McpTool(
        name=tool["name"],
        description=tool["description"],
        input_schema_json=json.dumps(tool["input_schema"]),
        annotations_json=json.dumps(tool["annotations"]) if tool["annotations"] else "",
    )


def _how(endpointing: stt.EndpointingConfig) -> Listening:
    detects = endpointing.mode == stt.ENDPOINTING_MODE_SERVER_VAD
    return Listening(ServerVad() if detects else None)


def _context(config: llm.GenerationConfig) -> tuple[Line, ...]:
    return tuple(
        Line(FunctionCallOutput(m.item_id, m.call_id, m.text), m.text)
        if m.role == llm.ROLE_TOOL
        else Line(Message(m.item_id, "user"), m.text)
        for m in config.messages
    )


async def _served(tiers: Tiers) -> tuple[grpc.aio.Server, str]:
    """Returns also where it listens."""
    server = grpc.aio.server()
    stt_pb2_grpc.add_SttServiceServicer_to_server(tiers, server)
    tts_pb2_grpc.add_TtsServiceServicer_to_server(tiers, server)
    llm_pb2_grpc.add_LlmOrchestratorServiceServicer_to_server(tiers, server)
    target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    return server, target


@asynccontextmanager
async def serving(
    backends: FakeBackends,
    *,
    patience_s: float = 3.0,
    tts_patience_s: float = 3.0,
    llm_patience_s: float = 0.0,
    llm_timeout_s: float = 10.0,
    workers: int = 1,
) -> AsyncIterator[tuple[MeshBackends, Tiers]]:
    """The gRPC backends, dialled to tiers of their own.

    Args:
        workers: Of each tier; they play the same scripts, whoever is called.
    """
    tiers = Tiers(backends)
    everyone = [tiers, *(Tiers(backends, n, tiers) for n in range(1, workers))]
    served = [await _served(one) for one in everyone]
    targets = [target for _, target in served]
    pools = (Pool("stt", targets), Pool("tts", targets), Pool("llm", targets))
    for pool in pools:
        for worker in pool.workers:
            worker.serving = True  # nobody watches them here
    try:
        async with asyncio.TaskGroup() as tasks:
            limits = {
                "patience_s": patience_s,
                "tts_patience_s": tts_patience_s,
                "llm_patience_s": llm_patience_s,
                "llm_timeout_s": llm_timeout_s,
            }
            yield MeshBackends(pools, tasks, **limits), tiers
    finally:
        for pool in pools:
            await pool.close()
        for server, _ in served:
            await server.stop(0)
