"""This process in the list of its kind: those who call it read there where it is."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from mesh.redis import connect
from mesh.registry import Registry, keep

_WILDCARDS = ("0.0.0.0", "::", "")
_REDIS_HOST = re.compile(r"//(?:[^@/]*@)?(\[[^\]]+\]|[^:,/]+)(?::(\d+))?")


@dataclass(frozen=True, slots=True)
class Listing:
    """Where a worker is to be listed, and as what."""

    redis_url: str = field(default="", repr=False)
    """Empty: nowhere."""
    address: str = ""
    """Where others reach it, `host:port`; empty: see `address`."""


@asynccontextmanager
async def listed(
    redis_url: str, kind: str, id_: str, fields: Callable[[], Mapping[str, str]]
) -> AsyncIterator[None]:
    """Keep this process listed inside. Afterwards it is not, at once: a process that drains
    leaves first, so that nobody is sent to it.

    Args:
        kind: Of which list.
        id_: Unique among the processes that run.
        fields: What others should know of it now; none while it is not to be listed.
    """
    redis = connect(redis_url)
    try:
        async with asyncio.TaskGroup() as tasks:
            kept = tasks.create_task(keep(Registry(redis, kind), id_, fields), name="listed")
            try:
                yield
            finally:
                kept.cancel()
    finally:
        await redis.aclose()


def address(host: str, port: int, redis_url: str) -> str:
    """Where others reach us: `host:port`, an IPv6 host in brackets.

    Args:
        host: What this process listens on. If that is every address of this machine, others
            reach us at the one from which we reach Redis.
        port: The same; not 0.
    """
    if host in _WILDCARDS:
        host = _own_address(redis_url)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _own_address(redis_url: str) -> str:
    """The address of this machine that packets to Redis carry; none is sent for this."""
    found = _REDIS_HOST.search(redis_url)
    host, port = (found[1].strip("[]"), int(found[2] or 6379)) if found else ("127.0.0.1", 6379)
    try:
        family, kind, *_, target = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(target)
            return str(probe.getsockname()[0])
    except OSError:
        return "127.0.0.1"
