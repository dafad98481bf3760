"""Real gRPC servers on loopback, and logging that does not leak out of a test."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from pythonjsonlogger.json import JsonFormatter

from mesh.dial import Link
from mesh.serve import Server

SERVICE = "test.Test"  # its messages are bytes as they are

Until = Callable[[Callable[[], object]], Awaitable[None]]


@pytest.fixture
def until() -> Until:
    """Waits for what nobody reports; half a minute at most."""

    async def until(condition: Callable[[], object]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.01)

    return until


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[Server]]]:
    """Starts a mesh.serve.Server with handlers `name` → rpc handler, on a free port."""
    async with AsyncExitStack() as stack:

        async def start(*, start: bool = True, **options: Any) -> Server:
            handlers = options.pop("handlers", {})
            generic = grpc.method_handlers_generic_handler(SERVICE, handlers)
            options = {"port": 0, "services": [SERVICE], "drain_s": 5.0, **options}
            server = Server(
                "stt",
                "127.0.0.1",
                add=lambda to: to.add_generic_rpc_handlers((generic,)),
                **options,
            )
            stack.push_async_callback(server.stop)
            if start:
                await server.start()
            return server

        yield start


@pytest.fixture
async def dial() -> AsyncIterator[Callable[[int], Link]]:
    """Opens Links to a port of this machine."""
    async with AsyncExitStack() as stack:

        def dial(port: int) -> Link:
            link = Link("stt", f"127.0.0.1:{port}")
            stack.push_async_callback(link.close)
            return link

        yield dial


@pytest.fixture
def own_logging() -> Iterator[None]:
    """Gives the root logger back as it was, without what `log.setup` put on it."""
    root = logging.getLogger()
    kept, level = root.handlers[:], root.level
    root.handlers = []  # `log.setup` would close pytest's
    yield
    root.handlers = [h for h in root.handlers if not isinstance(h.formatter, JsonFormatter)]
    for handler in kept:
        root.addHandler(handler)
    root.setLevel(level)
