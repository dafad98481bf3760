"""How much a tenant may ask in a minute: requests and tokens.

A sliding minute, kept as one count for each second in which something was spent, so it takes
the same memory whatever the limits are. What is here holds for this process;
`gateway/redis_allowance.py` holds for all of them.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from gateway.realtime.refusals import Refusal
from gateway.realtime.server_events import RateLimit

WINDOW_S = 60
_MOST_TENANTS = 10_000  # from here on, those that asked nothing for a minute are forgotten

REQUESTS, TOKENS = 0, 1
_BOTH = (REQUESTS, TOKENS)
_NAMES: tuple[Literal["requests", "tokens"], ...] = ("requests", "tokens")


class Limits(Protocol):
    """How much each tenant may ask."""

    def of(self, tenant: str) -> tuple[int, int]:
        """Requests and tokens a minute; 0 is no limit."""


@dataclass(frozen=True, slots=True)
class SameForAll:
    """The same limits for every tenant; 0 is none."""

    requests: int
    tokens: int

    def of(self, tenant: str) -> tuple[int, int]:
        return self.requests, self.tokens


class Allowance(Protocol):
    """Counts for all tenants."""

    async def take_request(self, tenant: str) -> float | None:
        """Count one request, if there is room for it.

        Returns:
            None if it is counted; else how many seconds to wait, and nothing is counted.
        """

    async def count_request(self, tenant: str) -> None:
        """Count one request that cannot be refused: it may go beyond the limit."""

    async def spend_tokens(self, tenant: str, n_tokens: int) -> tuple[RateLimit, ...]:
        """Count tokens. They are known only afterwards, so they may go beyond the limit.

        Returns:
            What is left, as `rate_limits.updated` tells it; nothing of what has no limit.
        """


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


class LocalAllowance:
    """Counts for all tenants of this process. It never waits."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        """
        Args:
            clock: Seconds that never go back.
        """
        self._limits, self._clock = limits, clock
        self._windows: dict[str, _Window] = {}

    async def take_request(self, tenant: str) -> float | None:
        window, now_s = self._window(tenant)
        limits = enumerate(self._limits.of(tenant))
        free = [window.below(limit, what) for what, limit in limits if limit]
        busy = [second - now_s for second in free if second is not None]
        if busy:
            return max(busy)
        window.add(math.floor(now_s), REQUESTS, 1)
        return None

    async def count_request(self, tenant: str) -> None:
        window, now_s = self._window(tenant)
        window.add(math.floor(now_s), REQUESTS, 1)

    async def spend_tokens(self, tenant: str, n_tokens: int) -> tuple[RateLimit, ...]:
        window, now_s = self._window(tenant)
        if n_tokens > 0:
            window.add(math.floor(now_s), TOKENS, n_tokens)
        return self.figures(tenant)

    def figures(self, tenant: str) -> tuple[RateLimit, ...]:
        """What is left, as `spend_tokens` says it."""
        window, now_s = self._window(tenant)
        resets_s = [0.0 if until is None else until - now_s for until in map(window.empty, _BOTH)]
        return figures(self._limits.of(tenant), window.total, resets_s)

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


def figures(
    limits: Sequence[int], spent: Sequence[int], resets_s: Sequence[float]
) -> tuple[RateLimit, ...]:
    """What is left of each limit, as the protocol says it.

    Args:
        limits: Requests and tokens, as everything here; 0 is no limit.
        resets_s: From now until nothing is spent any more.
    """
    return tuple(
        RateLimit(name, limit, max(0, limit - used), round(reset_s, 3))
        for name, limit, used, reset_s in zip(_NAMES, limits, spent, resets_s, strict=True)
        if limit
    )


class Share:
    """One tenant's allowance."""

    __slots__ = ("_allowance", "_tenant")

    def __init__(self, allowance: Allowance, tenant: str) -> None:
        self._allowance, self._tenant = allowance, tenant

    async def take_request(self) -> float | None:
        """Count a response, if there is room for it; else the seconds to wait."""
        return await self._allowance.take_request(self._tenant)

    async def count_request(self) -> None:
        """Count a response that nobody asked for, so that none can be refused."""
        await self._allowance.count_request(self._tenant)

    async def spend_tokens(self, n_tokens: int) -> tuple[RateLimit, ...]:
        """Count tokens; what is left."""
        return await self._allowance.spend_tokens(self._tenant, n_tokens)


def too_many(wait_s: float) -> Refusal:
    """What is said to who asks beyond the limit."""
    message = f"Rate limit reached. Please try again in {wait_s:.3f}s."
    return Refusal("rate_limit_exceeded", message, type="rate_limit_error")
