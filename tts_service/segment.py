"""Cuts text that is still being written into pieces worth speaking. Pure.

The first piece is cut early, at the end of a clause, so that speech can start before
the rest is known; later ones at sentence ends, where an engine needs no more context.

Why the cuts do not depend on how the text arrives: a place is judged only when
everything its judgement needs has arrived (at most LOOKAHEAD characters), and places
are judged in order. So another worker that is sent the same text makes the same
segments, and tests can push letters or pages.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

FIRST_MIN = 10  # characters; a shorter clause is over before the next segment is made
FIRST_LIMIT = 80  # about 5 s of speech
LIMIT = 300  # about 20 s: what an engine may hold of the model thread at a time
MANUAL_LIMIT = 1000  # a client that cuts for itself still may not hold the thread for long
LOOKAHEAD = 16
LONGEST_ABBREVIATION = 16

SENTENCE_PAUSE_MS = 300
CLAUSE_PAUSE_MS = 120
TAIL_PAUSE_MS = 100  # after a last word without a mark: players cut off the very end


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ENDS = ".!?…؟।۔"
_WIDE_ENDS = "。！？．｡"  # no space follows these
_CLAUSES = ",;:،؛–"
_WIDE_CLAUSES = "—、，；："
_CLOSERS = "\"'”’»)]}*_`~」』）】"

_END_MARKS = frozenset(_ENDS + _WIDE_ENDS)
_CLAUSE_MARKS = frozenset(_CLAUSES + _WIDE_CLAUSES)

_PLACE = re.compile(
    rf"(?P<line>\n)"
    rf"|(?P<end>[{_ENDS}{_WIDE_ENDS}]+)[{re.escape(_CLOSERS)}]*"
    rf"|(?P<clause>[{_CLAUSES}{_WIDE_CLAUSES}])[{re.escape(_CLOSERS)}]*"
)
_SPACE = re.compile(r"\s*")
_LAST_WORD = re.compile(r"[^\s(\[{\"'“‘*_`]*$")
_LIST_NUMBER = re.compile(r"(?:^|\n)[\s*_]*\d{1,3}$")
_INITIALS = re.compile(r"[^\W\d_](?:\.[^\W\d_])*")

_NEVER_ENDS = _words(
    "dr mr mrs ms mx prof st gen sen rep gov capt cpt lt col sgt rev hon mt ft vs approx ca cf al"
    " e.g i.e est dept univ u.s u.k"
)
_BEFORE_NUMBER = _words("no nr nos vol p pp fig figs ch sec eq art")
_MAY_END = _words("etc inc ltd co corp jr sr a.m p.m ph.d b.c a.d")


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of the text, spoken as one."""

    text: str
    start_char: int
    """Position of its first character in all text pushed."""

    pause_ms: int
    """Silence after it, as its end asks for."""


class Segmenter:
    """Feed it text in any cut; it gives back segments that make up the text, in order."""

    def __init__(self, *, manual: bool = False, continues: bool = False) -> None:
        """
        Args:
            continues: Another segmenter had the text before: the first cut is not early.
            manual: Only `flush` ends a segment, except one above MANUAL_LIMIT.
        """
        self._manual = manual
        self._open = ""
        self._start_char = 0
        self._first = not continues

    @property
    def is_open(self) -> bool:
        """There is text that is in no segment yet."""
        return bool(self._open)

    def push(self, text: str) -> list[Segment]:
        self._open += text
        segments = []
        while not self._manual and (end := find_cut(self._open, first=self._first)):
            segments.append(self._close(end))
        return segments

    def flush(self) -> list[Segment]:
        """The rest as a segment, even if there is nothing in it to speak."""
        segments = []
        while len(self._open) > MANUAL_LIMIT:
            segments.append(self._close(_forced_cut(self._open, MANUAL_LIMIT)))
        if self._open:
            segments.append(self._close(len(self._open)))
        return segments

    def forget(self) -> None:
        """Drop what is open. Speech starts anew with the next text."""
        self._start_char += len(self._open)
        self._open, self._first = "", True

    def _close(self, end: int) -> Segment:
        text, self._open = self._open[:end], self._open[end:]
        segment = Segment(text, self._start_char, pause_after(text, self._open))
        self._start_char += end
        self._first = False
        return segment


def find_cut(text: str, *, first: bool) -> int | None:
    """Where the first segment of `text` ends; None if that is not known yet."""
    limit = FIRST_LIMIT if first else LIMIT
    for place in _PLACE.finditer(text):
        if place.end() > limit:
            break
        match _judge(text, place, first=first):
            case None:
                return None
            case True:
                return place.start() if place["line"] else place.end()
    return _forced_cut(text, limit) if len(text) >= limit + LOOKAHEAD else None


def part_end(text: str, most_chars: int) -> int:
    """Where to cut a text that an engine would take too long for: at the end of a sentence,
    else of a clause, so that the parts are about equal; between two words if there is none."""
    if len(text) <= most_chars or not _has_words(text[most_chars:]):
        return len(text)
    even = len(text) / -(-len(text) // most_chars)
    cuts = [
        (bool(place["clause"]), abs(end - even), end)
        for place in _PLACE.finditer(text, 0, most_chars)
        if (end := place.start() if place["line"] else place.end()) > most_chars // 3
        and _judge(text, place, first=True)
    ]
    return min(cuts)[2] if cuts else _forced_cut(text, most_chars)


def pause_after(text: str, rest: str) -> int:
    """Milliseconds of silence after a segment that `rest` follows."""
    mark = text.rstrip().rstrip(_CLOSERS)[-1:]
    space = _SPACE.match(rest)
    if mark in _END_MARKS or (space and "\n" in space[0]):
        return SENTENCE_PAUSE_MS
    if mark in _CLAUSE_MARKS:
        return CLAUSE_PAUSE_MS
    return 0 if rest else TAIL_PAUSE_MS


def _judge(text: str, place: re.Match[str], *, first: bool) -> bool | None:
    """Whether a segment ends here; None while what follows has not arrived."""
    if place["line"]:
        return _has_words(text[: place.start()])
    if place.end() == len(text):
        return None
    mark = place["end"] or place["clause"]
    spaced = text[place.end()].isspace() or mark[-1] in _WIDE_ENDS + _WIDE_CLAUSES
    if not spaced or not _has_words(text[: place.end()]):
        return False
    if place["clause"]:
        return first and _weight(text[: place.end()]) >= FIRST_MIN
    return True if mark != "." else _period_ends(text, place.start("end"), place.end())


def _period_ends(text: str, dot: int, end: int) -> bool | None:
    """Whether a period ends a sentence; None while what follows has not arrived."""
    word = _word_before(text, dot).lower()
    if word in _NEVER_ENDS or _LIST_NUMBER.search(text[:dot]):
        return False
    if word not in _BEFORE_NUMBER | _MAY_END:
        return word == "i" or not _INITIALS.fullmatch(word)
    space = _SPACE.match(text, end, end + LOOKAHEAD)
    next_char = space.end() if space else end
    if next_char == end + LOOKAHEAD or "\n" in text[end:next_char]:
        return True
    if next_char == len(text):
        return None
    if word in _BEFORE_NUMBER:
        return not text[next_char].isdigit()
    return text[next_char].isupper()


def _word_before(text: str, end: int) -> str:
    found = _LAST_WORD.search(text[max(0, end - LONGEST_ABBREVIATION) : end])
    return found[0] if found else ""


def _forced_cut(text: str, limit: int) -> int:
    """A sentence goes on for too long: the best place in its first `limit` characters."""
    head = text[:limit]
    clauses = [
        place.end()
        for place in _PLACE.finditer(head)
        if place["clause"] and text[place.end()].isspace() and place.end() > limit // 3
    ]
    if clauses:
        return clauses[-1]
    space = max(head.rfind(" "), head.rfind("\t"))
    if space > 0 and _has_words(head[:space]):
        return space
    cut = limit
    while cut > 1 and unicodedata.category(text[cut]).startswith("M"):
        cut -= 1  # a letter keeps its accents
    return cut


def _has_words(text: str) -> bool:
    return any(char.isalnum() for char in text)


def _weight(text: str) -> int:
    """Length as heard: a wide character is about a syllable."""
    return sum(3 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
