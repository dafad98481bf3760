"""Whether a part can be used now. Asking never raises."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_ANSWER_S = 1.0

Ready = Callable[[], Awaitable[bool]]


def grpc_serves(target: str) -> Ready:
    """Asks grpc.health.v1 at `target` (host:port)."""
    host, _, port = target.rpartition(":")

    async def ask() -> bool:
        if not await _listens(host, int(port)):
            return False  # a channel would wait, and wait longer each time
        options = [("grpc.enable_http_proxy", 0)]
        async with grpc.aio.insecure_channel(target, options=options) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            try:
                answer = await check(health_pb2.HealthCheckRequest(), timeout=_ANSWER_S)
            except grpc.aio.AioRpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    return ask


def http_serves(url: str) -> Ready:
    """Asks for HTTP 200."""

    async def ask() -> bool:
        timeout = aiohttp.ClientTimeout(total=_ANSWER_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(url) as response,
            ):
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    return ask


async def _listens(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(_ANSWER_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
