"""What a process says about itself to those who call it: ovos.worker.v1.WorkerService.

grpc.health.v1 beside it answers the yes-or-no question; this one says how full the
process is and lets an operator drain it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2

from mesh.errors import answering, deadline_required
from ovos.worker.v1 import worker_pb2 as pb
from ovos.worker.v1 import worker_pb2_grpc

BUSY_EVERY_S = 0.2  # three missed messages mean a hang: 0.6 s
IDLE_EVERY_S = 1.0
_IDLE_LOOKS = round(IDLE_EVERY_S / BUSY_EVERY_S)


@dataclass(frozen=True, slots=True)
class Load:
    """How full a process is."""

    active_streams: int = 0
    max_streams: int = 0
    queue_depth: int = 0
    """Pieces of work that wait for a model."""


class HealthServicer(health.aio.HealthServicer):  # type: ignore[misc]
    """grpc.health.v1, with watches that can be ended: they would hold up the server's end."""

    def __init__(self) -> None:
        super().__init__()
        self._watches: set[asyncio.Timeout] = set()

    async def Watch(
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(None) as watch:
                self._watches.add(watch)
                try:
                    await super().Watch(request, context)
                finally:
                    self._watches.discard(watch)

    def end_watches(self) -> None:
        now_s = asyncio.get_running_loop().time()
        for watch in self._watches:
            watch.reschedule(now_s)


class WorkerServicer(worker_pb2_grpc.WorkerServiceServicer):
    def __init__(self, load: Callable[[], Load], drain: Callable[[float], None]) -> None:
        """
        Args:
            drain: Begins draining, with the seconds until streams are ended by force.
        """
        self.worker_id = f"w_{secrets.token_hex(8)}"
        self.state: pb.WorkerState.ValueType = pb.WORKER_STATE_STARTING
        self._load, self._drain = load, drain
        self._ended = asyncio.Event()

    def end_watches(self) -> None:
        self._ended.set()

    async def GetStatus(
        self,
        request: pb.GetStatusRequest,
        context: grpc.aio.ServicerContext[pb.GetStatusRequest, pb.GetStatusResponse],
    ) -> pb.GetStatusResponse:
        async with answering(context):
            deadline_required(context)
        return pb.GetStatusResponse(status=self._status())

    async def WatchStatus(
        self,
        request: pb.WatchStatusRequest,
        context: grpc.aio.ServicerContext[pb.WatchStatusRequest, pb.WatchStatusResponse],
    ) -> AsyncIterator[pb.WatchStatusResponse]:
        while not self._ended.is_set():
            status = self._status()
            yield pb.WatchStatusResponse(status=status)
            await self._pause(status)

    async def _pause(self, told: pb.WorkerStatus) -> None:
        """Until it is time to say something again: soon when there are streams, or else were."""
        for _ in range(_IDLE_LOOKS):
            with suppress(TimeoutError):
                async with asyncio.timeout(BUSY_EVERY_S):
                    await self._ended.wait()
                    return
            if told.active_streams or self._status() != told:
                return

    async def Drain(
        self,
        request: pb.DrainRequest,
        context: grpc.aio.ServicerContext[pb.DrainRequest, pb.DrainResponse],
    ) -> pb.DrainResponse:
        async with answering(context):
            deadline_required(context)
        self._drain(request.grace.ToTimedelta().total_seconds())
        return pb.DrainResponse(active_streams=self._load().active_streams)

    def _status(self) -> pb.WorkerStatus:
        load = self._load()
        return pb.WorkerStatus(
            worker_id=self.worker_id,
            state=self.state,
            active_streams=load.active_streams,
            max_streams=load.max_streams,
            queue_depth=load.queue_depth,
            version=version("ovos-voice-mesh"),
        )
