"""The engines of this process at work on their threads: text in, PCM at the rate asked out.

Whose piece comes next: first who hears nothing, because the reply has not begun or has run
dry; then who will hear nothing soonest (`listener`); tenants take turns (`mesh.fair_queue`).

How long a piece holds its thread, and why it is not interrupted for a more urgent one: an
engine gets at most `most_chars` of a segment at a time, and the next part of it waits for
its turn again. Iterators that are left and resumed would gain nothing: each library makes
the audio of what it is given in one go, and all its pieces are there when the first is.
To throw a part away that is half made, so that another can begin, would cost the work
twice just when there is too much of it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator

from mesh.chain import Chain
from mesh.errors import NotInstalled
from mesh.fair_queue import Turn
from mesh.threads import ModelThreads
from tts_service.engine import CannotSay, Engine, Halt, Manner
from tts_service.loudness import Levels
from tts_service.openers import Openers
from tts_service.progress import Sound
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

    def speaker(self, manner: Manner, rate_hz: int, tenant: str = "") -> Speaker:
        """The voice of one reply."""
        return Speaker(self, manner, rate_hz, tenant)

    def run(self, make: Callable[[], Iterator[Sound]], turn: Turn) -> AsyncGenerator[Sound]:
        """Iterate `make()` on a model thread.

        Raises:
            Overloaded: too much waits already.
        """
        return self.threads.stream(make, turn=turn)


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
