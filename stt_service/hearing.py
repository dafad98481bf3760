"""What is reported of a stream. Positions are samples of the stream's own rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from mesh.errors import MeshError
from stt_service.engine import Heard, Segment, Word


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
    stable_chars: int
    """So many characters of the text will not change any more."""

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


Placed = TypeVar("Placed", Word, Segment)
Hearing = Started | Stopped | Guessed | Final | Failed


def placed(heard: Heard, place: Callable[[int], int]) -> Heard:
    """The same with the positions of its words and segments moved.

    Args:
        place: Gives the new position of a sample of the utterance at 16 kHz.
    """

    def moved(one: Placed) -> Placed:
        return replace(
            one, start_sample=place(one.start_sample), end_sample=place(one.end_sample)
        )  # fmt: skip

    words = tuple(moved(word) for word in heard.words)
    return replace(heard, words=words, segments=tuple(moved(part) for part in heard.segments))
