"""Tells other gateway processes things, in order, through their inboxes.

What comes while one batch is on its way waits for the next, so a process that has much to tell
tells it in few messages.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress

from gateway import metrics, notices
from gateway.flag import Flag
from gateway.notices import Batch, Notice
from gateway.sessions.store import Store
from mesh.errors import Unavailable
from mesh.stream import stop_if_cancelled

HIGH_WATER = 1 << 20
"""Bytes for one process; who can wait does so above it."""
MOST_WAITING = 8 << 20  # bytes; above it, all that waits is dropped
PATIENCE_S = 10.0
"""For a store that is away; then what waits is dropped. Who misses it finds so by the numbers."""
_AGAIN_S = 0.3

log = logging.getLogger(__name__)


class _Line:
    """To one process."""

    __slots__ = ("is_busy", "n_bytes", "number", "room", "waiting")

    def __init__(self) -> None:
        self.waiting: list[Notice] = []
        self.n_bytes = self.number = 0
        self.is_busy = False
        self.room = Flag(is_set=True)

    def take(self) -> list[Notice]:
        """As much as one batch holds."""
        taken, n_bytes = 0, 0
        while taken < len(self.waiting) and n_bytes < notices.MOST_BATCH:
            n_bytes += notices.size(self.waiting[taken])
            taken += 1
        batch, self.waiting = self.waiting[:taken], self.waiting[taken:]
        self._holds(self.n_bytes - n_bytes)
        return batch

    def put(self, notice: Notice) -> None:
        self.waiting.append(notice)
        self._holds(self.n_bytes + notices.size(notice))

    def drop(self) -> None:
        """A number is left out: the next batch, an empty one if need be, tells."""
        metrics.NOTICES_DROPPED.inc(len(self.waiting))
        self.waiting, self.number = [], self.number + 1
        self._holds(0)

    def _holds(self, n_bytes: int) -> None:
        self.n_bytes = n_bytes
        (self.room.set if n_bytes < HIGH_WATER else self.room.clear)()


class Relay:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._lines: dict[str, _Line] = {}
        self._awake: set[str] = set()
        self._wake, self._idle = Flag(), Flag(is_set=True)

    @property
    def gateway_id(self) -> str:
        """Of this process."""
        return self._store.gateway_id

    def put(self, gateway_id: str, notice: Notice) -> None:
        """Tell a process, soon."""
        line = self._lines.setdefault(gateway_id, _Line())
        if line.n_bytes > MOST_WAITING:
            log.warning("notices dropped", extra={"gateway": gateway_id, "bytes": line.n_bytes})
            line.drop()
        line.put(notice)
        self._idle.clear()
        if not line.is_busy:
            self._awake.add(gateway_id)
            self._wake.set()

    async def room(self, gateway_id: str) -> None:
        """Wait while much waits for that process."""
        if (line := self._lines.get(gateway_id)) is not None:
            await line.room.wait()

    async def flush(self, timeout_s: float) -> None:
        """Wait until all is told."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._wake.wait()
                self._wake.clear()
                awake, self._awake = self._awake, set()
                for gateway_id in awake:
                    line = self._lines[gateway_id]
                    line.is_busy = True
                    tasks.create_task(self._empty(gateway_id, line), name=f"tell {gateway_id}")

    async def _empty(self, gateway_id: str, line: _Line) -> None:
        while line.waiting:
            line.number += 1
            batch = Batch(self.gateway_id, line.number, line.take())
            while not await self._tell(gateway_id, batch):
                line.drop()
                batch = Batch(self.gateway_id, line.number, [])
        line.is_busy = False
        if not any(other.waiting or other.is_busy for other in self._lines.values()):
            self._idle.set()

    async def _tell(self, gateway_id: str, batch: Batch) -> bool:
        message = notices.encode(batch)
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            try:
                await self._store.tell(gateway_id, message)
            except Unavailable:
                stop_if_cancelled()
                await asyncio.sleep(_AGAIN_S)
            else:
                metrics.NOTICES.inc(len(batch.notices))
                return True
        log.warning("not told", extra={"gateway": gateway_id, "notices": len(batch.notices)})
        return False
