"""The event loop's time, moved by hand, so that tests do not wait for it.

    clock = Clock(asyncio.get_running_loop())
    clock.advance(60)       # what sleeps for a minute wakes; the network goes on as it was

`simulated` goes further: time jumps to the next timer whenever nothing else is to be done.
Only for what does no I/O.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Clock:
    """Real time plus what was skipped."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._real = loop.time
        self._loop = loop
        self._skipped_s = 0.0
        loop.time = self.now_s  # type: ignore[method-assign]

    def now_s(self) -> float:
        return self._real() + self._skipped_s

    def advance(self, seconds: float) -> None:
        self._skipped_s += seconds
        self._loop.call_soon(lambda: None)  # wakes a loop that waits for the network


@contextmanager
def simulated() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop whose time starts at 0 and jumps from timer to timer."""
    loop = asyncio.SelectorEventLoop()
    now_s = 0.0
    select = loop._selector.select

    def jump(timeout: float | None) -> list[Any]:
        nonlocal now_s
        events = select(0)
        if not events:
            assert timeout is not None, "everything waits for something that never comes"
            now_s += timeout
        return events

    loop._selector.select = jump
    loop.time = lambda: now_s  # type: ignore[method-assign]
    try:
        yield loop
    finally:
        loop.close()
