"""The gRPC face of this tier: who may call, and which stream is whose. No model code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import grpc

from mesh import call
from mesh.audio import SAMPLE_BYTES, n_samples, resample
from mesh.errors import Draining, Rejected
from mesh.turns import Turns
from ovos.stt.v1 import stt_pb2 as pb
from ovos.stt.v1 import stt_pb2_grpc
from stt_service import hearing, metrics, wire
from stt_service.denoise import denoised
from stt_service.endpointing import Settings
from stt_service.engine import RATE_HZ
from stt_service.queueing import Queueing
from stt_service.stream import Opening, Stream
from stt_service.utterance import Utterance
from stt_service.worker import Ears, Worker

if TYPE_CHECKING:  # generic to the type checker only
    from stt_service.queueing import Submitting, Watching
    from stt_service.stream import Context, Requests

LAST_SAMPLE = 1 << 60  # positions are 64 bit, and credit lies ahead of them
MAX_UNARY_BYTES = 3 << 20
KEPT = 10  # of so many streams, one is kept for tenants that have none


class SttServicer(stt_pb2_grpc.SttServiceServicer):
    def __init__(
        self,
        worker: Worker,
        defaults: Settings,
        *,
        max_streams: int,
        drain_s: float,
        worker_id: Callable[[], str],
        draining: Callable[[], asyncio.Event],
        turns: Turns | None = None,
    ) -> None:
        """
        Args:
            defaults: Of end-of-speech detection.
            drain_s: How long a stream may go on once `draining` is set.
            turns: The queue of recordings; None if there is none here.
        """
        self._worker, self._defaults, self._drain_s = worker, defaults, drain_s
        self._worker_id, self._draining = worker_id, draining
        self._attempts = call.Attempts()
        self._queueing = Queueing(turns, worker, defaults, draining)
        kept = max_streams // KEPT
        self.slots = call.Slots(max_streams, metrics.STREAMS_OPEN, kept=kept)

    async def StreamingRecognize(  # type: ignore[override]  # see stream.py
        self, requests: Requests, context: Context
    ) -> None:
        async with call.served(context, needs_deadline=False) as caller:
            if self._draining().is_set():
                raise Draining("this worker is going away")
            config = (await call.first(requests, "config")).config
            session = config.session
            call.check_tenant(session, caller.tenant_id)
            with self.slots.taken(caller.tenant_id):
                opening = self._opening(config, caller.tenant_id)
                stream = Stream(self._worker, opening, requests, context)
                with self._attempts.newest(
                    caller.tenant_id, session.session_id, session.attempt, stream.stop
                ):
                    await stream.run(self._draining(), self._drain_s)

    async def Recognize(
        self,
        request: pb.RecognizeRequest,
        context: grpc.aio.ServicerContext[pb.RecognizeRequest, pb.RecognizeResponse],
    ) -> pb.RecognizeResponse:
        async with call.served(context) as caller:
            call.check_tenant(request.session, caller.tenant_id)
            rate_hz = wire.rate_of(request.audio_format)
            self._worker.check_model(request.recognition.model)
            wire.noise_of(request.recognition)  # checked before it takes a slot
            if len(request.audio) > MAX_UNARY_BYTES:
                raise Rejected(f"audio is {MAX_UNARY_BYTES} bytes at most", param="audio")
            if len(request.audio) % SAMPLE_BYTES:
                raise Rejected("audio is whole samples", param="audio")
            with self.slots.taken(caller.tenant_id):
                transcript = await self._recognize(request, rate_hz, caller.tenant_id)
        return pb.RecognizeResponse(transcript=transcript)

    async def Submit(
        self, requests: AsyncIterator[pb.SubmitRequest], context: Submitting
    ) -> pb.SubmitResponse:
        return await self._queueing.submit(requests, context)

    async def Watch(
        self, request: pb.WatchRequest, context: Watching
    ) -> AsyncIterator[pb.WatchResponse]:
        async for response in self._queueing.watch(request, context):
            yield response

    async def ListModels(
        self,
        request: pb.ListModelsRequest,
        context: grpc.aio.ServicerContext[pb.ListModelsRequest, pb.ListModelsResponse],
    ) -> pb.ListModelsResponse:
        async with call.served(context):
            models = map(wire.model_of, self._worker.engines)
        return pb.ListModelsResponse(models=models)

    def _opening(self, config: pb.StreamingRecognitionConfig, tenant_id: str) -> Opening:
        """
        Raises:
            Rejected: the config asks for what cannot be.
        """
        if config.resume_from_sample > LAST_SAMPLE:
            raise Rejected("no stream is that long", param="resume_from_sample")
        wishes = wire.wishes_of(config, self._defaults)
        self._worker.check_model(wishes.model)
        return Opening(
            worker_id=self._worker_id(),
            model=self._worker.model_for(wishes.how, wishes.model),
            wishes=wishes,
            rate_hz=wire.rate_of(config.audio_format),
            first_sample=config.resume_from_sample,
            tenant_id=tenant_id,
        )

    async def _recognize(
        self, request: pb.RecognizeRequest, rate_hz: int, tenant_id: str
    ) -> pb.Transcript:
        """
        Raises:
            MeshError: no engine could hear it.
        """
        config = request.recognition
        noise = wire.noise_of(config)
        pcm = await asyncio.to_thread(
            lambda: denoised(resample(request.audio, rate_hz, RATE_HZ), noise)
        )
        ears = Ears(tenant_id)
        utterance = Utterance(self._worker, ears, wire.how_of(config), model=config.model)
        utterance.hear(pcm)
        utterance.end()
        heard = await utterance.outcome()
        n_heard = n_samples(request.audio)
        heard = hearing.placed(heard, lambda at: min(at * rate_hz // RATE_HZ, n_heard))
        final = hearing.Final("utt_1", heard, revision=1, start_sample=0, end_sample=n_heard)
        return wire.transcript_of(final)
