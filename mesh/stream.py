"""Redis Streams: facts go one way, in order, to consumer groups.

An entry of a fact stream has one field, `record`: a serialized ovos.persistence.v1.Record.
A session's facts are all in one stream, so they keep their order.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ResponseError

FACT_SHARDS = 16
RECORD = b"record"

_TIMEOUT_S = 0.25  # the library's 5 s is a long silence on a telephone
_CONNECTIONS = 32


def fact_stream(session_id: str) -> str:
    """The stream that holds a session's facts."""
    return f"ovos:facts:{zlib.crc32(session_id.encode()) % FACT_SHARDS}"


ALL_FACT_STREAMS = [f"ovos:facts:{n}" for n in range(FACT_SHARDS)]


def connect(url: str, *, timeout_s: float = _TIMEOUT_S) -> Redis:
    """A pooled client, impatient enough for a voice path. It connects at first use.

    Args:
        timeout_s: Of one command. A blocking read needs more than it blocks for.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(ExponentialBackoff(cap=0.2, base=0.02), 2),
        health_check_interval=10,
    )
    return Redis.from_pool(pool)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a stream."""

    stream: str
    id: str
    fields: dict[bytes, bytes]


class Group:
    """One consumer of a consumer group over several streams."""

    def __init__(self, redis: Redis, streams: Sequence[str], group: str, consumer: str) -> None:
        """
        Args:
            redis: Made with a timeout above the longest `block_ms`.
            consumer: Unique among the living consumers of the group.
        """
        self._redis, self._streams = redis, list(streams)
        self._group, self._consumer = group, consumer

    async def create(self) -> None:
        """Make the group, from the streams' first entries on, where it is missing."""
        for stream in self._streams:
            try:
                await self._redis.xgroup_create(stream, self._group, id="0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    async def read(self, count: int, block_ms: int) -> list[Entry]:
        """Entries that no consumer of the group has had; waits up to `block_ms` for one.

        Args:
            count: At most, of each stream.
            block_ms: 0 waits forever.
        """
        answer = await self._redis.xreadgroup(
            self._group, self._consumer, dict.fromkeys(self._streams, ">"), count, block_ms
        )
        found = answer.items() if isinstance(answer, dict) else (answer or [])
        entries: list[Entry] = []
        for stream, raw in found:
            entries += _entries(stream, raw[0] if raw and isinstance(raw[0], list) else raw)
        return entries

    async def claim(self, min_idle_ms: int, count: int = 500) -> list[Entry]:
        """Take over entries that a consumer has had for `min_idle_ms` without acknowledging."""
        entries: list[Entry] = []
        for stream in self._streams:
            answer = await self._redis.xautoclaim(
                stream, self._group, self._consumer, min_idle_ms, "0-0", count
            )
            entries += _entries(stream, answer[1])
        return entries

    async def ack(self, entries: Sequence[Entry]) -> None:
        """Acknowledge and delete, so a stream has one group: a second one would miss what the
        first has had. Trimming by length would drop what a slow group has not read."""
        by_stream: dict[str, list[str]] = {}
        for entry in entries:
            by_stream.setdefault(entry.stream, []).append(entry.id)
        async with self._redis.pipeline(transaction=False) as pipe:
            for stream, ids in by_stream.items():
                pipe.xack(stream, self._group, *ids)
                pipe.xdel(stream, *ids)
            await pipe.execute()


def stop_if_cancelled() -> None:
    """Take a cancellation that got lost: before Python 3.12, `asyncio.wait_for`, which redis
    uses, drops one that comes in the moment it is done. For loops that only that ends.

    Raises:
        CancelledError: this task was cancelled and goes on regardless.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _entries(stream: bytes | str, raw: Any) -> list[Entry]:
    name = stream.decode() if isinstance(stream, bytes) else stream
    return [
        Entry(name, cast(bytes, entry_id).decode(), fields)
        for entry_id, fields in raw
        if fields  # a claimed entry that was deleted meanwhile has none
    ]
