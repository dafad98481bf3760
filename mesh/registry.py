"""Who runs, in Redis: processes of a kind say each second where they are.

    gateways = Registry(redis, "gateways")
    await gateways.register("gw_1", {"address": "10.0.0.7:8080"})   # each second
    await gateways.list()   # {"gw_1": {"address": "10.0.0.7:8080"}}

Who has said nothing for `LIVES_S` is not listed. The clock is that of Redis: those of two
machines differ. All keys of a kind have one hash tag, so that a cluster keeps them together:

    ovos:{gateways}        sorted set: id → when it is no longer listed, in ms
    ovos:{gateways}:gw_1   hash: its fields
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from mesh.redis import Command, each
from mesh.stream import stop_if_cancelled

EVERY_S = 1.0
LIVES_S = 3.0
_LEAVE_S = 0.5  # who goes does not wait long for a Redis that is away

_REGISTER = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], unpack(ARGV, 3))
redis.call('PEXPIRE', KEYS[2], ARGV[2])
"""
_LEAVE = """
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
"""
_LIVING = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')
"""

log = logging.getLogger(__name__)


class Registry:
    """The processes of one kind."""

    def __init__(self, redis: Redis, kind: str, *, lives_s: float = LIVES_S) -> None:
        """
        Args:
            redis: Of `mesh.redis.connect`; it stays the caller's.
            kind: What is listed, e.g. `gateways`.
            lives_s: How long one is listed after it was last heard of.
        """
        self._redis, self._kind = redis, kind
        self._index = f"ovos:{{{kind}}}"
        self._lives_ms = int(lives_s * 1000)

    @property
    def kind(self) -> str:
        return self._kind

    async def register(self, id_: str, fields: Mapping[str, str]) -> None:
        """List a process, or say that it still runs. One round trip.

        Args:
            fields: What others should know of it; one at least. They replace earlier ones.

        Raises:
            RedisError: Redis is away.
        """
        pairs = [part for pair in fields.items() for part in pair]
        keys = self._keys(id_)
        await self._eval(_REGISTER, keys, id_, self._lives_ms, *pairs)

    async def leave(self, id_: str) -> None:
        """List it no longer.

        Raises:
            RedisError: Redis is away.
        """
        keys = self._keys(id_)
        await self._eval(_LEAVE, keys, id_)

    async def list(self) -> dict[str, dict[str, str]]:
        """All that run now, with their fields, sorted by id. Two round trips.

        Raises:
            RedisError: Redis is away.
        """
        living = sorted(map(_text, await self._eval(_LIVING, (self._index,))))
        keys = [self._keys(id_)[1] for id_ in living]
        answers = await each(self._redis, [Command(key, ("HGETALL", key)) for key in keys])
        found = {}
        for id_, answer in zip(living, answers, strict=True):
            if isinstance(answer, Exception):
                raise answer
            if answer:  # one can go between the two trips
                found[id_] = {_text(k): _text(v) for k, v in answer.items()}
        return found

    async def _eval(self, script: str, keys: Sequence[str], *arguments: str | int) -> Any:
        call: Any = self._redis.eval  # its annotation is that of the blocking client too
        return await call(script, len(keys), *keys, *arguments)

    def _keys(self, id_: str) -> tuple[str, str]:
        return self._index, f"{self._index}:{id_}"


async def keep(
    registry: Registry,
    id_: str,
    fields: Callable[[], Mapping[str, str]],
    *,
    every_s: float = EVERY_S,
) -> None:
    """Keep a process listed until this is cancelled; then it is listed no longer, at once.

    Args:
        fields: What others should know of it now; none while it is not to be listed.
    """
    is_listed = True
    try:
        while True:
            was_listed, is_listed = is_listed, await _said(registry, id_, fields())
            if is_listed != was_listed:
                event = "listed again" if is_listed else "not listed: redis is away"
                log.log(logging.INFO if is_listed else logging.WARNING, event)
            stop_if_cancelled()
            await asyncio.sleep(every_s)
    finally:
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(_LEAVE_S):
                await registry.leave(id_)


async def _said(registry: Registry, id_: str, fields: Mapping[str, str]) -> bool:
    """Whether Redis was told."""
    try:
        await (registry.register(id_, fields) if fields else registry.leave(id_))
    except (RedisError, OSError, TimeoutError):
        return False
    return True


def _text(raw: bytes | str) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw
