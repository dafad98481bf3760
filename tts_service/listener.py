"""Who hears a reply, and how soon they would hear nothing. Pure.

What was made is heard at the speed of speech, from the moment it was made: the gateway
lets it out so. Whoever has nothing to hear, because the reply has not begun or because
it was made too slowly, waits in silence, and comes before those who have.
"""

from __future__ import annotations

from mesh.fair_queue import Turn

SILENT, SUPPLIED = 0, 1  # ranks of the queue


class Listener:
    def __init__(self, tenant: str = "") -> None:
        self._tenant = tenant
        self._dry_s: float | None = None  # when all that was made has been heard

    @property
    def has_heard(self) -> bool:
        """The reply has begun."""
        return self._dry_s is not None

    def hears(self, duration_s: float, now_s: float) -> None:
        """There is more to hear."""
        self._dry_s = max(self._dry_s or now_s, now_s) + duration_s

    def interrupts(self) -> None:
        """What was made is not heard, and what comes next begins a reply."""
        self._dry_s = None

    def turn(self, now_s: float) -> Turn:
        """When the next piece for them should be made."""
        dry_s = now_s if self._dry_s is None else self._dry_s
        return Turn(
            tenant=self._tenant,
            rank=SUPPLIED if dry_s > now_s else SILENT,
            deadline_s=dry_s,
        )
