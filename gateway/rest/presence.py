"""Work for a client ends when the client goes, or takes nothing of what it asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from aiohttp import web

from gateway.rest.answers import has_left

SEND_S = 60.0
"""A client that takes nothing for so long does not read."""

_LOOK_S = 0.1


async def while_there(
    request: web.Request, work: Coroutine[Any, Any, web.StreamResponse]
) -> web.StreamResponse:
    """What `work` returns or raises. If the client hangs up it is cancelled, and nobody
    reads what this returns."""
    try:
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(work, name="work")
            watching = tasks.create_task(_gone(request), name="watch the client")
            await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
            working.cancel()
            watching.cancel()
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return web.Response() if working.cancelled() else working.result()


async def send(request: web.Request, response: web.StreamResponse, data: bytes) -> None:
    """Write to a client that reads.

    Raises:
        ConnectionError: it does not, or is gone. It has been hung up on.
    """
    try:
        async with asyncio.timeout(SEND_S):
            await response.write(data)
    except TimeoutError as error:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionAbortedError("the client does not read") from error


async def _gone(request: web.Request) -> None:
    """Wait until the client has hung up. aiohttp tells a handler only by cancelling it, if at
    all, and then all handlers."""
    while not has_left(request):  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_S)
