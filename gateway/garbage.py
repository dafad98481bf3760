"""What Python's garbage collector has to do in this process: as little as can be.

A full collection looks at all that is open: at 15,000 connections it stops everything for 0.5
to 1.5 s. Left alone, Python makes a dozen while they come in. So connections are freed without
it, which takes that no cycle holds them when they end; full collections are for what is left,
and are made when there is little to look at.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

from aiohttp import web

_EVERY_S = 60.0
_FEW = 500
"""Connections; to look at so many takes 25 ms."""
_YOUNG, _MIDDLE = 700, 10  # as Python has it: more make stops of 250 ms
_OLD = 1000
"""Passes over the younger before a full one that nobody asked for: as many as 60,000 connections
make that stay open, or a leak of 7 million objects."""


def begin() -> None:
    """Once, when all is there that stays: it is never looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)


async def collect_when_quiet(n_open: Callable[[], int], every_s: float = _EVERY_S) -> None:
    """Collect all there is now and then, unless there is much to look at. Until cancelled.

    Args:
        n_open: How many connections there are.
    """
    while True:
        await asyncio.sleep(every_s)
        if n_open() <= _FEW:
            gc.collect()


def forget_frames(error: BaseException | None) -> None:
    """Let go of the frames that an error came through. They hold all of a connection, and often
    the error too."""
    while error is not None:
        error.__traceback__ = None
        for inner in getattr(error, "exceptions", ()):
            forget_frames(inner)
        error = error.__context__


def forget_cancelled(task: asyncio.Task[Any]) -> None:
    """To be called when a task is done that has task groups of its own: when it is cancelled, they
    keep the error, and that their frames (up to Python 3.12)."""
    if task.cancelled():
        try:
            task.exception()
        except asyncio.CancelledError as error:
            forget_frames(error)


def untie(
    request: web.Request, ws: web.WebSocketResponse, transport: asyncio.Transport | None
) -> None:
    """Break the cycles of a WebSocket that has ended.

    Args:
        transport: The request's, as long as it had one.
    """
    forget_frames(ws.exception())
    request.protocol._data_received_cb = None  # of aiohttp's heartbeat
    held: Any = transport
    # asyncio's own, up to Python 3.12; over TLS it is another object, left to the collector.
    if held is not None and held.is_closing() and hasattr(held, "_read_ready_cb"):
        held._read_ready_cb = None
