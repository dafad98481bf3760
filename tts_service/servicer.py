"""The gRPC face of this tier: text in, audio out, no model code.

Why StreamingSynthesize writes to its context instead of yielding: it reads, speaks and
writes at once, in a TaskGroup, and a generator must not yield inside one. A client that
goes away then cancels this coroutine wherever it waits, and with it the engine's work.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

import grpc

from mesh import call
from mesh.audio import n_samples
from mesh.errors import MeshError, Rejected, first_of
from ovos.tts.v1 import tts_pb2 as pb
from ovos.tts.v1 import tts_pb2_grpc
from tts_service import languages, metrics, wire
from tts_service.segment import Segmenter
from tts_service.speaker import Handover, Speaker
from tts_service.speech import Audio, Degraded, Speech, Work
from tts_service.worker import Worker

if TYPE_CHECKING:  # generic to the type checker only
    Context = grpc.aio.ServicerContext[
        pb.StreamingSynthesizeRequest, pb.StreamingSynthesizeResponse
    ]
    Requests = AsyncIterator[pb.StreamingSynthesizeRequest]

MAX_UNARY_CHARS = 1000
MAX_UNARY_BYTES = 4_000_000  # with the rest of the message less than gRPC's 4 MiB

log = logging.getLogger(__name__)


class TtsServicer(tts_pb2_grpc.TtsServiceServicer):
    def __init__(self, worker: Worker, max_streams: int, worker_id: Callable[[], str]) -> None:
        self._worker, self._worker_id = worker, worker_id
        self.slots = call.Slots(max_streams, metrics.STREAMS_OPEN)

    async def StreamingSynthesize(  # type: ignore[override]  # see the module's docstring
        self, requests: Requests, context: Context
    ) -> None:
        async with call.served(context, needs_deadline=False) as caller:
            config = (await call.first(requests, "config")).config
            call.check_tenant(config.session, caller.tenant_id)
            with self.slots.taken():
                speech = wire.speech_of(config)
                rate_hz = config.audio_format.sample_rate_hz
                manner = wire.manner_of(config.voice)
                speaker = self._worker.speaker(manner, rate_hz, caller.tenant_id)
                ready = pb.SynthesisReady(
                    worker_id=self._worker_id(),
                    audio_format=wire.audio_format(rate_hz),
                    engine=speaker.engine,
                )
                await context.write(pb.StreamingSynthesizeResponse(ready=ready))
                await _Reply(speech, speaker, requests, context).run()

    async def Synthesize(
        self,
        request: pb.SynthesizeRequest,
        context: grpc.aio.ServicerContext[pb.SynthesizeRequest, pb.SynthesizeResponse],
    ) -> pb.SynthesizeResponse:
        async with call.served(context) as caller:
            call.check_tenant(request.session, caller.tenant_id)
            if not 0 < len(request.text) <= MAX_UNARY_CHARS:
                raise Rejected(f"text is 1 to {MAX_UNARY_CHARS} characters", param="text")
            rate_hz = wire.rate_of(request.audio_format)
            manner = wire.manner_of(request.voice)
            speaker = self._worker.speaker(manner, rate_hz, caller.tenant_id)
            with self.slots.taken():
                pcm = await _whole(speaker, request.text)
        return pb.SynthesizeResponse(
            audio=pcm,
            audio_format=wire.audio_format(rate_hz),
            usage=wire.usage_of(n_samples(pcm), len(request.text)),
        )

    async def ListVoices(
        self,
        request: pb.ListVoicesRequest,
        context: grpc.aio.ServicerContext[pb.ListVoicesRequest, pb.ListVoicesResponse],
    ) -> pb.ListVoicesResponse:
        response = pb.ListVoicesResponse()
        async with call.served(context):
            for name, engine in self._worker.chain.engines.items():
                voices = engine.voices
                if wanted := request.language_code:
                    voices = [v for v in voices if languages.covers(wanted, v.languages[0])]
                response.voices.extend(wire.voices_of(name, engine.sample_rate_hz, voices))
        return response


class _Reply:
    """One stream behind its config."""

    def __init__(
        self, speech: Speech, speaker: Speaker, requests: Requests, context: Context
    ) -> None:
        self._speech, self._speaker = speech, speaker
        self._requests, self._context = requests, context
        self._to_speak, self._to_write = asyncio.Event(), asyncio.Event()
        self._saying: asyncio.Task[None] | None = None
        self._first_text_s: float | None = None  # until the first audio is sent

    async def run(self) -> None:
        """
        Raises:
            MeshError: the client broke the protocol, or nobody can speak.
        """
        failure: ExceptionGroup[MeshError] | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._read(), name="read")
                speaking = tasks.create_task(self._speak(tasks), name="speak")
                await self._write()
                reading.cancel()
                speaking.cancel()
        except* MeshError as errors:
            failure = errors
        if failure is not None:
            raise first_of(failure)  # out here, where it is not wrapped in another group

    async def _read(self) -> None:
        async for request in self._requests:
            self._take(request)
            self._to_speak.set()
            if request.WhichOneof("payload") != "text":  # of which a voice makes what to write
                self._to_write.set()
        if not self._speech.is_finished:
            if not self._speech.is_silent:
                raise call.unfinished()
            self._speech.finish()  # it has cancelled, and leaves nothing behind
        self._speech.allow_all()  # nobody is left to grant credit
        self._to_write.set()

    def _take(self, request: pb.StreamingSynthesizeRequest) -> None:
        """
        Raises:
            Rejected: the message breaks the protocol.
        """
        match request.WhichOneof("payload"):
            case "text":
                if self._first_text_s is None and not self._speech.n_chars:
                    self._first_text_s = time.monotonic()
                self._speech.say(request.text.text, request.text.sequence)
            case "flush":
                self._speech.flush()
            case "credit":
                self._speech.allow(request.credit.allowed_until_sample)
            case "cancel":
                self._speech.cancel(request.cancel.cancel_id)
                self._speaker.interrupted()
                if self._saying is not None:
                    self._saying.cancel()
            case "finish":
                self._speech.finish()
            case other:
                raise call.unexpected(other)

    async def _speak(self, tasks: asyncio.TaskGroup) -> None:
        """One segment after the other; the next is made while this one is being sent."""
        while True:
            work = self._speech.next_work()
            if work is None:
                self._to_speak.clear()
                await self._to_speak.wait()
                continue
            self._saying = tasks.create_task(self._say(work), name="say")
            self._to_write.set()  # only now: the voice should not wait until its start was told
            await asyncio.wait({self._saying})

    async def _say(self, work: Work) -> None:
        segment = work.segment
        async with aclosing(self._speaker.speak(segment.text, segment.pause_ms)) as sounds:
            async for sound in sounds:
                if isinstance(sound, Handover):
                    news = Degraded(sound.failed, sound.serving, sound.reason)
                    self._speech.degrade(work.key, news)
                else:
                    self._speech.add(work.key, sound.pcm, sound.words)
                self._to_write.set()
        self._speech.end(work.key)
        self._to_write.set()

    async def _write(self) -> None:
        while not self._speech.is_done:
            event = self._speech.take()
            if event is None:
                self._to_write.clear()
                await self._to_write.wait()
                continue
            if isinstance(event, Audio):
                self._observe_first_audio()
                self._to_speak.set()  # there is room for more
            await self._context.write(wire.response_of(event))
        usage = wire.usage_of(self._speech.sent_until, self._speech.n_chars)
        finished = pb.SynthesisFinished(usage=usage)
        await self._context.write(pb.StreamingSynthesizeResponse(finished=finished))
        log.info("reply spoken", extra={"n_samples": usage.output_audio_samples})

    def _observe_first_audio(self) -> None:
        if self._first_text_s is not None:
            metrics.FIRST_AUDIO.observe(time.monotonic() - self._first_text_s)
            self._first_text_s = None


async def _whole(speaker: Speaker, text: str) -> bytes:
    """
    Raises:
        Rejected: it is more than one message holds.
    """
    segmenter = Segmenter()
    pcm = bytearray()
    for segment in segmenter.push(text) + segmenter.flush():
        async with aclosing(speaker.speak(segment.text, segment.pause_ms)) as sounds:
            async for sound in sounds:
                if not isinstance(sound, Handover):
                    pcm += sound.pcm
                if len(pcm) > MAX_UNARY_BYTES:
                    raise Rejected(
                        f"the audio is over {MAX_UNARY_BYTES} bytes: use the stream", param="text"
                    )
    return bytes(pcm)
