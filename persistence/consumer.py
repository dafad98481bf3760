"""Facts from the Redis Streams into PostgreSQL: at least once delivered, once stored.

    read → rows → store → commit → acknowledge

What is not acknowledged is delivered again, to whoever claims it. So dying anywhere loses
nothing, and the store makes a second delivery change nothing. Facts of which nothing can
be made go to a stream of their own, `ovos:facts:dead`, with the reason, where they hold
nobody up and can be looked at and put back.

Why one loop and not a task each for reading and claiming: while a batch waits for
PostgreSQL its facts look abandoned, and we would claim them from ourselves.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import time
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from redis.asyncio import Redis
from redis.exceptions import RedisError

from mesh.errors import TooSlow, Unavailable
from mesh.stream import ALL_FACT_STREAMS, RECORD, Entry, Group, stop_if_cancelled
from persistence import metrics, rows
from persistence.config import Config
from persistence.facts import Fact
from persistence.patience import Rest, patiently
from persistence.store import Outcome, Store

GROUP = "persistence"
DEAD_STREAM = "ovos:facts:dead"
DEAD_KEPT = 100_000  # then the oldest goes; far more than anyone looks at, little memory

READ_WAIT_MS = 500  # how long an idle consumer may take to notice that it should claim
_ALL_OF_OURS = 1_000_000  # XPENDING wants a limit

_KEPT = {Outcome.STORED, Outcome.DUPLICATE, Outcome.DELETED}

log = logging.getLogger(__name__)

Delivery = tuple[Entry, Fact]


class Consumer:
    """One consumer of the group. Any number of processes have one each."""

    def __init__(self, redis: Redis, store: Store, config: Config, *, name: str = "") -> None:
        """
        Args:
            redis: With a timeout above READ_WAIT_MS.
            name: Unique among the group's consumers, living or dead; made if empty.
        """
        self.name = name or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._redis, self._store, self._config = redis, store, config
        self._group = Group(redis, ALL_FACT_STREAMS, GROUP, self.name)
        self._claim_at_s = 0.0

    async def join(self) -> None:
        """Make the group where it is missing.

        Raises:
            RedisError: Redis is away.
        """
        await self._group.create()

    async def run(self) -> NoReturn:
        """Consume until cancelled. Redis or PostgreSQL may go and come back."""
        log.info("consuming", extra={"consumer": self.name})
        rest = Rest("redis")
        while True:
            try:
                await self.join()  # also after a Redis that lost its data came back
                while True:
                    await self.turn()
                    stop_if_cancelled()
                    metrics.REDIS_UP.set(1)
                    rest.succeeded()
            except (RedisError, OSError) as error:
                stop_if_cancelled()
                metrics.REDIS_UP.set(0)
                await asyncio.sleep(rest.failed(error))

    async def turn(self) -> int:
        """Claim if it is time to, else read; store what came.

        Returns:
            How many entries came.

        Raises:
            RedisError: Redis is away; unacknowledged entries come again.
        """
        if time.monotonic() >= self._claim_at_s:
            self._claim_at_s = time.monotonic() + self._config.claim_every_s
            entries = await self._claim()
            await self._measure()
        else:
            entries = await self._gather()
        await self._keep(entries)
        return len(entries)

    async def _gather(self) -> list[Entry]:
        """A batch: it waits for its first entry, then a little for more."""
        entries = await self._group.read(self._config.batch_records, READ_WAIT_MS)
        full_at_s = time.monotonic() + self._config.batch_wait_ms / 1000
        while entries and len(entries) < self._config.batch_records:
            left_ms = int((full_at_s - time.monotonic()) * 1000)
            if left_ms < 1:  # to Redis, 0 would mean forever
                break
            entries += await self._group.read(self._config.batch_records - len(entries), left_ms)
        return entries

    async def _claim(self) -> list[Entry]:
        """Entries of consumers that died, and ours that failed; not those delivered too often."""
        if not await self._store.answers():
            return []  # a delivery that cannot succeed must not count against the fact
        claimed = await self._group.claim(int(self._config.claim_idle_s * 1000))
        counts = await self._deliveries(claimed)
        for entry in claimed:
            if counts.get((entry.stream, entry.id), 1) > self._config.max_deliveries:
                await self._bury(entry, "deliveries", "delivered too often")
        return [
            entry
            for entry in claimed
            if counts.get((entry.stream, entry.id), 1) <= self._config.max_deliveries
        ]

    async def _deliveries(self, claimed: Sequence[Entry]) -> dict[tuple[str, str], int]:
        """How often each of these was delivered."""
        counts: dict[tuple[str, str], int] = {}
        for stream in {entry.stream for entry in claimed}:
            ids = [entry.id for entry in claimed if entry.stream == stream]
            pending: list[Any] = await self._redis.xpending_range(
                stream, GROUP, ids[0], ids[-1], _ALL_OF_OURS, self.name
            )
            for found in pending:
                counts[stream, found["message_id"].decode()] = found["times_delivered"]
        return counts

    async def _keep(self, entries: Iterable[Entry]) -> None:
        """Store what can be stored and acknowledge it; set aside what never can be."""
        deliveries: list[Delivery] = []
        for entry in entries:
            try:
                deliveries.append((entry, rows.parse(entry.fields.get(RECORD, b""))))
            except rows.BadRecord as error:
                await self._bury(entry, "undecodable", str(error))
        size = self._config.batch_records
        for start in range(0, len(deliveries), size):
            await self._store_batch(deliveries[start : start + size])

    async def _store_batch(self, batch: Sequence[Delivery]) -> None:
        facts = [fact for _, fact in batch]
        outcomes = await patiently(  # meanwhile the facts wait, here and in Redis
            lambda: self._store.write(facts), away=(Unavailable, TooSlow), what="postgres"
        )
        kept: list[Entry] = []
        for (entry, fact), outcome in zip(batch, outcomes, strict=True):
            if outcome is Outcome.STORED:
                metrics.LAG.observe(max(0.0, time.time() - _arrived_at_s(entry)))
            if outcome in _KEPT:
                kept.append(entry)
            elif outcome is Outcome.REFUSED:
                await self._bury(entry, "refused", "PostgreSQL refuses it", fact)
            # What failed is delivered again after claim_idle_s, until it was too often.
        if kept:
            await self._group.ack(kept)

    async def _bury(self, entry: Entry, reason: str, detail: str, fact: Fact | None = None) -> None:
        """Set an entry aside. Dying in between sets it aside twice, which loses nothing."""
        fields: dict[Any, Any] = {
            **entry.fields,
            b"stream": entry.stream,
            b"id": entry.id,
            b"reason": f"{reason}: {detail}",
        }
        await self._redis.xadd(DEAD_STREAM, fields, maxlen=DEAD_KEPT, approximate=True)
        await self._group.ack([entry])
        metrics.DEAD.labels(reason).inc()
        log.error("fact set aside", extra={**_about(entry, fact), "reason": detail})

    async def _measure(self) -> None:
        async with self._redis.pipeline(transaction=False) as pipe:
            for stream in ALL_FACT_STREAMS:
                pipe.xlen(stream)  # what is acknowledged is deleted, so all that is left waits
            metrics.BACKLOG.set(sum(await pipe.execute()))


def _arrived_at_s(entry: Entry) -> float:
    return int(entry.id.partition("-")[0]) / 1000


def _about(entry: Entry, fact: Fact | None) -> dict[str, str]:
    about = {"stream": entry.stream, "entry": entry.id}
    if fact is not None:
        about |= {"record_id": str(fact.record_id), "kind": fact.kind}
    return about
