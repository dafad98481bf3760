"""One worker of a pool: a link that knows how full the worker is, and whether it hangs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

import grpc

from mesh.dial import Link, Lose
from mesh.health import BUSY_EVERY_S, IDLE_EVERY_S
from ovos.worker.v1 import worker_pb2 as pb
from ovos.worker.v1 import worker_pb2_grpc

LOOK_S = BUSY_EVERY_S
"""How often `look` is to be called."""
_MISSED = 3  # messages that did not come: it hangs, or is cut off
_LOOKS_BUSY = _MISSED
_LOOKS_IDLE = _MISSED * round(IDLE_EVERY_S / LOOK_S)
_AGAIN_S = 0.25
_FEW_STREAMS = 64  # what a worker takes that does not say

log = logging.getLogger(__name__)


class Worker(Link):
    """A link to one worker; `run` keeps what it says of itself.

    Why looks are counted and not seconds: time in which this process stood still is not
    silence of the worker.
    """

    def __init__(self, tier: str, target: str, *, is_static: bool = False) -> None:
        """
        Args:
            is_static: Whether settings name it: it is never forgotten.
        """
        super().__init__(tier, target)
        self.is_static, self.is_listed = is_static, False
        self.id = ""
        """Of its process, once it is known."""
        self.hangs = False
        """Whether it has missed three messages."""
        self._left = asyncio.Event()
        self._active = self._max = 0
        self._unreported: set[object] = set()  # open calls of ours that it has not told of yet
        self._silent: int | None = None  # looks since its last message; None: it sends none

    @property
    def name(self) -> str:
        """The same for two that lead to one process."""
        return self.id or self.target

    @property
    def load(self) -> float:
        """How full it is; from 1 on it takes nothing more, as far as is known."""
        return (self._active + len(self._unreported)) / (self._max or _FEW_STREAMS)

    @property
    def is_full(self) -> bool:
        return bool(self._max) and self.load >= 1

    @property
    def in_view(self) -> bool:
        return self.serving and not self.hangs

    def begin(self, call: object, lose: Lose | None = None) -> None:
        super().begin(call, lose)
        self._unreported.add(call)

    def end(self, call: object) -> None:
        super().end(call)
        self._unreported.discard(call)

    def listed_as(self, id_: str, fields: Mapping[str, str]) -> None:
        """What the list says of it, until it says so itself."""
        if self._silent is None:
            self.id = id_
            self._is_told(_number(fields, "active_streams"), _number(fields, "max_streams"))

    def look(self) -> None:
        """Note that it has said nothing since the last look."""
        if self._silent is None:
            return
        self._silent += 1
        if self._silent > (_LOOKS_BUSY if self._active else _LOOKS_IDLE) and not self.hangs:
            self.hangs = True
            log.warning("worker hangs", extra=self._who)

    def leave(self) -> None:
        """It gets no more calls: `run` ends with the last one."""
        self._left.set()

    async def run(self) -> None:
        """Watch it until it has left, then close it. Cancelling closes it at once."""
        try:
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(self.watch(), name=f"watch {self.target}")
                await self._left.wait()
                await self.is_idle.wait()
                watching.cancel()
        finally:
            await self.close()

    async def watch(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(super().watch(), name=f"health of {self.target}")
            tasks.create_task(self._watch_load(), name=f"load of {self.target}")

    async def _watch_load(self) -> None:
        stub = self.stub(worker_pb2_grpc.WorkerServiceStub)
        while True:
            call = stub.WatchStatus(pb.WatchStatusRequest())
            try:
                async for answer in call:
                    self._says(answer.status)
            except grpc.aio.AioRpcError as error:
                log.debug("load unknown", extra={**self._who, "code": error.code().name})
            finally:
                call.cancel()
            self._silent, self.hangs = None, False  # its health says what became of it
            await asyncio.sleep(_AGAIN_S)

    def _says(self, status: pb.WorkerStatus) -> None:
        self._silent, self.id = 0, status.worker_id
        self._is_told(status.active_streams, status.max_streams)
        if self.hangs:
            self.hangs = False
            self.breaker.revived()
            log.info("worker answers again", extra=self._who)

    def _is_told(self, active: int, most: int) -> None:
        self._active, self._max = active, most
        self._unreported.clear()


def _number(fields: Mapping[str, str], name: str) -> int:
    text = fields.get(name, "")
    return int(text) if text.isdecimal() else 0
