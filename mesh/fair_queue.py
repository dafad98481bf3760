"""Whose work comes next: fair between tenants, the most urgent first within one. No threads.

Each tenant has a clock that every piece of its work moves on by one; the tenant whose clock
is behind comes next. One that has been away starts at the clock of those being served: what
it did not use it cannot save up, and what it had in advance is not forgiven. So a tenant with
a hundred pieces waiting and one with a single piece take turns.

Why a rank is added to the clock: work of rank 1 lets one piece of rank 0 of each other tenant
pass that it would otherwise precede, but is never starved by them. Within a tenant rank
comes first, whatever it costs the others.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """For whom a piece of work is, and how urgent. All alike is first come, first served."""

    tenant: str = ""

    rank: int = 0
    """Lower comes first: 0 for what somebody waits for, more for what can be done without."""

    deadline_s: float = math.inf
    """Among equals the earliest comes first. Any clock, the same for all of a queue."""


@dataclass(frozen=True, slots=True, order=True)
class Place(Generic[T]):
    """A piece of work in the queue."""

    rank: int
    deadline_s: float
    number: int
    tenant: str = field(compare=False)
    item: T = field(compare=False)


@dataclass(slots=True)
class _Lane(Generic[T]):
    """A tenant's work, the most urgent first."""

    clock: int
    places: list[Place[T]] = field(default_factory=list)


class FairQueue(Generic[T]):
    def __init__(self) -> None:
        self._lanes: dict[str, _Lane[T]] = {}
        self._clock = 0  # of the tenant that was served last
        self._number = 0

    def __len__(self) -> int:
        return sum(len(lane.places) for lane in self._lanes.values())

    def push(self, item: T, turn: Turn) -> Place[T]:
        """Returns: what `drop` takes."""
        self._number += 1
        place = Place(turn.rank, turn.deadline_s, self._number, turn.tenant, item)
        lane = self._lanes.setdefault(turn.tenant, _Lane(self._clock))
        if not lane.places:
            lane.clock = max(lane.clock, self._clock)
        insort(lane.places, place)
        return place

    def pop(self, where: Callable[[T], bool] = lambda item: True) -> T | None:
        """Take out what comes next of the items that `where` is true of; None if there is none."""
        found = (self._first(lane, where) for lane in self._lanes.values())
        place = min((place for place in found if place is not None), key=self._order, default=None)
        if place is None:
            return None
        self.drop(place)
        lane = self._lanes[place.tenant]
        self._clock = max(self._clock, lane.clock)
        lane.clock += 1
        self._forget()
        return place.item

    def drop(self, place: Place[T]) -> None:
        """Take out a piece of work that is not wanted any more, if it is still here."""
        lane = self._lanes.get(place.tenant)
        if lane is not None and place in lane.places:  # numbers are unique, and so are places
            lane.places.remove(place)

    def _order(self, place: Place[T]) -> tuple[int, Place[T]]:
        return self._lanes[place.tenant].clock + place.rank, place

    @staticmethod
    def _first(lane: _Lane[T], where: Callable[[T], bool]) -> Place[T] | None:
        return next((place for place in lane.places if where(place.item)), None)

    def _forget(self) -> None:
        """Drop the clocks that matter to nobody: of those who are away and had no more than
        others have had since, and of all when nobody waits."""
        anybody = any(lane.places for lane in self._lanes.values())
        for tenant, lane in list(self._lanes.items()):
            if not lane.places and (lane.clock <= self._clock or not anybody):
                del self._lanes[tenant]
