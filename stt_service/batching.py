"""Work of several threads done in one call, if it is alike. Knows no model.

Each thread follows one utterance through several steps and is a *member* while it does. The
steps that members ask for meanwhile are what a call is formed of: the most urgent step
decides the kind, and others of that kind go with it. A call waits for the others a little,
but only while there are members who may still ask: one who is alone never waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mesh.errors import Unavailable

Do = Callable[[Sequence[Any]], Sequence[Any]]


@dataclass(frozen=True, slots=True, order=True)
class Member:
    """Who asks. The lesser comes first."""

    rank: int
    number: int
    """The earlier a member came, the less."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """Something to be done, and where the result goes."""

    member: Member
    kind: Hashable
    """Steps of the same kind can be done in one call."""

    do: Do
    item: Any
    asked_s: float
    done: Future[Any] = field(default_factory=Future)


class Forming:
    """Which steps make up the next call. Pure: is told the time."""

    def __init__(self, most: int, wait_s: float) -> None:
        """
        Args:
            most: Steps in a call.
            wait_s: How long a step waits for others.
        """
        self._most, self._wait_s = most, wait_s
        self._waiting: list[Step] = []
        self.busy = 0
        """Members that will not ask now: they wait for a call that is under way."""

        self.members = 0

    def add(self, step: Step) -> None:
        self._waiting.append(step)

    def wait_s(self, now_s: float) -> float | None:
        """How long to wait before the next call is taken, unless more is asked for; None if
        there is nothing to do."""
        if not self._waiting:
            return None
        alike = self._alike()
        nobody_else = len(self._waiting) + self.busy >= self.members
        if len(alike) >= self._most or nobody_else:
            return 0.0
        return max(0.0, min(step.asked_s for step in alike) + self._wait_s - now_s)

    def take(self) -> list[Step]:
        """The steps of the next call, the most urgent first."""
        taken = self._alike()[: self._most]
        for step in taken:
            self._waiting.remove(step)
        return taken

    def _alike(self) -> list[Step]:
        first = min(self._waiting, key=lambda step: step.member)
        alike = [step for step in self._waiting if step.kind == first.kind]
        return sorted(alike, key=lambda step: step.member)


class Batcher:
    """Threads that do what the members of other threads ask for."""

    def __init__(self, name: str, most: int, wait_s: float, threads: int = 1) -> None:
        """
        Args:
            most: Steps in a call.
            wait_s: How long a call is held back for others to join.
            threads: Calls at a time.
        """
        self._forming = Forming(most, wait_s)
        self._changed = threading.Condition()
        self._is_closed = False
        self._number = 0
        self._threads = [
            threading.Thread(target=self._serve, name=f"{name}-{n}", daemon=True)
            for n in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @contextmanager
    def member(self, rank: int = 0) -> Iterator[Member]:
        """Whoever will ask for steps, from the first to the last."""
        with self._changed:
            self._number += 1
            member = Member(rank, self._number)
            self._forming.members += 1
        try:
            yield member
        finally:
            with self._changed:
                self._forming.members -= 1
                self._changed.notify_all()  # nobody needs to wait for this one

    def call(self, member: Member, kind: Hashable, do: Do, item: Any) -> Any:
        """What `do` makes of the item, alone or with others of the kind. Blocks.

        Args:
            do: Gives a result for each of some items; called again with each alone if it
                raises, so that nobody fails for another.

        Raises:
            Unavailable: the batcher is closed.
            Exception: whatever `do` raises for the item alone.
        """
        step = Step(member, kind, do, item, time.monotonic())
        with self._changed:
            if self._is_closed:
                raise Unavailable("closed")
            self._forming.add(step)
            self._changed.notify_all()
        try:
            return step.done.result()
        except CancelledError as error:
            raise Unavailable("closed") from error

    def close(self) -> None:
        """Let the call under way end, drop what waits."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        while steps := self._next():
            _do(steps)
            with self._changed:
                self._forming.busy -= len(steps)

    def _next(self) -> list[Step]:
        """The next call, as soon as it is there; nothing once closed."""
        with self._changed:
            while not self._is_closed:
                wait_s = self._forming.wait_s(time.monotonic())
                if wait_s == 0.0:
                    return self._taken()
                self._changed.wait(wait_s)
            while self._forming.wait_s(0.0) is not None:
                for step in self._forming.take():
                    step.done.cancel()
            return []

    def _taken(self) -> list[Step]:
        steps = self._forming.take()
        self._forming.busy += len(steps)
        return steps


def _do(steps: Sequence[Step]) -> None:
    try:
        results = steps[0].do([step.item for step in steps])
    except Exception as error:  # noqa: BLE001 - a library's, and for who asked
        if len(steps) == 1:
            steps[0].done.set_exception(error)
            return
        for step in steps:
            _do([step])
    else:
        for step, result in zip(steps, results, strict=True):
            step.done.set_result(result)
