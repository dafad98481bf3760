"""What is reported of a stream. Positions are samples of the stream's own rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from mesh.errors import MeshError
from stt_service.engine import Heard


@dataclass(frozen=True, slots=True)
class Started:
    """Speech was detected."""

    utterance_id: str
    start_sample: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """Speech ended, and with it the utterance."""

    utterance_id: str
    end_sample: int


@dataclass(frozen=True, slots=True)
class Guessed:
    """An interim transcript."""

    utterance_id: str
    text: str
    revision: int
    start_sample: int
    end_sample: int


@dataclass(frozen=True, slots=True)
class Final:
    """The final transcript; `heard` has words with positions in the stream."""

    utterance_id: str
    heard: Heard
    revision: int
    start_sample: int
    end_sample: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The utterance has no transcript."""

    utterance_id: str
    error: MeshError


Hearing = Started | Stopped | Guessed | Final | Failed


def placed(heard: Heard, place: Callable[[int], int]) -> Heard:
    """The same with its words' positions moved.

    Args:
        place: Gives the new position of a sample of the utterance at 16 kHz.
    """
    words = tuple(
        replace(word, start_sample=place(word.start_sample), end_sample=place(word.end_sample))
        for word in heard.words
    )
    return replace(heard, words=words)
