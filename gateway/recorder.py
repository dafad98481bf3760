"""Facts to the Redis Stream, from where persistence takes them. Never delays a turn.

While Redis is away they go to a spool on disk, if there is one, and all of it goes to Redis
before anything newer does. So what one session says stays in order.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway import metrics
from gateway.facts import Facts
from gateway.spool import Spool, Waiting
from mesh.redis import Command, each
from mesh.stream import RECORD, fact_stream, stop_if_cancelled
from ovos.persistence.v1 import persistence_pb2 as pb

__all__ = ["MOST_WAITING", "Facts", "Recorder"]

MOST_WAITING = 20_000  # facts in memory; some minutes of a busy process, some ten megabytes
_BATCH = 128  # facts in a round trip: some 2 ms of the event loop
_PAUSE_S = 0.002  # between batches of a replay: half of the loop is for the conversations
_READ = 1024  # facts, from the disk
_AGAIN_S = 0.5
_LOOK_S = 1.0  # so that readiness is no older
_SPOOL_EVERY_S = 0.1  # what a crash loses while Redis is away

T = TypeVar("T")

log = logging.getLogger(__name__)


class Recorder:
    """A bounded queue in front of Redis. Full, it drops the oldest facts and counts them."""

    def __init__(self, redis: Redis, spool: Spool | None = None) -> None:
        """
        Args:
            redis: Of any kind; it is closed when `run` ends.
            spool: Takes the facts while Redis is away. It is opened where it is not yet, and
                closed when `run` ends.
        """
        self._redis, self._spool = redis, spool
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="spool") if spool else None
        self._replaying: list[Waiting] = []  # on their way; the spool still has them
        self._older: list[Waiting] = []  # on their way, or the disk did not take them
        self._waiting: deque[Waiting] = deque()
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        if spool is None:
            self._empty.set()
        self._away_since_s: float | None = None
        self._dropped_before = 0
        self._disk_is_well = True
        self._spool_dropped = 0
        self._dropped = 0
        self.is_well = False
        """Whether Redis takes facts."""

    def put(self, record: pb.Record) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft()
            self._lost(1)
        self._waiting.append((fact_stream(record.session.session_id), record.SerializeToString()))
        self._empty.clear()
        self._wake.set()

    async def run(self) -> None:
        """Write what comes, and try Redis now and then when nothing does.

        Raises:
            SpoolError: the spool cannot be used.
        """
        try:
            if self._spool is not None and not self._spool.is_open:
                await self._on_disk(self._spool.open)
            while True:
                await self._write_or_wait()
                stop_if_cancelled()
        finally:
            await self._leave()

    async def flush(self, timeout_s: float) -> bool:
        """Wait until Redis has all; returns whether it has. What it has not when `run` ends
        goes to the spool."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    async def _write_or_wait(self) -> None:
        self._wake.clear()
        try:
            if self._n_waiting == 0:
                await self._redis.ping()
            await self._replay()
            await self._write_all()
        except (RedisError, OSError) as error:
            self._says_away(type(error).__name__)
            await self._wait_for_redis()
            return
        self._says_well()
        self._empty.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_S):
                await self._wake.wait()

    async def _replay(self) -> None:
        """What is on the disk comes before all that is in memory."""
        spool = self._spool
        if spool is None or (spool.is_empty and not self._replaying):
            return
        began_s, n = time.monotonic(), 0
        while self._replaying or not spool.is_empty:
            if not self._replaying:
                self._replaying = await self._on_disk(spool.read, _READ)
                n += len(self._replaying)
            while self._replaying:
                await self._send_first(self._replaying)
                await asyncio.sleep(_PAUSE_S)
            await self._on_disk(spool.forget)
            if len(self._waiting) > MOST_WAITING // 2:
                await self._set_aside()
        log.info("spool replayed", extra={"facts": n, "took_s": _since(began_s)})

    async def _write_all(self) -> None:
        while self._older or self._waiting:
            while self._waiting and len(self._older) < _BATCH:
                self._older.append(self._waiting.popleft())
            await self._send_first(self._older)
            self._measure()

    async def _send_first(self, facts: list[Waiting]) -> None:
        """Write a batch of them; what Redis has taken is taken out.

        A part may fail: a shard of a cluster is away. Then what follows in the same stream is
        written again too, after what failed.

        Raises:
            RedisError, OSError: Redis has not taken all. It may have taken what is left.
        """
        batch = facts[:_BATCH]
        commands = [
            Command(stream, ("XADD", stream, "*", RECORD, record)) for stream, record in batch
        ]
        answers = await each(self._redis, commands)
        failed: Exception | None = None
        streams: set[str] = set()
        left: list[Waiting] = []
        for fact, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Exception):
                failed = failed or answer
                streams.add(fact[0])
            if fact[0] in streams:
                left.append(fact)
        facts[: len(batch)] = left
        if failed is not None:
            raise failed
        self._says_well()

    async def _wait_for_redis(self) -> None:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + _AGAIN_S
        while loop.time() < until_s:
            await self._set_aside()
            await asyncio.sleep(_SPOOL_EVERY_S)

    async def _set_aside(self) -> None:
        """Put all that is in memory on the disk."""
        if self._spool is None:
            return
        self._older += self._waiting
        self._waiting.clear()
        if not self._older:
            return
        try:
            await self._on_disk(self._spool.append, tuple(self._older))
        except OSError as error:
            self._says_disk(well=False, why=error.strerror or str(error))
            over = max(0, len(self._older) - MOST_WAITING)
            del self._older[:over]
            self._lost(over)
        else:
            self._older.clear()
            self._says_disk(well=True)

    async def _leave(self) -> None:
        try:
            n = len(self._older) + len(self._waiting)
            if self._spool is not None:
                await self._set_aside()
                await self._on_disk(self._spool.close)
            if lost := len(self._older) + len(self._waiting):
                log.error("facts lost at exit", extra={"facts": lost})
            elif n:
                log.warning("facts spooled at exit", extra={"facts": n})
        finally:
            if self._disk is not None:
                self._disk.shutdown(wait=False)
            await self._redis.aclose()

    async def _on_disk(self, work: Callable[..., T], *args: object) -> T:
        """Call it on the disk's thread. Cancelled, it goes on there; what comes next waits."""
        assert self._spool is not None
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._disk, work, *args)
        finally:
            self._lost(self._spool.dropped - self._spool_dropped)
            self._spool_dropped = self._spool.dropped
            self._measure()

    @property
    def _n_waiting(self) -> int:
        """In memory and on the disk."""
        on_disk = 0 if self._spool is None else self._spool.facts
        return on_disk + len(self._older) + len(self._waiting)

    def _lost(self, n: int) -> None:
        self._dropped += n
        metrics.FACTS_DROPPED.inc(n)

    def _measure(self) -> None:
        metrics.FACTS_WAITING.set(self._n_waiting)
        if self._spool is not None:
            metrics.FACTS_SPOOLED_BYTES.set(self._spool.size_bytes)

    def _says_away(self, why: str) -> None:
        if self._away_since_s is None:
            self.is_well = False
            self._away_since_s, self._dropped_before = time.monotonic(), self._dropped
            metrics.REDIS_AWAY.set(1)
            log.error("redis away", extra={"reason": why, "facts": self._n_waiting})

    def _says_well(self) -> None:
        if self.is_well:
            return
        self.is_well = True
        metrics.REDIS_AWAY.set(0)
        if self._away_since_s is None:
            log.info("redis takes facts")
            return
        about = {"away_s": _since(self._away_since_s), "facts": self._n_waiting}
        about |= {"dropped": self._dropped - self._dropped_before}
        if self._spool is not None:
            about["spooled_bytes"] = self._spool.size_bytes
        self._away_since_s = None
        log.warning("redis is back", extra=about)

    def _says_disk(self, *, well: bool, why: str = "") -> None:
        if well != self._disk_is_well:
            self._disk_is_well = well
            if well:
                log.info("spool takes facts")
            else:
                log.error("spool does not take facts", extra={"reason": why})


def _since(began_s: float) -> float:
    return round(time.monotonic() - began_s, 3)
