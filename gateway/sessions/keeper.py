"""Writes what is kept of all sessions of this process, in as few round trips as it takes.

While one write is on its way, what comes meanwhile waits for the next one: an idle process
writes at once, a busy one in large batches. When the store is away, sessions go on without it
(degraded mode); everything is written when it is back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import islice

from gateway import metrics
from gateway.sessions.guarded import News, portions, revived, settle, written
from gateway.sessions.kept import Kept
from gateway.sessions.store import Outcome, Store, Taken, Write
from mesh.errors import Unavailable
from mesh.stream import stop_if_cancelled

MARK_S = 0.04
"""How often marks are written: so much audio may come twice when a process dies."""
PATIENCE_S = 0.3
"""A write that takes longer holds nobody up. Time in which this process did not run is not
counted: it could not have heard the answer."""
_AGAIN_S, _WATCH_S, _LOOK_S = 0.5, 0.1, 1.0
_SLEPT_S = 0.35
"""Who was not seen for so long may have been asleep, and its sessions may have moved."""
_BATCH, _LEAVING = 200, 1000  # sessions of one round trip; most that leave write nothing
_ALONE = 8  # that leave at a time; more do so together
_LAST_S, _RESYNC_S = 3.0, 60.0
_CONFIRM_S = 2.0  # longer than any one command takes to fail

log = logging.getLogger(__name__)


class Keeper:
    def __init__(self, store: Store, *, ttl_s: float) -> None:
        """`ttl_s`: how long sessions live without a word of ours."""
        self.store, self._ttl_s = store, ttl_s
        self.is_well = False
        """Whether the store takes what we write."""
        self._sessions: dict[str, Kept] = {}
        self._now: dict[str, Kept] = {}  # in the order in which they came
        self._soon: set[Kept] = set()
        self._moved: set[Kept] = set()
        self._n_alone = 0  # that leave, each for itself
        self._leaving: dict[Kept, asyncio.Future[None]] = {}
        self._wake, self._mark, self._left = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._doubts = 0
        self._seen_s = self._answered_s = time.monotonic()
        self._asked: list[Kept] = []  # that a write is on its way of
        self._asked_looks: int | None = None  # how often we have looked after it
        self._away_since_s: float | None = None
        self._back_s: float | None = None

    @property
    def _may_revive(self) -> bool:
        """Whether sessions may have been lost with the store: it is away, or has just come back.
        Later, who is gone was ended by somebody."""
        return self._back_s is not None and time.monotonic() - self._back_s < _RESYNC_S

    @property
    def doubts(self) -> int:
        now_s = time.monotonic()
        if now_s - self._seen_s > _SLEPT_S:
            self._doubts += 1
            log.warning("process slept", extra={"seconds": round(now_s - self._seen_s, 1)})
        self._seen_s = now_s
        return self._doubts

    def add(self, kept: Kept) -> None:
        """Keep a session that the store knows as ours."""
        if self._sessions.get(kept.session_id, kept).epoch > kept.epoch:
            return kept.lose(Outcome.MOVED)  # it was claimed once more meanwhile, by us
        self._sessions[kept.session_id] = kept

    async def leave(self, kept: Kept) -> None:
        """Write the last of a session that goes on elsewhere."""
        kept.journal.settle()
        try:
            async with asyncio.timeout(_LAST_S):
                await (self._leave_alone if self._n_alone < _ALONE else self._leave_among)(kept)
        except (Unavailable, TimeoutError):
            log.warning("session left unwritten", extra={"session_id": kept.session_id})
            kept.free()  # history hears of it all the same
        self.drop(kept)

    async def _leave_alone(self, kept: Kept) -> None:
        self._n_alone += 1
        try:
            await self._leave([kept])
        finally:
            self._n_alone -= 1

    async def _leave_among(self, kept: Kept) -> None:
        """With others: thousands may leave at once, when a balancer goes down."""
        written = self._leaving[kept] = asyncio.get_running_loop().create_future()
        self._left.set()
        try:
            await written
        finally:
            self._leaving.pop(kept, None)

    async def _leave(self, batch: list[Kept]) -> None:
        await self._write(batch)
        await self.store.mark({k.session_id: (k.epoch, k.mark()) for k in batch})

    def drop(self, kept: Kept) -> None:
        """It has ended, or is not ours any more."""
        if self._sessions.get(kept.session_id) is kept:
            del self._sessions[kept.session_id]
        if self._now.get(kept.session_id) is kept:
            del self._now[kept.session_id]
        self._soon.discard(kept)
        self._moved.discard(kept)
        kept.let_go()

    def now(self, kept: Kept) -> None:
        if not self.is_well:
            kept.free()
        self._now[kept.session_id] = kept
        self._wake.set()

    def soon(self, kept: Kept) -> None:
        self._soon.add(kept)

    def moved(self, kept: Kept) -> None:
        self._moved.add(kept)
        self._mark.set()

    async def confirm(self, kept: Kept) -> None:
        write = Write(kept.session_id, kept.epoch, kept.journal.next)
        began_s = time.monotonic()
        while True:
            try:
                [outcome] = await self.store.write([write])
                break
            except Unavailable:
                # What was under way when we fell asleep has timed out; the store may be there.
                if time.monotonic() - began_s > _CONFIRM_S:
                    outcome = Outcome.AWAY
                    break
                await asyncio.sleep(_WATCH_S)
        log.info("owner confirmed", extra={"outcome": outcome.name.lower()})
        kept.doubts = self._doubts
        if outcome in (Outcome.MOVED, Outcome.GONE):
            kept.written(write, outcome, 0)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for work in (self._write_on, self._mark_on, self._leave_on, self._beat_on, self._watch):
                tasks.create_task(self._forever(work), name=work.__name__)

    async def _forever(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Unavailable as error:
                self._is_away(error.detail)
                await asyncio.sleep(_AGAIN_S)
            except Exception:  # a mistake of ours: it must not end the process
                log.exception("keeper failed")
                await asyncio.sleep(_AGAIN_S)
            stop_if_cancelled()

    async def _write_on(self) -> None:
        await self._wake.wait()
        batch = [self._now[sid] for sid in list(self._now)[:_BATCH]]
        for kept in batch:
            del self._now[kept.session_id]
        if not self._now:
            self._wake.clear()
        self._asked, self._asked_looks = batch, 0
        try:
            await self._write(batch)
        except Exception:
            for kept in batch:
                self.now(kept)
            raise
        finally:
            self._asked, self._asked_looks = [], None

    async def _write(self, batch: list[Kept]) -> None:
        for writes in portions(batch):
            await self._write_portion(writes)
        self._soon.update(kept for kept in batch if kept.waits)

    async def _write_portion(self, writes: list[News]) -> None:
        began_s = time.monotonic()
        outcomes = await self.store.write([write for _, write, _ in writes])
        metrics.KEPT.observe(time.monotonic() - began_s)
        self._has_answered()
        for (kept, write, made), outcome in zip(writes, outcomes, strict=True):
            if outcome is Outcome.GONE and self._may_revive:
                await revived(kept, self._revive)
                continue
            written(kept, write, outcome, made)
            if outcome in (Outcome.AWAY, Outcome.MISSING):
                self._soon.add(kept)

    async def _revive(self, kept: Kept) -> None:
        """A session that the store lost while it was away is ours, and nobody else's."""
        write = kept.whole()
        if write is None or write.state is None:
            kept.free()  # until nothing of it runs
            self._soon.add(kept)
            return
        made = kept.journal.seq
        try:
            await self.store.create(kept.session_id, kept.meta, write.state, kept.epoch + 1)
        except Taken:
            kept.lose(Outcome.MOVED)
            return
        kept.epoch += 1
        write = replace(write, epoch=kept.epoch)
        [outcome] = await self.store.write([write])
        kept.written(write, outcome, made)

    async def _mark_on(self) -> None:
        await self._mark.wait()
        self._mark.clear()
        moved, self._moved = self._moved, set()
        if self.is_well:
            await self.store.mark({k.session_id: (k.epoch, k.mark()) for k in moved})
        await asyncio.sleep(MARK_S)

    async def _leave_on(self) -> None:
        await self._left.wait()
        leaving = dict(islice(self._leaving.items(), _LEAVING))
        for kept in leaving:
            del self._leaving[kept]
        if not self._leaving:
            self._left.clear()
        try:
            await self._leave(list(leaving))
        except Exception as error:
            settle(leaving.values(), Unavailable(str(error), tier="redis"))
            raise
        settle(leaving.values())

    async def _beat_on(self) -> None:
        await self.store.beat(list(self._sessions))
        self._has_answered()
        await asyncio.sleep(self._ttl_s / 3)

    async def _watch(self) -> None:
        """Ask now and then, when nobody else does; look after a write that takes long."""
        await asyncio.sleep(_WATCH_S)
        now_s = time.monotonic()
        _ = self.doubts
        if self._asked_looks is not None:
            self._asked_looks += 1
            if self._asked_looks * _WATCH_S > PATIENCE_S:
                return self._is_away("it takes long")  # until that write has ended
        late = [kept for kept in self._soon if self.is_well]
        self._soon -= set(late)
        for kept in late:
            self.now(kept)
        if now_s - self._answered_s > _LOOK_S or not self.is_well:
            await self.store.ping()
            self._has_answered()

    def _has_answered(self) -> None:
        self._answered_s = time.monotonic()
        if self.is_well:
            return
        self.is_well = True
        metrics.DEGRADED.set(0)
        if self._away_since_s is None:
            return
        away_s = round(time.monotonic() - self._away_since_s, 1)
        log.warning("store back", extra={"seconds": away_s, "sessions": len(self._sessions)})
        self._away_since_s, self._back_s = None, time.monotonic()
        for kept in self._sessions.values():
            self._now[kept.session_id] = kept
            self._moved.add(kept)
        self._wake.set()
        self._mark.set()

    def _is_away(self, why: str) -> None:
        """Degraded mode: sessions go on without the store."""
        if self.is_well or self._away_since_s is None:
            self._away_since_s = time.monotonic()
            log.error("store away", extra={"reason": why, "sessions": len(self._sessions)})
        self.is_well = False
        metrics.DEGRADED.set(1)
        for kept in [*self._now.values(), *self._soon, *self._asked]:
            kept.free()
