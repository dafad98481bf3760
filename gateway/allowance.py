"""How much a tenant may ask in a minute: requests and tokens.

A sliding minute, kept as one count for each second in which something was spent, so it takes
the same memory whatever the limits are. It holds for this process.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.realtime.server_events import RateLimit

WINDOW_S = 60
_MOST_TENANTS = 10_000  # from here on, those that asked nothing for a minute are forgotten

REQUESTS, TOKENS = 0, 1


@dataclass(slots=True)
class _Window:
    """What one tenant spent in the last minute."""

    spent: deque[tuple[int, list[int]]] = field(default_factory=deque)
    """Second → requests and tokens, oldest first."""
    total: list[int] = field(default_factory=lambda: [0, 0])

    def forget(self, second: int) -> None:
        """Drop what is older than a minute."""
        while self.spent and self.spent[0][0] <= second - WINDOW_S:
            _, amounts = self.spent.popleft()
            self.total = [total - amount for total, amount in zip(self.total, amounts, strict=True)]

    def add(self, second: int, what: int, amount: int) -> None:
        if not self.spent or self.spent[-1][0] < second:
            self.spent.append((second, [0, 0]))
        self.spent[-1][1][what] += amount
        self.total[what] += amount

    def below(self, limit: int, what: int) -> int | None:
        """The second from which on less than `limit` is spent; None if that is now."""
        left = self.total[what]
        if left < limit:
            return None
        for second, amounts in self.spent:
            left -= amounts[what]
            if left < limit:
                return second + WINDOW_S
        return None  # a limit of nothing, which nobody sets

    def empty(self, what: int) -> int | None:
        """The second from which on nothing is spent; None if that is now."""
        seconds = [second for second, amounts in self.spent if amounts[what]]
        return seconds[-1] + WINDOW_S if seconds else None


class Allowance:
    """Counts for all tenants of this process."""

    def __init__(self, requests: int, tokens: int, clock: Callable[[], float]) -> None:
        """
        Args:
            requests: A minute; 0 is no limit.
            tokens: A minute; 0 is no limit.
            clock: Seconds that never go back.
        """
        self._limits, self._clock = (requests, tokens), clock
        self._windows: dict[str, _Window] = {}

    def take_request(self, tenant: str) -> float | None:
        """Count one request, if there is room for it.

        Returns:
            None if it is counted; else how many seconds to wait, and nothing is counted.
        """
        window, now_s = self._window(tenant)
        free = [window.below(limit, what) for what, limit in enumerate(self._limits) if limit]
        busy = [second - now_s for second in free if second is not None]
        if busy:
            return max(busy)
        window.add(math.floor(now_s), REQUESTS, 1)
        return None

    def spend_tokens(self, tenant: str, n_tokens: int) -> None:
        """Count tokens. They are known only afterwards, so they may go beyond the limit."""
        window, now_s = self._window(tenant)
        if n_tokens > 0:
            window.add(math.floor(now_s), TOKENS, n_tokens)

    def figures(self, tenant: str) -> tuple[RateLimit, ...]:
        """What is left, as `rate_limits.updated` tells it; nothing of what has no limit."""
        window, now_s = self._window(tenant)
        figures = []
        for what, limit in enumerate(self._limits):
            if limit:
                until = window.empty(what)
                figures.append(
                    RateLimit(
                        name="tokens" if what else "requests",
                        limit=limit,
                        remaining=max(0, limit - window.total[what]),
                        reset_seconds=round(until - now_s, 3) if until is not None else 0.0,
                    )
                )
        return tuple(figures)

    def _window(self, tenant: str) -> tuple[_Window, float]:
        now_s = self._clock()
        if tenant not in self._windows:
            if len(self._windows) >= _MOST_TENANTS:
                self._sweep(math.floor(now_s))
            self._windows[tenant] = _Window()
        window = self._windows[tenant]
        window.forget(math.floor(now_s))
        return window, now_s

    def _sweep(self, second: int) -> None:
        for window in self._windows.values():
            window.forget(second)
        self._windows = {name: window for name, window in self._windows.items() if window.spent}


class Share:
    """One tenant's allowance."""

    def __init__(self, allowance: Allowance, tenant: str) -> None:
        self._allowance, self._tenant = allowance, tenant

    def take_request(self) -> float | None:
        """Count a response, if there is room for it; else the seconds to wait."""
        return self._allowance.take_request(self._tenant)

    def spend_tokens(self, n_tokens: int) -> tuple[RateLimit, ...]:
        """Count tokens; what is left."""
        self._allowance.spend_tokens(self._tenant, n_tokens)
        return self._allowance.figures(self._tenant)
