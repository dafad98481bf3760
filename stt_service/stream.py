"""One StreamingRecognize call behind its config: messages in, messages out.

Why it writes to the context instead of yielding: it reads, follows utterances and writes
at once, in a TaskGroup, and a generator must not yield inside one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from mesh import call
from mesh.audio import SAMPLE_BYTES, n_samples
from mesh.errors import MeshError, Overloaded, Rejected, detail_of, first_of
from ovos.common.v1 import common_pb2
from ovos.stt.v1 import stt_pb2 as pb
from stt_service import hearing, metrics, wire
from stt_service.denoise import denoiser_for
from stt_service.listener import KEPT, Listener, Wishes
from stt_service.timeline import Timeline
from stt_service.worker import Worker

if TYPE_CHECKING:  # generic to the type checker only
    Context = grpc.aio.ServicerContext[Any, pb.StreamingRecognizeResponse]
    Requests = AsyncIterator[pb.StreamingRecognizeRequest]

MAX_CHUNK_BYTES = 64 << 10
MOST_EVENTS = 1000  # that wait to be sent: whoever reads so little is hung up on
CREDIT_S = 10  # audio that a client may send ahead of what we have taken in
ACK_S = 0.5  # audio between two acknowledgements; the contract says a second at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a stream begins with."""

    worker_id: str
    model: str
    wishes: Wishes
    rate_hz: int
    first_sample: int
    tenant_id: str = ""


class Stream:
    def __init__(
        self, worker: Worker, opening: Opening, requests: Requests, context: Context
    ) -> None:
        self._worker, self._opening = worker, opening
        self._requests, self._context = requests, context
        self._to_send: deque[pb.StreamingRecognizeResponse] = deque()
        self._is_ack_due = self._is_finished = False
        self._wake = asyncio.Event()
        self._acknowledged = opening.first_sample
        self._stopped: MeshError | None = None
        self._listener: Listener

    async def run(self, draining: asyncio.Event, grace_s: float) -> None:
        """Serve until the client says finish.

        Args:
            draining: Set when the client should go elsewhere; it has `grace_s` for that.

        Raises:
            MeshError: the client broke the protocol, or the stream was stopped.
        """
        failure: ExceptionGroup[MeshError] | None = None
        # Or a write that is cut off takes them along, and our status never goes out (grpcio).
        await self._context.send_initial_metadata(())
        try:
            async with asyncio.TaskGroup() as tasks:
                self._listener = self._listen(tasks)
                self._send_ready()
                writing = tasks.create_task(self._write(), name="write")
                warning = tasks.create_task(self._warn(draining, grace_s), name="warn")
                await self._read()
                self._is_finished = True
                self._wake.set()
                await asyncio.wait({writing})
                warning.cancel()
        except* MeshError as errors:
            failure = errors
        if failure is not None:
            raise first_of(failure)  # out here, where it is not wrapped in another group

    def stop(self, error: MeshError) -> None:
        """End the stream with an error."""
        self._stopped = error
        self._wake.set()

    def _listen(self, tasks: asyncio.TaskGroup) -> Listener:
        opening = self._opening
        denoiser = denoiser_for(opening.wishes.noise)
        timeline = Timeline(opening.rate_hz, opening.first_sample, KEPT, denoiser)
        return Listener(
            self._worker,
            opening.wishes,
            timeline,
            tasks=tasks,
            report=self._report,
            tenant_id=opening.tenant_id,
        )

    def _send_ready(self) -> None:
        ready = pb.RecognitionReady(
            worker_id=self._opening.worker_id, model=self._opening.model, credit=self._credit()
        )
        self._send(pb.StreamingRecognizeResponse(ready=ready))

    async def _read(self) -> None:
        async for request in self._requests:
            match request.WhichOneof("payload"):
                case "audio":
                    await self._hear(request.audio)
                case "commit":
                    self._listener.commit(request.commit.utterance_id)
                case "clear":
                    self._listener.clear()
                    self._acknowledge()
                case "update":
                    self._update(request.update)
                case "finish":
                    await self._listener.finish(discard=request.finish.discard)
                    return
                case other:
                    raise call.unexpected(other)
        raise call.unfinished()

    async def _hear(self, chunk: common_pb2.AudioChunk) -> None:
        pcm = self._fresh(chunk)
        metrics.AUDIO_SECONDS.inc(n_samples(pcm) / self._opening.rate_hz)
        for piece in self._listener.pieces(pcm):
            self._listener.hear(piece)
            if self._listener.received - self._acknowledged >= ACK_S * self._opening.rate_hz:
                self._acknowledge()
            await self._listener.room()

    def _fresh(self, chunk: common_pb2.AudioChunk) -> bytes:
        """What of the chunk has not come before.

        Raises:
            Rejected: it is too long, cut within a sample, or audio is missing before it.
        """
        if len(chunk.data) > MAX_CHUNK_BYTES:
            raise Rejected(f"a chunk is {MAX_CHUNK_BYTES} bytes at most", param="audio.data")
        if len(chunk.data) % SAMPLE_BYTES:
            raise Rejected("a chunk is whole samples", param="audio.data")
        n_known = self._listener.received - chunk.first_sample
        if n_known < 0:
            raise Rejected(f"{-n_known} samples are missing", param="audio.first_sample")
        return chunk.data[n_known * SAMPLE_BYTES :]

    def _update(self, update: pb.RecognitionUpdate) -> None:
        """Change settings; if one makes no sense, say so and change none."""
        try:
            wishes = wire.updated(self._listener.wishes, update)
            self._worker.check_model(wishes.model)
        except Rejected as error:
            self._send(pb.StreamingRecognizeResponse(error=detail_of(error)))
        else:
            self._listener.update(wishes)

    def _report(self, heard: hearing.Hearing) -> None:
        self._send(wire.response_of(heard))
        if isinstance(heard, hearing.Final | hearing.Failed):
            self._acknowledge()

    def _acknowledge(self) -> None:
        self._acknowledged, self._is_ack_due = self._listener.received, True
        self._wake.set()

    def _send(self, response: pb.StreamingRecognizeResponse) -> None:
        """
        Raises:
            Overloaded: the client reads too slowly.
        """
        if len(self._to_send) >= MOST_EVENTS:
            raise Overloaded("the client does not read", tier="stt")
        self._to_send.append(response)
        self._wake.set()

    async def _write(self) -> None:
        while True:
            if self._stopped is not None:
                raise self._stopped
            if self._to_send:
                await self._context.write(self._to_send.popleft())
            elif self._is_ack_due:
                self._is_ack_due = False
                await self._context.write(self._ack())
            elif self._is_finished:
                break
            else:
                self._wake.clear()
                await self._wake.wait()
        usage = wire.usage_of(self._listener.received - self._opening.first_sample)
        finished = pb.RecognitionFinished(usage=usage)
        await self._context.write(pb.StreamingRecognizeResponse(finished=finished))

    async def _warn(self, draining: asyncio.Event, grace_s: float) -> None:
        await draining.wait()
        self._send(wire.go_away(grace_s))

    def _ack(self) -> pb.StreamingRecognizeResponse:
        """As of now: what is behind it in `_to_send` is not needed for it to be true."""
        ack = pb.AudioAck(
            replay_from_sample=self._listener.replay_from,
            received_until_sample=self._listener.received,
            credit=self._credit(),
        )
        return pb.StreamingRecognizeResponse(ack=ack)

    def _credit(self) -> common_pb2.FlowCredit:
        ahead = CREDIT_S * self._opening.rate_hz
        return common_pb2.FlowCredit(allowed_until_sample=self._listener.received + ahead)
