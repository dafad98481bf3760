"""Something to wait for that costs little while nobody does.

An `asyncio.Event` keeps a deque of 760 bytes; a connection has several, and there are tens of
thousands of connections.
"""

from __future__ import annotations

import asyncio


class Flag:
    """Set or not. Any number of tasks can wait until it is set."""

    __slots__ = ("_is_set", "_waiting")

    def __init__(self, *, is_set: bool = False) -> None:
        self._is_set = is_set
        self._waiting: list[asyncio.Future[None]] | None = None

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        waiting, self._waiting = self._waiting, None
        for future in waiting or ():
            if not future.done():
                future.set_result(None)

    def clear(self) -> None:
        self._is_set = False

    async def wait(self) -> None:
        """Return at once if it is set. Who waits for longer comes back when it was set, even if
        it has been cleared meanwhile."""
        if self._is_set:
            return
        future = asyncio.get_running_loop().create_future()
        if self._waiting is None:
            self._waiting = []
        self._waiting.append(future)
        await future
