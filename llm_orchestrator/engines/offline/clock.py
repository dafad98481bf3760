"""Questions about the time and the date, here and elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from llm_orchestrator.engines.offline import numbers, places
from llm_orchestrator.engines.offline.words import Utterance, vocabulary

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip

_SMALL_TALK = vocabulary(
    "what what's whats is it the a in at on of now right today tonight currently current local"
    " please tell me do you have know can could hello hi hey and there this moment exact exactly"
    " would was will be for us give got say uh um oh well so ok okay i need to want like over"
    " here out"
)
_TIME = vocabulary("time clock hour")
_DATE = vocabulary("day date month year")
_ASKING = vocabulary(
    "what what's whats tell current currently got have know now give today today's tomorrow"
    " tomorrow's yesterday yesterday's"
)
_DAYS = {"today": 0, "today's": 0, "tomorrow": 1, "tomorrow's": 1, "yesterday": -1,
         "yesterday's": -1}  # fmt: skip
_UNKNOWN_PLACE = re.compile(r"\btime (?:is it |it is |is )?(?:now )?in (?:the )?((?:\w+ ?){1,3})$")


def answer(said: Utterance, now: datetime) -> str | None:
    """The answer as a sentence; None if this is no question about time.

    Args:
        now: With a time zone: that of whoever asks about "here".
    """
    words = said.plain
    found = places.find(words)
    place, first, end = found or (None, 0, 0)
    rest = words[:first] + words[end:] if place else words
    subject = _subject(rest)
    if subject is None:
        return None
    strange = [word for word in rest if word not in _SMALL_TALK | subject | _DAYS.keys()]
    if strange:
        return _somewhere(said) if subject is _TIME and not place else None
    there = now.astimezone(ZoneInfo(place.zone)) if place else now
    where = f" in {place.name}" if place else ""
    return _time(there, where) if subject is _TIME else _date(rest, there, where)


def _subject(rest: Sequence[str]) -> frozenset[str] | None:
    """Whether the words left ask for the time or for the date."""
    asks = any(word in _ASKING for word in rest)
    for subject in (_TIME, _DATE):
        if any(word in subject for word in rest) and (asks or rest[-1] in subject):
            return subject
    return None


def _somewhere(said: Utterance) -> str | None:
    """The answer for a place that is not in the table; None if it is no question."""
    match = _UNKNOWN_PLACE.search(said.line)
    asked = match.group(1).removesuffix(" today").removesuffix(" now") if match else ""
    return f"I do not know what time it is in {asked}." if asked else None


def _time(moment: datetime, where: str) -> str:
    if moment.minute == 0 and moment.hour in (0, 12):
        return f"It is {'noon' if moment.hour else 'midnight'}{where}."
    hour = numbers.cardinal((moment.hour - 1) % 12 + 1)
    if moment.minute == 0:
        return f"It is {hour} o'clock {_part_of_day(moment.hour)}{where}."
    minute = ("oh " if moment.minute < 10 else "") + numbers.cardinal(moment.minute)
    return f"It is {hour} {minute} {_part_of_day(moment.hour)}{where}."


def _part_of_day(hour: int) -> str:
    for until, part in ((1, "at night"), (12, "in the morning"), (18, "in the afternoon")):
        if hour < until:
            return part
    return "in the evening" if hour < 21 else "at night"


def _date(rest: Sequence[str], there: datetime, where: str) -> str:
    shift = next((_DAYS[word] for word in rest if word in _DAYS), 0)
    day = there + timedelta(days=shift)
    if "month" in rest:
        return f"It is {_MONTHS[day.month - 1]}{where}."
    if "year" in rest:
        return f"It is {numbers.year(day.year)}{where}."
    subject = {0: "Today is", 1: "Tomorrow is", -1: "Yesterday was"}[shift]
    weekday, month = _WEEKDAYS[day.weekday()], _MONTHS[day.month - 1]
    ordinal, year = numbers.ordinal(day.day), numbers.year(day.year)
    return f"{subject} {weekday}, the {ordinal} of {month}, {year}{where}."
