"""The gRPC face of this tier: who may call, and which stream is whose. No model code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc

from mesh.audio import SAMPLE_BYTES, n_samples, resample
from mesh.errors import (
    Draining,
    Overloaded,
    Rejected,
    answering,
    deadline_required,
    tenant_of,
)
from mesh.log import bound
from ovos.common.v1 import common_pb2
from ovos.stt.v1 import stt_pb2 as pb
from ovos.stt.v1 import stt_pb2_grpc
from stt_service import hearing, metrics, wire
from stt_service.endpointing import Settings
from stt_service.engine import RATE_HZ
from stt_service.stream import Opening, Stream
from stt_service.utterance import Utterance
from stt_service.worker import Ears, Worker

if TYPE_CHECKING:  # generic to the type checker only
    from stt_service.stream import Context, Requests

MAX_UNARY_BYTES = 3 << 20
RETRY_AFTER_S = 1.0


class Stale(Rejected):
    """A newer attempt of the same stream exists."""

    reason = common_pb2.ERROR_CODE_STALE_ATTEMPT


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
    ) -> None:
        """
        Args:
            defaults: Of end-of-speech detection.
            drain_s: How long a stream may go on once `draining` is set.
        """
        self._worker, self._defaults = worker, defaults
        self._max_streams, self._drain_s = max_streams, drain_s
        self._worker_id, self._draining = worker_id, draining
        self._attempts: dict[tuple[str, str], tuple[int, Stream]] = {}
        self.open_streams = 0

    async def StreamingRecognize(  # type: ignore[override]  # see stream.py
        self, requests: Requests, context: Context
    ) -> None:
        async with answering(context):
            tenant_id = tenant_of(context)
            if self._draining().is_set():
                raise Draining("this worker is going away", tier="stt")
            with self._slot(), bound(tenant_id=tenant_id, **_ids(context)):
                config = await _config(requests)
                if config is None:
                    return
                _check_tenant(config.session, tenant_id)
                stream = Stream(self._worker, self._opening(config), requests, context)
                with self._attempt(config.session, tenant_id, stream):
                    await stream.run(self._draining(), self._drain_s)

    async def Recognize(
        self,
        request: pb.RecognizeRequest,
        context: grpc.aio.ServicerContext[pb.RecognizeRequest, pb.RecognizeResponse],
    ) -> pb.RecognizeResponse:
        async with answering(context):
            deadline_required(context)
            tenant_id = tenant_of(context)
            _check_tenant(request.session, tenant_id)
            rate_hz = wire.rate_of(request.audio_format)
            self._worker.check_model(request.recognition.model)
            if len(request.audio) > MAX_UNARY_BYTES:
                raise Rejected(f"audio is {MAX_UNARY_BYTES} bytes at most", param="audio")
            if len(request.audio) % SAMPLE_BYTES:
                raise Rejected("audio is whole samples", param="audio")
            with self._slot(), bound(tenant_id=tenant_id, **_ids(context)):
                transcript = await self._recognize(request, rate_hz)
        return pb.RecognizeResponse(transcript=transcript)

    async def ListModels(
        self,
        request: pb.ListModelsRequest,
        context: grpc.aio.ServicerContext[pb.ListModelsRequest, pb.ListModelsResponse],
    ) -> pb.ListModelsResponse:
        async with answering(context):
            deadline_required(context)
            tenant_of(context)
        return pb.ListModelsResponse(models=map(wire.model_of, self._worker.engines))

    def _opening(self, config: pb.StreamingRecognitionConfig) -> Opening:
        """
        Raises:
            Rejected: the config asks for what cannot be.
        """
        wishes = wire.wishes_of(config, self._defaults)
        self._worker.check_model(wishes.model)
        return Opening(
            worker_id=self._worker_id(),
            model=self._worker.model_for(wishes.how, wishes.model),
            wishes=wishes,
            rate_hz=wire.rate_of(config.audio_format),
            first_sample=config.resume_from_sample,
        )

    async def _recognize(self, request: pb.RecognizeRequest, rate_hz: int) -> pb.Transcript:
        """
        Raises:
            MeshError: no engine could hear it.
        """
        config = request.recognition
        pcm = await asyncio.to_thread(resample, request.audio, rate_hz, RATE_HZ)
        utterance = Utterance(self._worker, Ears(), wire.how_of(config), model=config.model)
        utterance.hear(pcm)
        utterance.end()
        heard = await utterance.outcome()
        n_heard = n_samples(request.audio)
        heard = hearing.placed(heard, lambda at: min(at * rate_hz // RATE_HZ, n_heard))
        final = hearing.Final("utt_1", heard, revision=1, start_sample=0, end_sample=n_heard)
        return wire.transcript_of(final)

    @contextmanager
    def _slot(self) -> Iterator[None]:
        """
        Raises:
            Overloaded: `max_streams` calls are being served.
        """
        if self.open_streams >= self._max_streams:
            raise Overloaded("every stream is taken", tier="stt", retry_after_s=RETRY_AFTER_S)
        self.open_streams += 1
        metrics.STREAMS_OPEN.inc()
        try:
            yield
        finally:
            self.open_streams -= 1
            metrics.STREAMS_OPEN.dec()

    @contextmanager
    def _attempt(
        self, session: common_pb2.SessionRef, tenant_id: str, stream: Stream
    ) -> Iterator[None]:
        """Of one session's streams, the newest attempt lives.

        Raises:
            Stale: it is not this one.
        """
        key = (tenant_id, session.session_id)
        attempt, other = self._attempts.get(key, (0, None))
        if other is not None and session.session_id:
            if session.attempt < attempt:
                raise Stale("a newer attempt is being served", param="session.attempt")
            if session.attempt > attempt:
                other.stop(Stale("a newer attempt has come", param="session.attempt"))
        self._attempts[key] = (session.attempt, stream)
        try:
            yield
        finally:
            if self._attempts.get(key, (0, None))[1] is stream:
                del self._attempts[key]


async def _config(requests: Requests) -> pb.StreamingRecognitionConfig | None:
    """The first message; None if the client left before it.

    Raises:
        Rejected: it is another one.
    """
    async for request in requests:
        if request.WhichOneof("payload") != "config":
            raise Rejected("the first message must be config", param="config")
        return request.config
    return None


def _check_tenant(session: common_pb2.SessionRef, tenant_id: str) -> None:
    """
    Raises:
        Rejected: the request names another tenant than the call.
    """
    if session.tenant_id not in ("", tenant_id):
        raise Rejected("not the tenant of this call", param="session.tenant_id")


def _ids(context: grpc.aio.ServicerContext[Any, Any]) -> dict[str, str]:
    """What the call's log lines carry."""
    found = {key: str(value) for key, value in context.invocation_metadata() or ()}
    return {
        "session_id": found.get("x-session-id", ""),
        "correlation_id": found.get("x-correlation-id", ""),
    }
