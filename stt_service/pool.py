"""A few things that are dear, shared between tenants: whoever cannot have one now stands in
line for the next that is given back.

Why some are kept for tenants that have none: each is held for as long as somebody speaks. A
tenant with more callers than there are things would hold them all, and everybody else would
wait for one of its callers to end.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from mesh.fair_queue import FairQueue, Place, Turn

KEPT = 4  # of so many, one is kept for tenants that have none

D = TypeVar("D")


@dataclass(slots=True, eq=False)
class Claim(Generic[D]):
    """To one of the things, from the first asking until it is given back."""

    tenant: str
    granted: bool = False
    """One is free for it, or can be made; `take` will not wait."""

    thing: D | None = None
    place: Place[Claim[D]] | None = field(default=None, repr=False)
    turn: Turn | None = None


class Pool(Generic[D]):
    """Any thread may use it."""

    def __init__(
        self, make: Callable[[], D], free: Callable[[D], None], *, most: int, ready: int
    ) -> None:
        """
        Args:
            make: Makes a thing; may take its time.
            free: Gives up a thing.
            ready: Things to make now; the others are made when they are needed.
        """
        self._make, self._free = make, free
        self._most, self._kept = most, most // KEPT
        self._unused = [make() for _ in range(min(ready, most))]
        self._n_made = len(self._unused)
        self._waiting = FairQueue[Claim[D]]()
        self._granted: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, claim: Claim[D], *, rank: int, deadline_s: float) -> D | None:
        """The claim's thing; None if it has to wait. Blocks if one has to be made.

        Args:
            rank: The lesser comes first, of those of a tenant that wait.
            deadline_s: Among equals the earliest comes first.
        """
        if claim.thing is not None:
            return claim.thing
        with self._lock:
            if not claim.granted:
                self._stand(claim, Turn(tenant=claim.tenant, rank=rank, deadline_s=deadline_s))
                self._grant()
            if not claim.granted:
                return None
            if self._has_ready(claim):
                claim.thing = self._unused.pop()
                return claim.thing
            self._n_made += 1
        try:
            claim.thing = self._make()
        except BaseException:
            with self._lock:
                self._n_made -= 1
            raise
        return claim.thing

    def _has_ready(self, claim: Claim[D]) -> bool:
        """Whether it gets one that is there. Those that are kept are not for tenants that
        have one, as long as another can be made: nobody's first shall have to be made."""
        if self._n_made >= self._most:
            return True
        return len(self._unused) > (self._kept if self._granted[claim.tenant] > 1 else 0)

    def give_back(self, claim: Claim[D]) -> None:
        """End a claim, whether or not it was granted. More than once is once."""
        with self._lock:
            if claim.place is not None:
                self._waiting.drop(claim.place)
                claim.place = None
            if claim.thing is not None:
                self._unused.append(claim.thing)
                claim.thing = None
            if claim.granted:
                claim.granted = False
                self._granted[claim.tenant] -= 1
                self._granted += Counter()  # drops who has none
                self._grant()

    def close(self) -> None:
        """Give up all that nobody has."""
        with self._lock:
            while self._unused:
                self._free(self._unused.pop())

    def _stand(self, claim: Claim[D], turn: Turn) -> None:
        """In line, or at another place in it than before."""
        if turn == claim.turn:
            return
        if claim.place is not None:
            self._waiting.drop(claim.place)
        claim.turn, claim.place = turn, self._waiting.push(claim, turn)

    def _grant(self) -> None:
        while (claim := self._waiting.pop(self._may_have)) is not None:
            claim.granted, claim.place = True, None
            self._granted[claim.tenant] += 1

    def _may_have(self, claim: Claim[D]) -> bool:
        kept = self._kept if self._granted[claim.tenant] else 0
        return self._granted.total() < self._most - kept
