"""What an STT engine is. Everything else in this tier is written against this.

All audio here is PCM16 LE mono 16 kHz; positions are samples from the first one of the
utterance. Every method that is said to block runs on a model thread, one at a time for
one recognizer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

RATE_HZ = 16_000


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How one utterance is to be recognized. An engine uses what it can."""

    language: str = ""
    """BCP-47 tag; empty asks for detection."""

    prompt: str = ""
    """Free text that biases the decoder."""

    hints: tuple[str, ...] = ()
    """Words and phrases to favour."""

    word_timestamps: bool = False

    logprobs: bool = False
    """Whether the probabilities of words are wanted."""

    speakers: bool = False
    """Whether it is wanted who said what."""

    @property
    def needs_words(self) -> bool:
        """Whether the engine has to tell words and their times."""
        return self.word_timestamps or self.logprobs or self.speakers


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    start_sample: int
    end_sample: int
    confidence: float | None = None
    """0 to 1, if the model gives one."""


@dataclass(frozen=True, slots=True)
class Token:
    text: str
    """As written; those of an utterance together are its text."""

    logprob: float
    """Natural logarithm of its probability."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of words of one speaker; those of an utterance together are its text."""

    text: str
    start_sample: int
    end_sample: int
    speaker: str
    """ "A", "B" and so on; the same for the same voice within a stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """The final word on an utterance."""

    text: str
    language: str = ""
    confidence: float | None = None
    """0 to 1, if the model gives one."""

    words: tuple[Word, ...] = ()
    """Only if they were asked for, or are needed for something that was."""

    tokens: tuple[Token, ...] = ()
    """Not of an engine: `details` makes them of words."""

    segments: tuple[Segment, ...] = ()
    """Not of an engine either."""


class Recognizer(Protocol):
    """Recognition of one utterance. Made without blocking; used from one task."""

    def feed(self, pcm: bytes) -> None:
        """Hear what comes next. Blocks if the engine is `streaming`: it decodes here."""

    @property
    def lags(self) -> bool:
        """Whether it has kept audio that it could decode by now: feed it nothing until not,
        so that no call takes long. Only of a `streaming` engine."""

    def guess(self) -> str:
        """The text so far, as far as one can tell. Blocks."""

    def finish(self) -> Heard:
        """The text of all that was fed. Blocks. Nothing may be fed after it.

        Raises:
            Overloaded: it cannot be done now; call it again.
        """

    def close(self) -> None:
        """Give back what it holds. Does not block, not even while another call runs,
        whose result is then for nobody. More than once is once."""


class Ear(Protocol):
    """What an engine keeps of one stream from one utterance to the next: nothing, or
    for example what the microphone sounds like."""

    def recognizer(self, how: How) -> Recognizer: ...


class Engine(Protocol):
    """A loaded model, once per process.

    Its constructor takes the tier's Config and raises NotInstalled if weights or
    libraries are missing. It never downloads.
    """

    @property
    def model(self) -> str:
        """Name for people and for requests that want this model, e.g. "base.en"."""

    @property
    def languages(self) -> Sequence[str]:
        """BCP-47 tags it knows; empty means many."""

    @property
    def streaming(self) -> bool:
        """Whether `feed` decodes; else it only keeps the audio, and does not block."""

    @property
    def threads(self) -> int:
        """Blocking calls it can usefully work on at the same time."""

    @property
    def guess_every_ms(self) -> int:
        """Audio between two guesses: how dear a guess is."""

    def ear(self, tenant: str = "") -> Ear:
        """For one stream.

        Args:
            tenant: Whose it is: what is scarce is to be shared between tenants.
        """

    def close(self) -> None:
        """Free the model. No recognizer is in use any more."""


def knows(engine: Engine, language: str) -> bool:
    """Whether the engine can hear a language; the region does not matter."""
    wanted = language.partition("-")[0].lower()
    known = {tag.partition("-")[0].lower() for tag in engine.languages}
    return not wanted or not known or wanted in known
