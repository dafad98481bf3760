"""The engines of this process, each behind the threads it runs on."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

from mesh.chain import Chain
from mesh.errors import Missing, Rejected
from mesh.fair_queue import Turn
from mesh.threads import ANY_TURN, ModelThreads
from stt_service import metrics
from stt_service.engine import Ear, Engine, How, knows
from stt_service.speakers import Voices
from stt_service.vad import Silero

SPARE = 1  # thread of an engine beyond what it can use, for tenants with nothing at work

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Seat:
    """An engine and its threads."""

    name: str
    engine: Engine
    threads: ModelThreads

    async def run(self, work: Callable[..., T], *args: object, turn: Turn = ANY_TURN) -> T:
        """Call `work(*args)` on a thread of this engine.

        Raises:
            Overloaded: too much waits already.
        """
        return await self.threads.run(self._timed, work, *args, turn=turn)

    def _timed(self, work: Callable[..., T], *args: object) -> T:
        began_s = time.perf_counter()
        try:
            return work(*args)
        finally:
            metrics.DECODE_SECONDS.labels(self.name).inc(time.perf_counter() - began_s)


class Worker:
    def __init__(self, chain: Chain[Engine], silero: Silero, max_waiting: int) -> None:
        """
        Args:
            max_waiting: Calls that may wait for a thread of one engine.
        """
        self.chain, self.silero = chain, silero
        self._threads = {
            name: ModelThreads(f"stt-{name}", engine.threads, max_waiting, spare=SPARE)
            for name, engine in chain.engines.items()
        }

    @property
    def queue_depth(self) -> int:
        """Calls that wait for a thread."""
        return sum(threads.waiting for threads in self._threads.values())

    def utilisation(self, name: str) -> float:
        """Of an engine's threads, 0 to 1."""
        return self._threads[name].utilisation

    @property
    def engines(self) -> list[Engine]:
        """All that are loaded, in the order of the settings."""
        return list(self.chain.engines.values())

    def check_model(self, model: str) -> None:
        """
        Raises:
            Missing: no engine here has this model.
        """
        if model and model not in {engine.model for engine in self.engines}:
            raise Missing("no such model; see ListModels", param="recognition.model", tier="stt")

    def model_for(self, how: How, model: str) -> str:
        """Name of the model that will hear an utterance, as things are."""
        try:
            return self._seats(how, model, ())[0].engine.model
        except Rejected:  # each utterance will say so
            return self.chain.serving[1].model

    def seat(self, how: How, model: str, tried: Collection[str]) -> Seat:
        """The engine to hear an utterance with. Tell the chain how it went.

        Args:
            model: The one that is wanted, if it can be had.
            tried: Engines that failed on this utterance. They come last.

        Raises:
            Rejected: no engine here knows the language.
        """
        seats = self._seats(how, model, tried)
        fresh = (seat for seat in seats if seat.name not in tried)
        return next((seat for seat in fresh if self.chain.allows(seat.name)), seats[0])

    def _seats(self, how: How, model: str, tried: Collection[str]) -> list[Seat]:
        """Those that know the language, the best first.

        Raises:
            Rejected: there is none.
        """
        able = [
            Seat(name, engine, self._threads[name])
            for name, engine in self.chain.ranked()
            if knows(engine, how.language)
        ]
        if not able:
            raise Rejected("no engine knows this language", param="recognition.language_code")
        return sorted(able, key=lambda seat: (seat.name in tried, seat.engine.model != model))

    async def close(self) -> None:
        """Let the threads end, free the models."""
        for threads in self._threads.values():
            await threads.close()
        for engine in self.engines:
            engine.close()


class Ears:
    """What each engine keeps of one stream; made when that engine first hears it."""

    def __init__(self, tenant_id: str = "") -> None:
        self.tenant_id = tenant_id
        self._ears: dict[str, Ear] = {}
        self.voices = Voices()
        """The speakers of the stream, whichever engine hears them."""

    def of(self, seat: Seat) -> Ear:
        if seat.name not in self._ears:
            self._ears[seat.name] = seat.engine.ear(self.tenant_id)
        return self._ears[seat.name]
