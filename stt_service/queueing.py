"""Submit and Watch: recordings that are recognised when there is time.

What a worker takes in goes to Redis piece by piece; any worker tells how a turn is.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.duration_pb2 import Duration

from mesh import call
from mesh.errors import Draining, Missing, Rejected, TooSlow, Unavailable, detail_of
from mesh.stream import stop_if_cancelled
from mesh.turns import KEPT_S, MOST_BYTES, OVER, PIECE_BYTES, STARTED, State, Turn, Turns
from ovos.stt.v1 import stt_pb2 as pb
from stt_service import recording
from stt_service.endpointing import Settings
from stt_service.worker import Worker

if TYPE_CHECKING:  # generic to the type checker only
    Submitting = grpc.aio.ServicerContext[pb.SubmitRequest, pb.SubmitResponse]
    Watching = grpc.aio.ServicerContext[pb.WatchRequest, pb.WatchResponse]

MAX_AUDIO_BYTES = 1 << 20  # of one message
_REST_S = 0.02, 0.5  # between looks at a turn; there is nobody who would tell
_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")


class Queueing:
    def __init__(
        self,
        turns: Turns | None,
        worker: Worker,
        defaults: Settings,
        draining: Callable[[], asyncio.Event],
    ) -> None:
        """
        Args:
            turns: The queue; None if this worker has none.
            defaults: Of end-of-speech detection.
        """
        self._turns, self._worker, self._defaults = turns, worker, defaults
        self._draining = draining

    async def submit(
        self, requests: AsyncIterator[pb.SubmitRequest], context: Submitting
    ) -> pb.SubmitResponse:
        async with call.served(context) as caller:
            turns = self._queue()
            config = (await call.first(requests, "config")).config
            call.check_tenant(config.session, caller.tenant_id)
            self._worker.check_model(config.recognition.model)
            recording.wishes_of(config, self._defaults)  # checked before it is taken in
            turn = Turn(
                tenant=caller.tenant_id,
                id=_named(config.submission_id),
                config=config.SerializeToString(),
                patience_s=_patience_s(config),
                session_id=config.session.session_id,
            )
            upload = _Upload(turns, turn)
            await _read(requests, upload)
            await turns.put(turn)
        return pb.SubmitResponse(turn_id=turn.id)

    async def watch(
        self, request: pb.WatchRequest, context: Watching
    ) -> AsyncIterator[pb.WatchResponse]:
        async with call.served(context) as caller:
            turns, told = self._queue(), None
            if not _ID.fullmatch(request.turn_id):  # with a `/` it could be another tenant's
                raise Missing("there is no such turn", param="turn_id", tier="stt")
            rest_s, longest_s = _REST_S
            while True:
                state = await turns.look(caller.tenant_id, request.turn_id)
                stop_if_cancelled()
                if state is None:
                    raise Missing("there is no such turn", param="turn_id", tier="stt")
                if state != told:
                    told, rest_s = state, _REST_S[0]
                    yield _response(state)
                if state.stage == OVER:
                    return
                if self._draining().is_set():
                    raise Draining("this worker is going away")
                await asyncio.sleep(rest_s)
                rest_s = min(2 * rest_s, longest_s)

    def _queue(self) -> Turns:
        """
        Raises:
            Unavailable: there is none.
        """
        if self._turns is None:
            raise Unavailable("this worker has no queue: REDIS_URL is not set", tier="stt")
        return self._turns


class _Upload:
    """A recording on its way to the queue, in pieces of its size."""

    def __init__(self, turns: Turns, turn: Turn) -> None:
        self._turns, self._turn = turns, turn
        self._waiting = bytearray()
        self._n_pieces = self.n_bytes = 0

    async def add(self, audio: bytes) -> None:
        self.n_bytes += len(audio)
        if self.n_bytes > MOST_BYTES:
            raise Rejected(f"a recording is {MOST_BYTES} bytes at most", param="audio")
        self._waiting += audio
        while len(self._waiting) >= PIECE_BYTES:
            await self._send(PIECE_BYTES)

    async def end(self) -> None:
        """
        Raises:
            Rejected: there is no audio.
        """
        if not self.n_bytes or self.n_bytes % 2:
            raise Rejected("audio is whole samples, one at least", param="audio")
        if self._waiting:
            await self._send(len(self._waiting))

    async def _send(self, n_bytes: int) -> None:
        piece = bytes(self._waiting[:n_bytes])
        del self._waiting[:n_bytes]
        await self._turns.add(self._turn.tenant, self._turn.id, self._n_pieces, piece)
        self._n_pieces += 1


async def _read(requests: AsyncIterator[pb.SubmitRequest], upload: _Upload) -> None:
    """
    Raises:
        Rejected: the client broke the protocol.
    """
    async for request in requests:
        match request.WhichOneof("payload"):
            case "audio":
                if len(request.audio) > MAX_AUDIO_BYTES:
                    raise Rejected(f"a message has {MAX_AUDIO_BYTES} bytes at most", param="audio")
                await upload.add(request.audio)
            case "finish":
                return await upload.end()
            case other:
                raise call.unexpected(other)
    raise call.unfinished()


def _named(submission_id: str) -> str:
    if submission_id and not _ID.fullmatch(submission_id):
        raise Rejected("letters, digits, _ and - only, 64 at most", param="submission_id")
    return submission_id or f"turn_{secrets.token_hex(16)}"


def _patience_s(config: pb.SubmissionConfig) -> float:
    patience: Duration | Any = config.patience
    patience_s = patience.ToMilliseconds() / 1000 if config.HasField("patience") else KEPT_S
    if not 0 < patience_s <= KEPT_S:
        raise Rejected(f"it may wait for up to {KEPT_S:.0f} s", param="patience")
    return float(patience_s)


def _response(state: State) -> pb.WatchResponse:
    if state.stage == STARTED:
        return pb.WatchResponse(started=pb.TurnStarted(attempt=state.attempts))
    if state.stage != OVER:
        return pb.WatchResponse(queued=pb.TurnQueued())
    if not state.result:
        late = TooSlow("it waited for too long", tier="stt")
        return pb.WatchResponse(failed=detail_of(late))
    result = pb.TurnResult.FromString(state.result)
    if result.HasField("error"):
        return pb.WatchResponse(failed=result.error)
    return pb.WatchResponse(done=result.transcript)
