"""What tests of streaming rpcs share."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import grpc
import pytest

from mesh.errors import from_rpc

TIMEOUT_S = 20.0  # far above what anything takes: a test that gets here has failed


async def set_soon(event: threading.Event) -> bool:
    """Whether an event of another thread is set in time."""
    return await asyncio.to_thread(event.wait, TIMEOUT_S)


async def drain(call: Any) -> None:
    """Read a call to its end."""
    async with asyncio.timeout(TIMEOUT_S):
        while await call.read() is not grpc.aio.EOF:
            pass


async def failure_of(call: Any) -> tuple[grpc.StatusCode, str]:
    """How a call fails: its status and the field at fault."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await drain(call)
    return raised.value.code(), from_rpc(raised.value, "tier").param
