"""Ends scopes at their time, with one timer for all that end in the same second.

Why not `Timeout.reschedule`: its timer takes 0.8 KB, and of tens of thousands of idle sessions each
has one, for an hour.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from weakref import WeakKeyDictionary, WeakSet

EXACT_S = 10.0
"""What ends sooner has a timer of its own."""

Seconds = dict[int, WeakSet[asyncio.Timeout]]
"""Of the loop's clock → what ends then, unless it has ended before."""

_of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Seconds] = WeakKeyDictionary()


def within(scope: asyncio.Timeout, left_s: float) -> None:
    """Have a scope end in so many seconds, up to one more if they are many. Call it inside."""
    loop = asyncio.get_running_loop()
    at_s = loop.time() + left_s
    if left_s < EXACT_S:
        scope.reschedule(at_s)
        return
    seconds, second = _of_loop.setdefault(loop, {}), math.ceil(at_s)
    if second not in seconds:
        seconds[second] = WeakSet()
        loop.call_at(second, _over, seconds, second)
    seconds[second].add(scope)


def _over(seconds: Seconds, second: int) -> None:
    for scope in seconds.pop(second):
        with suppress(RuntimeError):  # it ends already
            scope.reschedule(0)
