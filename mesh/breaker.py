"""A circuit breaker, as a state machine. Tell it the time; it never asks.

Why our own: no kept library is both async and lets one single caller try a peer again
(pybreaker needs Tornado for async; aiobreaker and purgatory let every caller through).
"""

from __future__ import annotations

from enum import IntEnum

FAILURES = 5  # R12.3
REST_S = 30.0  # R12.4
TRIAL_S = 10.0  # a trial that never reports must not keep the breaker half open for good


class State(IntEnum):
    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Breaker:
    """Says whether a peer is worth calling.

    Closed: calls go. After `failures` in a row it opens: calls are refused for
    `rest_s` seconds. Then one call may try; its outcome closes or reopens it.
    """

    def __init__(self, failures: int = FAILURES, rest_s: float = REST_S) -> None:
        self._limit, self._rest_s = failures, rest_s
        self._failed = 0
        self._until_s = 0.0  # while open: when a trial may go; half open: when the trial is lost
        self.state = State.CLOSED

    def allows(self, now_s: float) -> bool:
        """Whether to call now. If it says yes while not closed, the caller is the trial.

        Args:
            now_s: Seconds on any clock that only goes forward.
        """
        if self.state is State.CLOSED:
            return True
        if now_s < self._until_s:
            return False
        self.state, self._until_s = State.HALF_OPEN, now_s + TRIAL_S
        return True

    def succeeded(self) -> bool:
        """Returns whether this closed the breaker, so that the caller can log it."""
        recovered = self.state is not State.CLOSED
        self._failed, self.state = 0, State.CLOSED
        return recovered

    def failed(self, now_s: float) -> bool:
        """Returns whether this opened the breaker."""
        if self.state is State.OPEN and now_s < self._until_s:
            return False  # late news of a call from before; it does not make the rest longer
        self._failed += 1
        if self.state is State.CLOSED and self._failed < self._limit:
            return False
        opened = self.state is not State.OPEN
        self.state, self._until_s = State.OPEN, now_s + self._rest_s
        return opened

    def released(self) -> None:
        """The call ended without telling anything about the peer (we cancelled it)."""
        if self.state is State.HALF_OPEN:
            self._until_s = 0.0

    def revived(self) -> None:
        """The peer says it is well: the next call may be the trial, whatever rest is left."""
        if self.state is State.OPEN:
            self._until_s = 0.0

    def rest_s(self, now_s: float) -> float:
        """Seconds until a call may go; 0 if it may now."""
        return 0.0 if self.state is State.CLOSED else max(0.0, self._until_s - now_s)
