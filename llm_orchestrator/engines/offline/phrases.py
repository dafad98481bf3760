"""Parts of an utterance that can be an argument: after a preposition, quoted, a time, what is left.

An Uttered keeps which words have been used, so that two parameters never take the same.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from llm_orchestrator.engines.offline import numbers, places
from llm_orchestrator.engines.offline.words import FILLERS, Utterance, stem, vocabulary

_BOUNDARIES = vocabulary(
    "in at for to from about of on with near around into by named called titled saying says that"
    " and please today tomorrow tonight now right until using regarding if when"
)
_ARTICLES = vocabulary("the a an my our some any")
_TIMES = vocabulary(
    "today tomorrow tonight yesterday morning afternoon evening night noon midnight am pm o'clock"
    " oclock monday tuesday wednesday thursday friday saturday sunday january february march april"
    " may june july august september october november december next week weekend month hour hours"
    " minute minutes"
)
_IN_TIMES = vocabulary("at in the on of a half past quarter to")
_NEAR = 2  # "for two more passengers"
FAR = _NEAR + 1
_QUOTED = re.compile(r'["“]([^"“”]+)["”]|(?<!\w)\'([^\']+)\'(?!\w)')


class Uttered:
    """An utterance being taken apart. What is taken once is not found again."""

    def __init__(
        self, said: Utterance, subject: Collection[str], *, leftovers: bool = True
    ) -> None:
        """
        Args:
            subject: Stems of the words that ask for the tool itself.
            leftovers: Whether `rest` finds anything.
        """
        self.said, self._subject, self._leftovers = said, subject, leftovers
        self._words = said.plain
        self._free = [True] * len(self._words)

    def take(self, first: int, end: int) -> str:
        """Use words `first` up to but not `end`, and return them as they were written."""
        self._free[first:end] = [False] * (end - first)
        return self.said.between(first, end)

    def spoken(self, name: str) -> str | None:
        """The words `name` if they are in the utterance, whatever their endings."""
        wanted = [stem(word) for word in name.split()]
        for i in range(len(self._words) - len(wanted) + 1 if wanted else 0):
            end = i + len(wanted)
            if [stem(w) for w in self._words[i:end]] == wanted and all(self._free[i:end]):
                return self.take(i, end)
        return None

    def mentions(self, stems: Collection[str]) -> bool:
        return any(stem(word) in stems for word in self._words)

    def heard(self, vocabulary: Collection[str]) -> bool:
        return any(word in vocabulary for word in self._words)

    def free_numbers(self) -> list[tuple[int, numbers.Found]]:
        """Numbers not taken yet, each with the index of its first word."""
        return [(i, n) for i, n in numbers.every(self._words) if all(self._free[i : n.end])]

    def distance(self, first: int, end: int, stems: Collection[str]) -> int:
        """Words from a number to the nearest of these; many if none is near."""
        for away in range(1, _NEAR + 1):
            around = self._words[max(0, first - away) : first] + self._words[end : end + away]
            if any(stem(word) in stems for word in around):
                return away
        return FAR

    def following(self, end: int) -> str:
        """Stem of the word at `end`: after a number, its unit."""
        return stem(self._words[end]) if end < len(self._words) else ""

    def quoted(self) -> str | None:
        match = _QUOTED.search(self.said.text)
        if not match:
            return None
        inside = [i for i, word in enumerate(self.said.words) if match.start() <= word.start
                  and word.end <= match.end()]  # fmt: skip
        if not inside or not all(self._free[i] for i in inside):
            return None
        self.take(inside[0], inside[-1] + 1)
        return next(group for group in match.groups() if group)

    def place(self) -> str | None:
        """A place that the table of places knows."""
        found = places.find([w if f else "" for w, f in zip(self._words, self._free, strict=True)])
        return self.take(found[1], found[2]) if found else None

    def after(self, *openings: str, to_the_end: bool = False) -> str | None:
        """The phrase after the first of these words that has one."""
        for opening in openings:
            for i, word in enumerate(self._words):
                if word == opening and (found := self._phrase(i + 1, to_the_end)):
                    return self.take(*found)
        return None

    def time(self) -> str | None:
        """The first date or time: tomorrow at five pm."""
        said = {i for start, n in numbers.every(self._words) for i in range(start, n.end)}
        timely = [w in _TIMES or i in said for i, w in enumerate(self._words)]
        for i in range(len(self._words)):
            if timely[i] and self._free[i] and (end := self._time_end(i, timely)):
                return self.take(i, end)
        return None

    def rest(self) -> str | None:
        """The longest run of words that say neither which tool nor anything taken."""
        if not self._leftovers:
            return None
        best = (0, 0)
        start = 0
        for i, word in enumerate([*self._words, ""]):
            if not word or not self._is_rest(i, word):
                best = max(best, (start, i), key=lambda run: run[1] - run[0])
                start = i + 1
        return self.take(*best) if best[1] > best[0] else None

    def _is_rest(self, i: int, word: str) -> bool:
        return (
            self._free[i]
            and word not in FILLERS
            and word not in _TIMES
            and stem(word) not in self._subject
        )

    def _phrase(self, start: int, to_the_end: bool) -> tuple[int, int] | None:
        while start < len(self._words) and self._words[start] in _ARTICLES:
            start += 1
        if found := places.at(self._words, start):
            return (start, found[1]) if all(self._free[start : found[1]]) else None
        end = start
        while end < len(self._words) and self._free[end]:
            if not to_the_end and self._words[end] in _BOUNDARIES | _TIMES:
                break
            end += 1
        return (start, end) if end > start else None

    def _time_end(self, start: int, timely: list[bool]) -> int:
        """Index after the time that begins at `start`; 0 if those are only numbers."""
        last = end = start
        while end < len(self._words) and (timely[end] or self._words[end] in _IN_TIMES):
            last = end if timely[end] else last
            end += 1
        run = self._words[start : last + 1]
        at = start > 0 and self._words[start - 1] in ("at", "by", "until")
        return last + 1 if at or any(word in _TIMES for word in run) else 0
