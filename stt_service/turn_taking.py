"""How long a pause may last before it is the end of a turn. Pure: text and times, no clock.

    wait = wait_ms("what is the weather in", Eagerness.MEDIUM)

People do not end their turns by falling silent; they fall silent in the middle of a
sentence and look for a word. So the pause is judged by what was said before it:

* a sentence that can stand ends soon: a question, a request, an answer, a farewell;
* one that cannot waits as long as the eagerness allows: it ends in an article, a
  conjunction, a preposition, an auxiliary, a filler, a question word, or in a number that
  is being told digit by digit;
* of anything else one cannot tell. It waits for something in between, and longer for a
  speaker who has paused for longer in this turn and gone on.

The word lists are English. They apply where the language is English or not known. Any
other language goes by the punctuation that the engine writes, and waits for the time in
between if it writes none. What it cannot do: it knows no grammar and no tone of voice, and
an engine that mishears the last word misleads it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum


class Eagerness(Enum):
    """How soon a pause is taken for the end."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Ending(Enum):
    """What the words before a pause sound like."""

    FINISHED = "finished"
    UNCLEAR = "unclear"
    UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True)
class Waits:
    """Lengths of pauses in milliseconds."""

    finished: int
    unclear: int
    unfinished: int


WAITS = {
    Eagerness.LOW: Waits(500, 1500, 8000),
    Eagerness.MEDIUM: Waits(400, 1000, 4000),
    Eagerness.HIGH: Waits(300, 600, 2000),
}
SLOWER = 1.25  # times the longest pause that this speaker has made in this turn


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FILLERS = _words("um uh uhm erm er hmm hm mhm ah eh")
_OPEN_TAILS = _FILLERS | _words(
    """a an the my your his its our their this these those every each some any
    and or but nor because cause if unless until while whereas although though than as whether
    of from with without into onto upon between among during about against toward towards per
    via except despite to at by for like so then plus also not very really quite too just only
    am is are was were be been being isn't aren't wasn't weren't
    do does did don't doesn't didn't have has had having can can't could couldn't will won't
    would wouldn't shall should shouldn't may might must gonna wanna gotta
    i'm you're he's she's we're they're i'll you'll he'll she'll we'll they'll
    i'd you'd he'd she'd we'd they'd i've you've we've they've there's let's
    want wants need needs wanted needed
    what who whose whom which where when why how what's who's where's how's when's"""
)
_STRANDED = _words(  # may end a question ("who is it for") and a phrasal verb ("turn it on")
    "to at by for from with about into of like than in on off out up down over through"
)
_PARTICLES = _words("in on off out up down over through")
_PRONOUNS = _words("i you he she it we they that this there")
_AUXILIARIES = _words(
    """am is are was were do does did have has had can could will would shall should may might
    must isn't aren't don't doesn't didn't can't couldn't won't wouldn't"""
)
_WH = _words("what who whose which where when why how what's who's where's how's")
_REQUESTS = _words(
    """set turn play stop pause call open close show tell remind send read find search book add
    start cancel switch put make give let bring order check lock unlock skip wake"""
)
_GIVING = _words("give tell show send bring let get make buy ask")
_OBJECTS = _words("me him her us them you")
_ANSWERS = _words(
    """yes yeah yep no nope okay ok sure right correct exactly hello hi hey bye goodbye thanks
    please stop cancel continue repeat nothing never always maybe help done"""
)
_CLOSINGS = (
    "thank you", "thanks", "please", "good morning", "good afternoon", "good evening",
    "good night", "goodbye", "bye", "i think so", "i hope so", "i don't think so", "that's all",
    "that is all", "that's it", "and so on", "i am", "me too", "of course", "never mind", "i do",
)  # fmt: skip
_DIGITS = _words("zero oh one two three four five six seven eight nine")
_NUMBERS = _words("phone number code pin digits account card")
_WHOLE_RUNS = frozenset((7, 10, 11, 12, 16))  # digits of numbers that people tell
_CUT_RUNS = frozenset((1, 2, 3, 5, 8, 9))
_ENDS, _GOES_ON = tuple(".!?。！？।؟"), ("...", *"…,;:、，；：-–—")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def wait_ms(
    text: str, eagerness: Eagerness, *, language: str = "", longest_pause_ms: int = 0
) -> int:
    """How long the pause behind a text may last.

    Args:
        text: What has been said in this turn, as far as one can tell.
        language: BCP-47 tag; empty if it is not known.
        longest_pause_ms: The longest pause of this turn after which the speaker went on.

    Returns:
        Milliseconds from the start of the pause: at least `finished` and at most
        `unfinished` of the eagerness.
    """
    waits = WAITS[eagerness]
    match ending_of(text, language):
        case Ending.FINISHED:
            return waits.finished
        case Ending.UNFINISHED:
            return waits.unfinished
        case Ending.UNCLEAR:
            slow_ms = int(longest_pause_ms * SLOWER)
            return min(max(waits.unclear, slow_ms), waits.unfinished)


def ending_of(text: str, language: str = "") -> Ending:
    """What the end of a text sounds like."""
    text = text.strip().lower().replace("’", "'")
    written = _punctuated(text)
    if language.partition("-")[0].lower() not in ("", "en"):
        return written or Ending.UNCLEAR
    words = _WORD.findall(text)
    if not words or text.endswith("?") or written is Ending.UNFINISHED:
        return written or Ending.UNCLEAR
    return _spoken(words) or _sentence(words) or written or Ending.UNCLEAR


def _punctuated(text: str) -> Ending | None:
    """What the punctuation says, if there is any."""
    if text.endswith(_GOES_ON):
        return Ending.UNFINISHED
    return Ending.FINISHED if text.endswith(_ENDS) else None


def _spoken(words: list[str]) -> Ending | None:
    """What the last words say, if they say something."""
    if _closes(words):
        return Ending.FINISHED
    if words[-1] in _DIGITS or words[-1].isdigit():
        return _number(words)
    if _wants_more(words):
        return Ending.UNFINISHED
    if words[-1] in _OPEN_TAILS | _STRANDED:
        return _tail(words)
    return None


def _closes(words: list[str]) -> bool:
    said = " ".join(words)
    alone = len(words) == 1 and words[0] in _ANSWERS
    return alone or any(said == end or said.endswith(f" {end}") for end in _CLOSINGS)


def _wants_more(words: list[str]) -> bool:
    """Whether it ends where an object or a verb must follow: "give me", "can you"."""
    if len(words) < 2:
        return words == ["well"]
    before, last = words[-2:]
    if before in _GIVING and last in _OBJECTS:
        return True
    opens = len(words) == 2 or words[-3] in _FILLERS | {"and", "so", "but", "well", "please"}
    return opens and before in _AUXILIARIES and last in _PRONOUNS | _OBJECTS


def _tail(words: list[str]) -> Ending | None:
    """A last word after which something must follow, but for some sentences."""
    last, asks = words[-1], words[0] in _WH and len(words) > 2
    if last in _AUXILIARIES and words[-2:-1] and words[-2] in _PRONOUNS:
        return Ending.UNCLEAR  # "I know what it is", "yes I can"
    if asks and last in _STRANDED - _PARTICLES:
        return Ending.UNCLEAR  # "who is it for"
    if last in _PARTICLES and words[0] in _REQUESTS:
        return None  # "turn it off"
    return Ending.UNFINISHED


def _number(words: list[str]) -> Ending | None:
    """A number that is being told digit by digit; None for one that is not."""
    n_digits = 0
    for word in reversed(words):
        if word not in _DIGITS and not word.isdigit():
            break
        n_digits += len(word) if word.isdigit() else 1
    if n_digits < 2 and not _NUMBERS & set(words):
        return None  # "at five", "chapter two"
    if n_digits in _CUT_RUNS:
        return Ending.UNFINISHED
    return Ending.FINISHED if n_digits in _WHOLE_RUNS else Ending.UNCLEAR


def _sentence(words: list[str]) -> Ending | None:
    """Whether they are a whole question or request."""
    while words and words[0] in _FILLERS | {"and", "so", "okay", "please", "well", "hey"}:
        words = words[1:]
    first = words[0] if words else ""
    if first in _WH | _AUXILIARIES | _REQUESTS and len(words) >= 3:
        return Ending.FINISHED
    return None
