"""Redis Streams: facts go one way, in order, to consumer groups.

An entry of a fact stream has one field, `record`: a serialized ovos.persistence.v1.Record.
A session's facts are all in one stream, so they keep their order.
"""

from __future__ import annotations

import asyncio
import math
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from mesh.redis import Command, connect, each, is_cluster

__all__ = [
    "ALL_FACT_STREAMS", "FACT_SHARDS", "RECORD", "Entry", "Group", "connect", "fact_stream",
    "stop_if_cancelled",
]  # fmt: skip

FACT_SHARDS = 16
RECORD = b"record"

_REST_S = 0.002, 0.05  # between looks at streams that cannot be waited for in one command


def fact_stream(session_id: str) -> str:
    """The stream that holds a session's facts."""
    return f"ovos:facts:{zlib.crc32(session_id.encode()) % FACT_SHARDS}"


ALL_FACT_STREAMS = [f"ovos:facts:{n}" for n in range(FACT_SHARDS)]


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
        if is_cluster(self._redis):
            return await self._look(count, block_ms)
        answer = await self._redis.xreadgroup(
            self._group, self._consumer, dict.fromkeys(self._streams, ">"), count, block_ms
        )
        return _of_all(answer)

    async def _look(self, count: int, block_ms: int) -> list[Entry]:
        """On a cluster one command reads one stream, and a blocked one cannot be taken back:
        what it was given meanwhile would be lost until it is claimed. So look, and rest."""
        reading = "XREADGROUP", "GROUP", self._group, self._consumer
        until_s = time.monotonic() + block_ms / 1000 if block_ms else math.inf
        looks = [
            Command(stream, (*reading, "COUNT", count, "STREAMS", stream, ">"))
            for stream in self._streams
        ]
        rest_s, longest_s = _REST_S
        while True:
            entries = _of_shards(await each(self._redis, looks))
            left_s = until_s - time.monotonic()
            if entries or left_s <= 0:
                return entries
            await asyncio.sleep(min(rest_s, left_s))
            rest_s = min(rest_s * 2, longest_s)

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
        commands = [
            Command(stream, command)
            for stream, ids in by_stream.items()
            for command in (("XACK", stream, self._group, *ids), ("XDEL", stream, *ids))
        ]
        for answer in await each(self._redis, commands):
            if isinstance(answer, Exception):
                raise answer


def stop_if_cancelled() -> None:
    """Take a cancellation that got lost: before Python 3.12, `asyncio.wait_for`, which redis
    uses, drops one that comes in the moment it is done. For loops that only that ends.

    Raises:
        CancelledError: this task was cancelled and goes on regardless.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _of_shards(answers: list[Any]) -> list[Entry]:
    """What the shards that answered had.

    Raises:
        RedisError, OSError: a group is missing, or a shard is away and no other has anything.
    """
    failed = [answer for answer in answers if isinstance(answer, Exception)]
    entries = [
        entry
        for answer in answers
        if not isinstance(answer, Exception)
        for entry in _of_all(answer)
    ]
    for error in failed:
        if not entries or type(error) is ResponseError:
            raise error
    return entries


def _of_all(answer: Any) -> list[Entry]:
    """What XREADGROUP answers, in either protocol."""
    found = answer.items() if isinstance(answer, dict) else (answer or [])
    entries: list[Entry] = []
    for stream, raw in found:
        entries += _entries(stream, raw[0] if raw and isinstance(raw[0], list) else raw)
    return entries


def _entries(stream: bytes | str, raw: Any) -> list[Entry]:
    name = stream.decode() if isinstance(stream, bytes) else stream
    return [
        Entry(name, cast(bytes, entry_id).decode(), fields)
        for entry_id, fields in raw
        if fields  # a claimed entry that was deleted meanwhile has none
    ]
