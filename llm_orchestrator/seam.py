"""Joins an answer that broke with what goes on behind it: a filter on the new text. No I/O.

A model that is asked to go on may first repeat what was written, or leave out the space behind
the last word. The seam takes the repetition off (see `overlap`) and puts the space in (see
`spacing`); everything else goes through as it comes and in its order. It holds text back only
while that could still be a repetition, and a first word while a space depends on it.
"""

from __future__ import annotations

from collections.abc import Container
from enum import Enum, auto

from llm_orchestrator import spacing
from llm_orchestrator.overlap import Overlap, mark

_MARKS = ".,;:!?…"


class _Stage(Enum):
    REPEATS = auto()
    """What comes may be a repetition."""

    MARKS = auto()
    """It was one; the punctuation behind it may be as well."""

    JOINT = auto()
    """What is held is new; whether a space belongs before it is open."""

    OPEN = auto()
    """All goes through."""


class Seam:
    def __init__(
        self, written: str, words: Container[str] = frozenset(), *, exact: bool = False
    ) -> None:
        """
        Args:
            words: Of the conversation, in lower case: see `spacing`.
            exact: Whether the model goes on inside its own message, token by token: then the
                white space is right as it comes.
        """
        self._written, self._words, self._exact = written, words, exact
        self._overlap = Overlap(written, words)
        self._stage = _Stage.REPEATS
        self._held = ""
        self._repeated = False

    def feed(self, text: str) -> str:
        """
        Args:
            text: More of the model's text.

        Returns:
            What of it, and of what was held back, is new; "" if that is not known yet.
        """
        if self._stage is _Stage.OPEN:
            return text
        self._held += text
        if self._stage is _Stage.REPEATS:
            self._overlap.feed(text)
            if not self._overlap.decided:
                return ""
            self._take_off()
        return self._passed(final=False)

    def end(self, *, cut_off: bool = False) -> str:
        """What was held back, now that no more comes. Call it before anything but text goes on.

        Args:
            cut_off: Whether the model had more to write: a repetition that it was in the
                middle of is then dropped.
        """
        if self._stage is _Stage.OPEN:
            return ""
        if self._stage is _Stage.REPEATS:
            if cut_off and not self._overlap.length:
                self._held = ""
            self._take_off()
        passed = self._passed(final=True)
        self._stage = _Stage.OPEN
        return passed

    def _take_off(self) -> None:
        length = self._overlap.length
        self._held, self._repeated = self._held[length:], length > 0
        self._stage = _Stage.MARKS if self._repeated else _Stage.JOINT

    def _passed(self, *, final: bool) -> str:
        if self._stage is _Stage.MARKS:
            tail = _tail(self._written)
            if tail.startswith(self._held) and self._held != tail and not final:
                return ""
            self._held = _without(tail, self._held)
            self._stage = _Stage.JOINT
        joint = self._joint(final=final)
        if joint is None:
            return ""
        passed, self._held, self._stage = joint + self._held, "", _Stage.OPEN
        return passed

    def _joint(self, *, final: bool) -> str | None:
        """The space that is missing, or ""; None if that is not known yet."""
        if self._exact and not self._repeated:
            return ""
        spaced = self._written[-1:].isspace()
        if spaced:
            self._held = self._held.lstrip(" \t")
        if not self._held:
            return None
        if spaced or self._repeated or not self._written:
            return ""
        return spacing.between(self._written, self._held, self._words, final=final)


def _tail(written: str) -> str:
    """What stands behind the last word: punctuation and white space."""
    end = len(written)
    while end and not mark(written[end - 1]):
        end -= 1
    return written[end:]


def _without(tail: str, text: str) -> str:
    """The text behind a repetition without the tail, which may have been repeated otherwise:
    one mark for another, or none."""
    if text.startswith(tail):
        return text[len(tail) :]
    same = tail.rstrip()
    if text.startswith(same) and same:
        return text[len(same) :]
    other = text[:1] in _MARKS and any(char in _MARKS for char in tail)
    return text[1:] if other else text
