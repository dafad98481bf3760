"""Finds out whether a text begins with a repetition of another one's end. No I/O.

Compared are letters, digits and symbols, whatever their case; white space and punctuation are
passed over. A repetition begins where a word of the written text begins and reaches its end:

- from the beginning of the text, of a line or of a sentence, one word is enough;
- from elsewhere, two words: one that is the same ("very" and "very good") is as likely new;
- of a text that begins with white space, one more: it shows that it goes on;
- of a script without spaces, four characters stand for two words;
- a last word that is written again and goes on ("Lon" and "London") counts if it has three
  letters and is no word of the conversation ("for" and "forty" does not).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Container
from dataclasses import dataclass
from functools import lru_cache

_SENTENCE_ENDS = ".!?…。！？\n"
BROKEN_LETTERS = 3
"""Fewer may begin the next word by chance: "a" and "apple"."""

_PASSED_OVER = "ZPC"  # categories of Unicode: separators, punctuation, control characters
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x9FFF),  # Chinese, Japanese
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)


@lru_cache(maxsize=4096)
def mark(char: str) -> str:
    """The character as it is compared; "" if it is passed over."""
    if unicodedata.category(char)[0] in _PASSED_OVER:
        return ""
    folded = char.casefold()
    return folded if len(folded) == 1 else char


def unspaced(char: str) -> bool:
    """Whether its script writes no spaces between words."""
    return char >= "\u0e00" and any(low <= ord(char) <= high for low, high in _UNSPACED)


@dataclass(frozen=True, slots=True)
class _Start:
    """Where a word begins."""

    at: int
    """Index among the marks."""

    of_sentence: bool
    unspaced: bool


class Overlap:
    """Reads a text as it comes."""

    def __init__(self, written: str, words: Container[str]) -> None:
        """
        Args:
            words: Of the conversation, in lower case.
        """
        self._written, self._words = written, words
        self._marks, self._starts = _read(written)
        self._alive: list[int] | None = None
        self._broken = -1
        self._n_matched = self._n_read = 0
        self._spaced = False
        self._again = 0
        self.length = 0
        """How many characters repeat, as far as is known: the longest repetition counts."""

        self.decided = not self._starts
        """Whether more text cannot change that."""

    def feed(self, text: str) -> None:
        for char in text:
            if self.decided:
                return
            self._n_read += 1
            self._take(char)

    def _take(self, char: str) -> None:
        new = mark(char)
        if self._again and new:
            self.length = self._again
        self._again = 0
        if new:
            self._match(new)
        elif self._alive is None:
            self._spaced = self._spaced or char.isspace()
        self.decided = self._alive is not None and not self._alive and not self._again

    def _match(self, new: str) -> None:
        if self._alive is None:
            self._alive = self._candidates()
        ahead = self._n_matched
        alive = [at for at in self._alive if self._marks[at + ahead] == new]
        self._n_matched += 1
        if alive and alive[-1] + self._n_matched == len(self._marks):
            if alive.pop() == self._broken:
                self._again = self._n_read  # if the word goes on
            else:
                self.length = self._n_read
        self._alive = alive

    def _candidates(self) -> list[int]:
        """Where a repetition may begin, in order."""
        found = []
        for n_words, start in enumerate(reversed(self._starts), 1):
            least = (1 if start.of_sentence else 4 if start.unspaced else 2) + self._spaced
            if n_words >= least:
                found.append(start.at)
        last = self._starts[-1]
        if last.at not in found[:1] and self._may_be_broken(last):
            self._broken = last.at
            found.insert(0, last.at)
        return found[::-1]

    def _may_be_broken(self, last: _Start) -> bool:
        word = self._marks[last.at :]
        return (
            len(word) >= BROKEN_LETTERS
            and not self._spaced
            and not last.unspaced
            and bool(mark(self._written[-1]))
            and word not in self._words
        )


def _read(written: str) -> tuple[str, list[_Start]]:
    """The marks of a text, and where its words begin."""
    marks: list[str] = []
    starts: list[_Start] = []
    between = "\n "
    for char in written:
        new = mark(char)
        if not new:
            between += char
            continue
        alone = unspaced(char)
        if alone or _parts_words(between):
            ended = any(end in between for end in _SENTENCE_ENDS)
            starts.append(_Start(len(marks), ended, alone))
        marks.append(new)
        between = ""
    return "".join(marks), starts


def _parts_words(between: str) -> bool:
    """Whether a word begins behind what was passed over; not in "don't" and "3.14"."""
    return any(char.isspace() or unicodedata.category(char) == "Pd" for char in between)
