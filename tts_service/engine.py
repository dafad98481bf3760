"""What a TTS engine is. Everything else in this tier is written against this."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from mesh.audio import Samples

SLOWEST, FASTEST = 0.25, 4.0  # the speeds the contract names
PIECE_S = 0.2  # of audio that is ready: what resampling may delay, and a cancel waste


class CannotSay(Exception):
    """This text is not for this engine, which is well: let another one try."""


class Stopped(Exception):
    """Inference ended early because its `Halt` was set."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a reply is to be spoken."""

    voice_id: str = ""
    """A voice of some engine or one of OpenAI's names; unknown or empty is the default."""

    language: str = ""
    """BCP-47 tag; empty is the voice's own."""

    speed: float = 1.0
    """SLOWEST…FASTEST."""


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice an engine lists."""

    voice_id: str
    name: str
    languages: tuple[str, ...]
    """BCP-47 tags in lower case, its own first."""


@dataclass(frozen=True, slots=True)
class Word:
    """Where a word lies: characters of the text given, samples from its first one."""

    start_char: int
    end_char: int
    start_sample: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Some of the audio of a text, at the engine's rate."""

    samples: Samples
    words: tuple[Word, ...] = ()
    """Timing that is known by now; a word may be told before its audio comes."""


class Halt:
    """Says "stop" to a synthesis that may be deep inside a library. Any thread may say it."""

    def __init__(self) -> None:
        self.stopped_s: float | None = None
        """When it was said, on the monotonic clock."""

        self._wake: Callable[[], None] | None = None

    @property
    def stopped(self) -> bool:
        return self.stopped_s is not None

    def stop(self) -> None:
        self.stopped_s = time.monotonic()
        if (wake := self._wake) is not None:
            wake()

    def calls(self, wake: Callable[[], None] | None) -> None:
        """What ends the library's work of now, for libraries that do not ask `stopped`."""
        self._wake = wake
        if wake is not None and self.stopped:
            wake()


def pieces(
    samples: Samples, sample_rate_hz: int, halt: Halt, words: tuple[Word, ...] = ()
) -> Iterator[Piece]:
    """Audio that is all there, in pieces of PIECE_S."""
    size = int(PIECE_S * sample_rate_hz)
    for start in range(0, len(samples), size):
        if halt.stopped:
            return
        yield Piece(samples[start : start + size], () if start else words)


class Engine(Protocol):
    """A loaded model. One per process; its class takes the tier's `Config`."""

    @property
    def sample_rate_hz(self) -> int:
        """Rate of every piece."""

    @property
    def voices(self) -> Sequence[Voice]:
        """In a stable order, the default first."""

    @property
    def most_chars(self) -> int:
        """How much text it is given at a time: meanwhile nobody else has the thread."""

    def voice_for(self, manner: Manner) -> str:
        """The id of the voice that speaks so; the default if there is none of that id.

        Raises:
            CannotSay: the engine has no voice for the language.
        """

    def synthesize(self, text: str, manner: Manner, halt: Halt) -> Iterator[Piece]:
        """Speak one segment. Blocks; runs on a model thread.

        Gives audio as early as the library does, with next to no silence at its ends, and
        stops within 50 ms of `halt`, without an error.

        Args:
            text: Something speakable, without marks (`speakable`).

        Raises:
            CannotSay: this engine has no sounds for the text or the language.
            Exception: the engine failed; what it gave before is good.
        """
