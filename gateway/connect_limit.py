"""How many connections may come in a second: a token bucket.

Many come at once when a gateway has gone and its clients return. A handshake costs far more
than to be told to come again, and those who talk already must not suffer for it.
"""

from __future__ import annotations

from collections.abc import Callable


class ConnectLimit:
    """Lets a second's worth in at once, then as many as the rate says."""

    def __init__(self, per_s: float, clock: Callable[[], float], burst: float = 1.0) -> None:
        """
        Args:
            per_s: New connections a second; 0 is no limit.
            clock: Seconds that never go back.
            burst: How many may come at once, at least.
        """
        self._per_s, self._clock = per_s, clock
        self._burst = max(burst, per_s)
        self._left = self._burst
        self._at_s = clock()

    def take(self) -> float | None:
        """Let one in, if there is room for it.

        Returns:
            None if it may come in; else how many seconds to wait, and nothing is counted.
        """
        if not self._per_s:
            return None
        now_s = self._clock()
        self._left = min(self._burst, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._left < 1:
            return (1 - self._left) / self._per_s
        self._left -= 1
        return None
