"""Whether the tier serves, as a state machine. Tell it the time; it never asks."""

from __future__ import annotations


class Readiness:
    """Serves while PostgreSQL answers, and for a while after it stopped: short outages are
    ridden out, and only a long one should send callers elsewhere."""

    def __init__(self, unhealthy_s: float) -> None:
        self._unhealthy_s = unhealthy_s
        self._answered_at_s: float | None = None

    def tell(self, now_s: float, answers: bool) -> bool:
        """
        Args:
            answers: Whether PostgreSQL does now.

        Returns:
            Whether to serve.
        """
        if answers:
            self._answered_at_s = now_s
        return self._answered_at_s is not None and now_s - self._answered_at_s <= self._unhealthy_s
