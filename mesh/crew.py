"""Threads of one kind, and how many of them are on their way to look for work."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor

NICE = 10  # a tenth of the weight of others on a busy core


class Crew:
    def __init__(self, name: str, size: int, *, yields: bool = False) -> None:
        """
        Args:
            name: Begins the threads' names.
            yields: Whether all else on this machine goes before them.
        """
        self.size = size
        self.pool = ThreadPoolExecutor(size, name, _yield_to_others if yields else None)
        self.asked = 0
        """Threads that were woken and have not looked yet. Its owner counts them down."""

    def asks(self, n: int) -> int:
        """How many threads to wake for `n` pieces of work. One that is yet to look sees all that
        waits by then, so there is nothing to gain from more of them than there are threads."""
        n = min(n, self.size - self.asked)
        self.asked += n
        return n


def _yield_to_others() -> None:
    """Let all else on this machine go before this thread."""
    if sys.platform == "linux":  # elsewhere it is of the whole process
        os.nice(NICE)
