"""How busy some threads are, for whoever decides how many workers there should be (R5.5)."""

from __future__ import annotations

from collections import deque

WINDOW_S = 10.0  # long enough for several pieces of work, short enough to see a crowd come


class Utilisation:
    """Is told the time, and when work begins and ends."""

    def __init__(self, threads: int, now_s: float) -> None:
        self._threads = threads
        self._running = 0
        self._busy_s = 0.0  # of all threads together, until `_at_s`
        self._at_s = now_s
        self._seen = deque([(now_s, 0.0)])  # when it was asked, and `_busy_s` then

    def began(self, now_s: float) -> None:
        self._count(now_s)
        self._running += 1

    def ended(self, now_s: float) -> None:
        self._count(now_s)
        self._running -= 1

    def share(self, now_s: float) -> float:
        """The share of thread time that was work, 0 to 1, over the last WINDOW_S; over all
        the time since it was last asked, if that is longer."""
        self._count(now_s)
        while len(self._seen) > 1 and self._seen[1][0] <= now_s - WINDOW_S:
            self._seen.popleft()
        since_s, busy_s = self._seen[0]
        if now_s > self._seen[-1][0]:
            self._seen.append((now_s, self._busy_s))
        if now_s <= since_s:
            return 0.0
        return (self._busy_s - busy_s) / ((now_s - since_s) * self._threads)

    def _count(self, now_s: float) -> None:
        self._busy_s += self._running * (now_s - self._at_s)
        self._at_s = now_s
