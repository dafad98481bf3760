"""Fills a tool's parameters from the words of an utterance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from llm_orchestrator.engine import Tool
from llm_orchestrator.engines.offline import matching, numbers, schema
from llm_orchestrator.engines.offline.phrases import FAR, Uttered
from llm_orchestrator.engines.offline.schema import Param
from llm_orchestrator.engines.offline.words import Utterance, parts, stems, vocabulary

_PLACE = stems(vocabulary("location city place country town address area region where"))
_TO = stems(vocabulary("destination to arrival target"))
_FROM = stems(vocabulary("origin from source departure start"))
_TIME = stems(vocabulary("date day time when datetime deadline due"))
_PERSON = stems(vocabulary("person contact recipient who whom guest customer"))
_MESSAGE = stems(vocabulary("message text content body note task reminder"))

_YES = vocabulary("on yes true enable enabled activate with start")
_NO = vocabulary("off no not don't false disable disabled deactivate without never stop")

_UNITS_S = {"second": 1, "minut": 60, "hour": 3600, "day": 86_400, "week": 604_800}
"""Stems of units of time, in seconds."""

_ORDER = ("enum", "boolean", "integer", "number", "time", "string", "array", "object")
"""The choosiest take their words first."""


@dataclass(frozen=True, slots=True)
class Filled:
    """Arguments by name, and the required parameters that none was found for."""

    arguments: dict[str, Any]
    missing: tuple[Param, ...]


def fill(said: Utterance, tool: Tool, *, plainly: bool = False) -> Filled:
    """
    Args:
        plainly: Do not take words that are only left over for an argument.
    """
    wanted = schema.params(tool)
    found = _found(Uttered(said, matching.subject(tool), leftovers=not plainly), wanted)
    missing = tuple(param for param in wanted if param.required and param.name not in found)
    return Filled(_ordered(found, wanted), missing)


def demanded(said: Utterance, tool: Tool) -> dict[str, Any]:
    """Arguments for a call that has to be made: what is missing is guessed by its type."""
    filled = fill(said, tool)
    guessed = {param.name: _guess(said, param) for param in filled.missing}
    return _ordered(filled.arguments | guessed, schema.params(tool))


def _ordered(found: dict[str, Any], wanted: Sequence[Param]) -> dict[str, Any]:
    return {param.name: found[param.name] for param in wanted if param.name in found}


def _found(uttered: Uttered, wanted: Sequence[Param]) -> dict[str, Any]:
    found = {}
    for param in sorted(wanted, key=lambda param: (_rank(param), not param.required)):
        value = _value(uttered, param)
        if value is not None:
            found[param.name] = value
    return found


def _rank(param: Param) -> int:
    if param.values:
        return 0
    if param.kind == "string" and param.stems & _TIME:
        return _ORDER.index("time")
    return _ORDER.index(param.kind) if param.kind in _ORDER else len(_ORDER)


def _value(uttered: Uttered, param: Param) -> Any:
    if param.values:
        return _listed(uttered, param)
    match param.kind:
        case "boolean":
            return _truth(uttered, param)
        case "integer" | "number":
            return _number(uttered, param)
        case "array":
            return _several(uttered, param)
        case "object":
            return _found(uttered, param.fields) or None
        case _:
            return _text(uttered, param)


def _listed(uttered: Uttered, param: Param) -> Any:
    """The listed value that was said; one that leaves no choice needs not be."""
    if len(param.values) == 1 and param.required:
        return param.values[0]
    for value in param.values:
        if value is not None and uttered.spoken(" ".join(parts(str(value)))):
            return value
    return None


def _truth(uttered: Uttered, param: Param) -> bool | None:
    if not param.required and not uttered.mentions(param.stems):
        return None
    if uttered.heard(_NO):
        return False
    return True if uttered.heard(_YES) or uttered.mentions(param.stems) else None


def _number(uttered: Uttered, param: Param) -> int | float | None:
    free = uttered.free_numbers()
    if not free:
        return None

    def distance(at: tuple[int, numbers.Found]) -> int:
        return uttered.distance(at[0], at[1].end, param.stems)

    start, number = min(free, key=distance)
    if distance((start, number)) == FAR and not param.required:
        return None
    uttered.take(start, number.end)
    return _plain(number.value * _scale(uttered.following(number.end), param), param.kind)


def _scale(unit: str, param: Param) -> Fraction:
    """What turns a number with this unit into the parameter's own: minutes into seconds."""
    own = next((u for u in _UNITS_S if u in param.stems), None) or next(
        (u for u in _UNITS_S if u in param.hints), None
    )
    return Fraction(_UNITS_S[unit], _UNITS_S[own]) if unit in _UNITS_S and own else Fraction(1)


def _plain(value: Fraction, kind: str) -> int | float:
    return round(value) if kind == "integer" or value.denominator == 1 else float(value)


def _several(uttered: Uttered, param: Param) -> list[Any] | None:
    item = param.items
    if item is None or item.kind in ("array", "object"):
        return None
    if item.kind in ("integer", "number"):
        taken = [(uttered.take(i, n.end), n.value) for i, n in uttered.free_numbers()]
        return [_plain(value, item.kind) for _, value in taken] or None
    if item.values:
        one_each = [Param(item.name, item.kind, False, values=(v,)) for v in item.values]
        return [v for one in one_each if (v := _listed(uttered, one)) is not None] or None
    found = []
    while (text := _text(uttered, item)) is not None:
        found.append(text)
    return found or None


def _text(uttered: Uttered, param: Param) -> str | None:
    about = param.stems
    if about & _TIME:
        return uttered.time()
    if about & _FROM:
        return uttered.after("from")
    if about & _TO:
        return uttered.after("to", "for", "into") or (uttered.place() if param.required else None)
    if about & _PLACE or (not about & _MESSAGE and param.hints & _PLACE):
        found = uttered.place() or uttered.after("in", "at", "near", "around", "for", "of", "to")
        return found or (uttered.rest() if param.required else None)
    return _words(uttered, param)


def _words(uttered: Uttered, param: Param) -> str | None:
    """A string that is no place and no time."""
    if quoted := uttered.quoted():
        return quoted
    named = uttered.after(*parts(param.name), "named", "called", "titled")
    if named or not param.required:
        return named
    if param.stems & _MESSAGE:
        said = uttered.after("saying", "says", "that", to_the_end=True)
        return said or uttered.after("to", "about") or uttered.rest()
    if param.stems & _PERSON:
        return uttered.after("to", "with", "for") or uttered.rest()
    return uttered.after("about", "for", "of", "on") or uttered.rest() or uttered.after("to", "in")


def _guess(said: Utterance, param: Param) -> Any:
    if param.values:
        return param.values[0]
    match param.kind:
        case "boolean":
            return True
        case "integer" | "number":
            found = numbers.every(said.plain)
            return _plain(found[0][1].value, param.kind) if found else 0
        case "array":
            return []
        case "object":
            return {field.name: _guess(said, field) for field in param.fields if field.required}
        case _:
            return said.text
