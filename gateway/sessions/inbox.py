"""What other gateways tell this process: a Redis Stream of its own, read with one connection.

Why no Pub/Sub: what is told while the connection is broken would be gone, and on a cluster
redis-py asks one node after the other.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from mesh.redis import Command, each
from mesh.stream import stop_if_cancelled

BLOCK_MS = 1000
"""The reader's client needs a timeout above that."""

_KEPT = 10_000  # messages; then the oldest goes
_KEPT_MS = 600_000  # a dead process reads no more
_AT_ONCE = 100
_REMEMBERED = 1000  # ids, to know what was put there twice
_AGAIN_S = 0.2

_ALL = "0-0"
_TRIM_S = 1.0
_HOW = "COUNT", _AT_ONCE, "BLOCK", BLOCK_MS

log = logging.getLogger(__name__)


def key(gateway_id: str) -> str:
    """The inbox of a process."""
    return f"ovos:gw:{gateway_id}:in"


def telling(gateway_id: str, message: bytes) -> list[Command]:
    """What puts a message into an inbox. Repeated, it is read once."""
    name = key(gateway_id)
    fields = "id", secrets.token_bytes(8), "message", message
    return [
        Command(name, ("XADD", name, "MAXLEN", "~", _KEPT, "*", *fields)),
        Command(name, ("PEXPIRE", name, _KEPT_MS)),
    ]


async def told(reader: Redis, gateway_id: str) -> AsyncIterator[bytes]:
    """Messages from now on, for ever. Redis may go and come back.

    Args:
        reader: A client that nothing else waits for, with a timeout above BLOCK_MS.
    """
    name, seen, is_well = key(gateway_id), OrderedDict[bytes, None](), True
    at: str | None = None
    reading = _Reading(reader, name)
    while True:
        try:
            if at is None:
                at = await _last(reader, name)
            answer = await reading.after(at)
            stop_if_cancelled()
        except (RedisError, OSError) as error:
            stop_if_cancelled()
            # Without Redis at the start, all that comes to be there is news.
            at = at or _ALL
            if is_well:
                log.error("inbox away", extra={"reason": type(error).__name__})
            is_well = False
            await asyncio.sleep(_AGAIN_S)
            continue
        if not is_well:
            log.info("inbox back")
        is_well = True
        for entry_id, fields in _entries(answer):
            at = entry_id.decode()
            if _is_new(seen, fields[b"id"]):
                yield fields[b"message"]


class _Reading:
    def __init__(self, reader: Redis, name: str) -> None:
        self._reader, self._name = reader, name
        self._trimmed_s = 0.0

    async def after(self, at: str) -> Any:
        """What came after that. What came before is taken out: some of it is large."""
        now_s = time.monotonic()
        if now_s - self._trimmed_s > _TRIM_S:
            self._trimmed_s = now_s
            await _one(self._reader, self._name, "XTRIM", self._name, "MINID", at)
        return await _one(self._reader, self._name, "XREAD", *_HOW, "STREAMS", self._name, at)


async def _one(reader: Redis, name: str, *command: Any) -> Any:
    # Of XREAD, redis-py asks a node of the cluster first which its keys are: for ever the same
    # one, should that be dead.
    [answer] = await each(reader, [Command(name, command)])
    if isinstance(answer, Exception):
        raise answer
    return answer


async def _last(reader: Redis, name: str) -> str:
    found = await _one(reader, name, "XREVRANGE", name, "+", "-", "COUNT", 1)
    return found[0][0].decode() if found else _ALL


def _entries(answer: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """Of XREAD of one stream, in either protocol."""
    found = list(answer.items()) if isinstance(answer, dict) else (answer or [])
    if not found:
        return []
    [(_, raw)] = found
    return raw[0] if raw and isinstance(raw[0], list) else raw


def _is_new(seen: OrderedDict[bytes, None], message_id: bytes) -> bool:
    if message_id in seen:
        return False
    seen[message_id] = None
    if len(seen) > _REMEMBERED:
        seen.popitem(last=False)
    return True
