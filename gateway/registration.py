"""This process in the list of gateways: balancers read there whom to send clients to."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mesh.redis import connect
from mesh.registry import Registry, keep

KIND = "gateways"

_WILDCARDS = ("0.0.0.0", "::", "")
_REDIS_HOST = re.compile(r"//(?:[^@/]*@)?(\[[^\]]+\]|[^:,/]+)(?::(\d+))?")


@asynccontextmanager
async def listed(redis_url: str, gateway_id: str, host: str, port: int) -> AsyncIterator[None]:
    """Keep this process listed inside. Afterwards it is not, at once: a process that drains
    leaves first, so that nobody is sent to it.

    Args:
        gateway_id: Unique among the processes that run.
        host: What this process listens on, for clients. If that is every address of this
            machine, we are listed with the one from which we reach Redis.
        port: The same; not 0.
    """
    redis = connect(redis_url)
    fields = {
        "address": address(host, port, redis_url),
        "pid": str(os.getpid()),
        "started_at": f"{time.time():.3f}",
    }
    try:
        async with asyncio.TaskGroup() as tasks:
            kept = tasks.create_task(keep(Registry(redis, KIND), gateway_id, lambda: fields))
            try:
                yield
            finally:
                kept.cancel()
    finally:
        await redis.aclose()


def address(host: str, port: int, redis_url: str) -> str:
    """Where others reach us: `host:port`, an IPv6 host in brackets."""
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
