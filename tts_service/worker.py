"""The engines of this process at work on their threads: text in, PCM at the rate asked out.

Whose piece comes next: first who hears nothing, because the reply has not begun or has run
dry; then who will hear nothing soonest (`listener`); tenants take turns (`mesh.fair_queue`).

How long a piece holds its thread: an engine gets at most `most_chars` of a segment at a
time, and the next part of it waits for its turn again. Iterators that are left and resumed
would gain nothing: each library makes the audio of what it is given in one go, and all its
pieces are there when the first is.

Why a part that is half made gives way to who hears nothing, if its own listener has enough
to hear: on a CPU it takes a neural engine a second, several times as long as a first clause.
The work is done twice, so it gives way once only: beside a crowd that always begins anew,
speech costs at most double.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing

from mesh.chain import Chain
from mesh.errors import NotInstalled
from mesh.fair_queue import Turn
from mesh.threads import ModelThreads
from tts_service.engine import CannotSay, Engine, Halt, Manner
from tts_service.listener import SILENT
from tts_service.loudness import Levels
from tts_service.openers import Openers
from tts_service.progress import Sound
from tts_service.rendition import Rendition
from tts_service.speaker import Speaker

WARM_UP_TEXT = "Hello. How can I help you today?"


class Worker:
    """The engines of this process, the threads they run on, and what they keep in mind."""

    def __init__(
        self,
        chain: Chain[Engine],
        threads: ModelThreads,
        levels: Levels,
        openers: Openers | None = None,
    ) -> None:
        """
        Args:
            openers: None remembers none.
        """
        self.chain, self.threads, self.levels = chain, threads, levels
        self.openers = openers or Openers(0)
        self._supplied: dict[Rendition, float] = {}  # that may give way → when they are needed

    def speaker(self, manner: Manner, rate_hz: int, tenant: str = "") -> Speaker:
        """The voice of one reply."""
        return Speaker(self, manner, rate_hz, tenant)

    async def run(
        self, rendition: Rendition, make: Callable[[], Iterator[Sound]], turn: Turn, *, yields: bool
    ) -> AsyncGenerator[Sound]:
        """Iterate `make()`, which is the rendition's, on a model thread.

        Args:
            yields: Whether it may give way to others.

        Raises:
            Overloaded: too much waits already.
        """
        if turn.rank == SILENT and not self.threads.free:
            self._make_way()
        if yields:
            self._supplied[rendition] = turn.deadline_s
        try:
            async with aclosing(self.threads.stream(make, turn=turn)) as sounds:
                async for sound in sounds:
                    yield sound
        finally:
            self._supplied.pop(rendition, None)

    def _make_way(self) -> None:
        """First of all who is needed last."""
        for rendition in sorted(self._supplied, key=self._supplied.__getitem__, reverse=True):
            if rendition.give_way():
                return


def warm_up(engine: Engine, levels: Levels) -> None:
    """Let an engine speak once: the first inference is slow, and tells how loud it is.

    Raises:
        NotInstalled: it cannot speak here.
    """
    try:
        for piece in engine.synthesize(WARM_UP_TEXT, Manner(), Halt()):
            levels.of(engine).hear(piece.samples, engine.sample_rate_hz)
    except CannotSay:
        return  # a voice for another script
    except Exception as error:
        raise NotInstalled(f"it loads but cannot speak: {error}") from error
