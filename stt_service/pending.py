"""The utterances of a stream that have no outcome yet, in the order of speech.

Each is followed by a task of its own. Why they take turns with the engines: one speaker's
utterances decoded side by side would only slow each other down, and an engine can carry
what it learnt of the speaker from one to the next. Audio that comes meanwhile is kept.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from mesh.errors import MeshError
from stt_service import hearing, metrics
from stt_service.agreement import Agreed, Agreement
from stt_service.engine import RATE_HZ, Heard
from stt_service.timeline import Timeline
from stt_service.utterance import Utterance

BEHIND = 10 * RATE_HZ  # audio that engines may lag behind before the client has to wait
WAITING = 8  # utterances that may wait for their transcript before the client has to

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Spoken:
    """An utterance and its place in the stream. Positions are at 16 kHz."""

    utterance_id: str
    start: int
    utterance: Utterance
    until: int
    """What it has been given; its end, once it has one."""

    ended: asyncio.Event = field(default_factory=asyncio.Event)
    ended_s: float = 0.0
    turn: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once all before it have been reported."""

    revision: int = 0
    agreement: Agreement = field(default_factory=Agreement)
    told: Agreed | None = None
    """The last of its guesses."""

    task: asyncio.Task[None] | None = None

    def end(self) -> None:
        self.ended_s = time.monotonic()
        self.utterance.end()
        self.ended.set()

    @property
    def since_end_s(self) -> float:
        return time.monotonic() - self.ended_s

    def drop(self) -> None:
        if self.task is not None:
            metrics.UTTERANCES.labels("dropped").inc()
            self.task.cancel()


class Pending:
    def __init__(
        self,
        timeline: Timeline,
        tasks: asyncio.TaskGroup,
        report: Callable[[hearing.Hearing], None],
    ) -> None:
        """
        Args:
            tasks: Outlives the stream; utterances are followed in it.
        """
        self._timeline, self._tasks, self._report = timeline, tasks, report
        self._spoken: list[Spoken] = []
        self._moved = asyncio.Event()  # some audio has been heard, or an outcome reported
        self._n_followed = 0

    @property
    def starts(self) -> list[int]:
        """Where the utterances start, at 16 kHz."""
        return [spoken.start for spoken in self._spoken]

    def follow(self, utterance: Utterance, start: int) -> Spoken:
        """Bring an utterance to its outcome. It has no audio yet."""
        self._n_followed += 1
        spoken = Spoken(f"utt_{self._n_followed}", start, utterance, start)
        self._spoken.append(spoken)
        self._spoken[0].turn.set()
        utterance.moved = self._moved.set
        spoken.task = self._tasks.create_task(self._follow(spoken), name=spoken.utterance_id)
        # Not in the task: one that is cancelled before it begins runs no `finally`.
        spoken.task.add_done_callback(lambda _: self._forget(spoken))
        return spoken

    async def room(self) -> None:
        """Wait while recognition is behind."""
        while self._is_behind():
            self._moved.clear()
            await self._moved.wait()

    async def done(self, *, discard: bool) -> None:
        """Wait for the outcome of every utterance; with `discard`, drop them."""
        tasks = {spoken.task for spoken in self._spoken if spoken.task is not None}
        for spoken in self._spoken if discard else ():
            spoken.drop()
        if tasks:
            await asyncio.wait(tasks)

    def _is_behind(self) -> bool:
        n_waiting = sum(spoken.ended.is_set() for spoken in self._spoken)
        n_behind = sum(spoken.utterance.behind_samples for spoken in self._spoken)
        return n_waiting > WAITING or n_behind > BEHIND

    async def _follow(self, spoken: Spoken) -> None:
        outcome: hearing.Final | hearing.Failed
        await spoken.turn.wait()
        try:
            heard = await spoken.utterance.outcome(lambda *guess: self._guess(spoken, *guess))
        except MeshError as error:
            await spoken.ended.wait()
            outcome = hearing.Failed(spoken.utterance_id, error)
            log.warning("utterance failed", extra=_fields(spoken) | {"reason": error.detail})
        else:
            outcome = self._final(spoken, heard)
            metrics.FINAL_SECONDS.labels(spoken.utterance.engine).observe(spoken.since_end_s)
            log.info("utterance heard", extra=_fields(spoken))
        metrics.UTTERANCES.labels("final" if isinstance(outcome, hearing.Final) else "failed").inc()
        self._forget(spoken)
        self._report(outcome)

    def _forget(self, spoken: Spoken) -> None:
        if spoken in self._spoken:
            self._spoken.remove(spoken)
        if self._spoken:
            self._spoken[0].turn.set()
        self._moved.set()

    def _guess(self, spoken: Spoken, text: str, n_samples: int) -> None:
        agreed = spoken.agreement.heard(text)
        if agreed == spoken.told:
            return
        spoken.told = agreed
        spoken.revision += 1
        place = self._timeline.in_stream
        start, end = place(spoken.start), place(spoken.start + n_samples)
        self._report(
            hearing.Guessed(
                spoken.utterance_id,
                agreed.text,
                agreed.stable_chars,
                spoken.revision,
                start,
                end,
            )
        )

    def _final(self, spoken: Spoken, heard: Heard) -> hearing.Final:
        place = self._timeline.in_stream
        until = spoken.until
        heard = hearing.placed(heard, lambda at: place(min(spoken.start + at, until)))
        revision = spoken.revision + 1
        return hearing.Final(
            spoken.utterance_id, heard, revision, place(spoken.start), place(until)
        )


def _fields(spoken: Spoken) -> dict[str, object]:
    return {
        "utterance_id": spoken.utterance_id,
        "engine": spoken.utterance.engine,
        "audio_ms": (spoken.until - spoken.start) * 1000 // RATE_HZ,
        "final_ms": round(spoken.since_end_s * 1000),
    }
