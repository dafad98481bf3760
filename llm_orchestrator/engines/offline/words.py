"""Words of an utterance, typed or heard, with where each one was."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_WORD = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+(?:'[^\W\d_]+)*")

_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'"})


def vocabulary(line: str) -> frozenset[str]:
    """Words written on one line, as a set."""
    return frozenset(line.split())


FILLERS = vocabulary(
    "a an the please could can would will you i me my we us our to of and or is are am was be it"
    " this that there do does did have has had just now so well um uh oh ok okay hey hi hello"
    " want need like know tell give let what what's whats how when where which who why if then"
    " some any right today it's its i'm i'd at in on for with from about"
)
"""Words that say nothing about the subject."""


@dataclass(frozen=True, slots=True)
class Word:
    plain: str
    """Lower case, no punctuation around it."""

    start: int
    """Index of its first character in the utterance."""

    end: int


@dataclass(frozen=True, slots=True)
class Utterance:
    text: str
    words: tuple[Word, ...]

    @property
    def plain(self) -> list[str]:
        return [word.plain for word in self.words]

    @property
    def line(self) -> str:
        """The plain words with single spaces, for patterns."""
        return " ".join(self.plain)

    def between(self, first: int, end: int) -> str:
        """The utterance as it was written, from word `first` up to but not word `end`."""
        return self.text[self.words[first].start : self.words[end - 1].end] if first < end else ""


def read(text: str) -> Utterance:
    text = text.translate(_APOSTROPHES).strip()
    found = (Word(m.group().lower(), m.start(), m.end()) for m in _WORD.finditer(text))
    return Utterance(text, tuple(found))


def parts(identifier: str) -> list[str]:
    """The words of a name from code: get_stockPrice → get, stock, price."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", " ", identifier)
    return spaced.lower().split()


def stem(word: str) -> str:
    """A word without its commonest endings, so that booking, booked and books meet book."""
    word = _singular(word.removesuffix("'s"))
    for ending, least in (("ing", 3), ("ed", 3), ("er", 5)):
        if word.endswith(ending) and len(word) - len(ending) >= least:
            return _undouble(word.removesuffix(ending))
    return _undouble(word)


def stems(words: Iterable[str]) -> set[str]:
    return {stem(word) for word in words}


def _singular(word: str) -> str:
    if word.endswith(("ies", "ied")) and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word


def _undouble(word: str) -> str:
    """runn → run, price → pric (as pricing does); call and pass stay."""
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
        return word[:-1]
    return word[:-1] if word.endswith("e") and len(word) > 3 else word
