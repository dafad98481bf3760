"""Numbers as they are said: written out for speech, and read from words or digits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

LARGEST = 10**15
"""Numbers of this size or more are not said in words."""

DECIMALS = 4
"""Digits said after the point."""


def _list(line: str) -> list[str]:
    return line.split()


_SMALL = _list(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
    " fifteen sixteen seventeen eighteen nineteen"
)
_TENS = _list("twenty thirty forty fifty sixty seventy eighty ninety")
_SCALES = {"trillion": 10**12, "billion": 10**9, "million": 10**6, "thousand": 1000}
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth",
    "nine": "ninth", "twelve": "twelfth",
}  # fmt: skip

_UNIT_VALUES = {word: value for value, word in enumerate(_SMALL)}
_TEN_VALUES = {word: 20 + 10 * i for i, word in enumerate(_TENS)} | {"fourty": 40}
_DIGITS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?")


def cardinal(number: int) -> str:
    """42 → forty two. For numbers smaller than LARGEST."""
    if number < 0:
        return f"minus {cardinal(-number)}"
    for word, scale in _SCALES.items():
        if number >= scale:
            head, rest = divmod(number, scale)
            return f"{cardinal(head)} {word}" + (f" {cardinal(rest)}" if rest else "")
    if number >= 100:
        head, rest = divmod(number, 100)
        return f"{_SMALL[head]} hundred" + (f" {cardinal(rest)}" if rest else "")
    if number >= 20:
        head, rest = divmod(number, 10)
        return _TENS[head - 2] + (f" {_SMALL[rest]}" if rest else "")
    return _SMALL[number]


def decimal(number: Fraction) -> str:
    """Any number smaller than LARGEST, to DECIMALS places: minus three point one four."""
    scaled = round(abs(number) * 10**DECIMALS)
    whole, rest = divmod(scaled, 10**DECIMALS)
    words = cardinal(whole)
    if rest:
        digits = str(rest).rjust(DECIMALS, "0").rstrip("0")
        words += " point " + " ".join(_SMALL[int(digit)] for digit in digits)
    return f"minus {words}" if number < 0 and scaled else words


def ordinal(number: int) -> str:
    """23 → twenty third."""
    *head, last = cardinal(number).split()
    if last in _ORDINALS:
        last = _ORDINALS[last]
    else:
        last = last[:-1] + "ieth" if last.endswith("y") else last + "th"
    return " ".join([*head, last])


def year(number: int) -> str:
    """2026 → twenty twenty six; 2009 → two thousand nine; 1905 → nineteen oh five."""
    century, rest = divmod(number, 100)
    if not 1000 <= number <= 9999 or (century % 10 == 0 and rest < 10):
        return cardinal(number)
    if rest == 0:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"


@dataclass(frozen=True, slots=True)
class Found:
    """A number in a sentence: its value, and the index after its last word."""

    value: Fraction
    end: int


def at(words: Sequence[str], start: int) -> Found | None:
    """The number that begins at word `start`, in digits or words; the longest one."""
    if start >= len(words):
        return None
    if _DIGITS.fullmatch(words[start]):
        return _scaled(Fraction(words[start].replace(",", "")), words, start + 1)
    found = _whole(words, start)
    return _fraction(words, found) if found else None


def every(words: Sequence[str]) -> list[tuple[int, Found]]:
    """All numbers of a sentence, each with the index of its first word."""
    result: list[tuple[int, Found]] = []
    i = 0
    while i < len(words):
        if found := at(words, i):
            result.append((i, found))
            i = found.end
        else:
            i += 1
    return result


def _scaled(value: Fraction, words: Sequence[str], i: int) -> Found:
    """3.5 million."""
    while i < len(words) and words[i] in (*_SCALES, "hundred"):
        value *= _SCALES.get(words[i], 100)
        i += 1
    return Found(value, i)


def _whole(words: Sequence[str], start: int) -> Found | None:
    """A whole number in words: two hundred and five thousand (and) twelve."""
    total, limit, i = 0, LARGEST, start
    while group := _below_thousand(words, i):
        scale = _SCALES.get(words[group.end], 1) if group.end < len(words) else 1
        if scale >= limit:
            break  # "two thousand three thousand" are two numbers
        total, limit = total + int(group.value) * scale, scale
        i = group.end + (scale > 1)
        if scale == 1:
            break
        if _continues(words, i):
            i += 1
    else:
        i -= i > start and words[i - 1] == "and"
    return Found(Fraction(total), i) if i > start else None


def _continues(words: Sequence[str], i: int) -> bool:
    """Whether the "and" at `i` belongs to the number."""
    return i < len(words) and words[i] == "and" and _below_hundred(words, i + 1) is not None


def _below_thousand(words: Sequence[str], i: int) -> Found | None:
    if i < len(words) and words[i] == "a" and words[i + 1 : i + 2] in (
        ["hundred"], ["thousand"], ["million"], ["billion"]
    ):  # fmt: skip
        head = Found(Fraction(1), i + 1)
    elif not (below := _below_hundred(words, i)):
        return None
    else:
        head = below
    if head.end >= len(words) or words[head.end] != "hundred" or head.value >= 100:
        return head
    hundreds, end = head.value * 100, head.end + 1
    rest = _below_hundred(words, end + 1 if _continues(words, end) else end)
    return Found(hundreds + rest.value, rest.end) if rest else Found(hundreds, end)


def _below_hundred(words: Sequence[str], i: int) -> Found | None:
    if i >= len(words):
        return None
    if (ten := _TEN_VALUES.get(words[i])) is not None:
        unit = _UNIT_VALUES.get(words[i + 1], 0) if i + 1 < len(words) else 0
        return Found(Fraction(ten + unit), i + 2) if 0 < unit < 10 else Found(Fraction(ten), i + 1)
    value = _UNIT_VALUES.get(words[i])
    return None if value is None else Found(Fraction(value), i + 1)


def _fraction(words: Sequence[str], whole: Found) -> Found:
    """The digits after "point", one by one."""
    digits, i = "", whole.end + 1
    if whole.end < len(words) and words[whole.end] == "point":
        while i < len(words) and (value := _UNIT_VALUES.get(words[i], 10)) < 10:
            digits, i = digits + str(value), i + 1
    if not digits:
        return whole
    return Found(whole.value + Fraction(int(digits), 10 ** len(digits)), i)
