"""Says what a tool returned."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from llm_orchestrator.engine import Message, Role, ToolCall
from llm_orchestrator.engines.offline import numbers
from llm_orchestrator.engines.offline.words import parts, vocabulary

MAX_FACTS = 12
"""Facts of one result that are said; nobody listens to more."""

_VERBS = vocabulary("get fetch find lookup look up show list retrieve check search read query")
_DIGITS = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?(?![\w]*\d)")
_SYMBOLS = {"°C": " degrees celsius", "°F": " degrees fahrenheit", "%": " percent",
            "°": " degrees"}  # fmt: skip
_ERRORS = ("error", "error_message")


def answer(messages: Sequence[Message]) -> str | None:
    """Sentences about the results at the end of a conversation; None if it ends otherwise."""
    results: list[Message] = []
    for message in reversed(messages):
        if message.role is not Role.TOOL:
            break
        results.insert(0, message)
    calls = {call.call_id: call for message in messages for call in message.tool_calls}
    said = [_sentence(calls.get(result.call_id), result.text) for result in results]
    return " ".join(said) or None


def _sentence(call: ToolCall | None, output: str) -> str:
    try:
        value = json.loads(output)
    except ValueError:
        value = output.strip()
    subject = _subject(call)
    if isinstance(value, dict) and (
        failure := next((value[k] for k in _ERRORS if value.get(k)), 0)
    ):
        return _closed(f"{subject} failed: {_plain(failure)}")
    if isinstance(value, str) and " " in value.strip():
        return _closed(_spoken(value.strip()))
    facts = list(_facts(value))
    if not facts:
        return f"{subject}: done."
    shown = ", ".join(facts[:MAX_FACTS])
    more = f", and {numbers.cardinal(len(facts) - MAX_FACTS)} more" if facts[MAX_FACTS:] else ""
    return _closed(f"{subject}: {shown}{more}")


def _subject(call: ToolCall | None) -> str:
    """get_weather({"location": "paris"}) → The weather in paris."""
    if call is None:
        return "The result"
    name = [word for word in parts(call.name) if word not in _VERBS] or parts(call.name)
    try:
        given = json.loads(call.arguments_json or "{}")
    except ValueError:
        given = {}
    texts = [(k, v) for k, v in given.items() if isinstance(v, str) and 0 < len(v) <= 60] \
        if isinstance(given, dict) else []  # fmt: skip
    if not texts:
        return f"The {' '.join(name)}"
    key, value = texts[0]
    joint = "in" if key in ("location", "city", "place", "country") else "for"
    return f"The {' '.join(name)} {joint} {value}"


def _facts(value: Any, name: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _facts(inner, " ".join(parts(str(key))))
    elif isinstance(value, list):
        for inner in value:
            yield from _facts(inner, name)
    elif value is not None and value != "":
        yield f"{name} {_plain(value)}".strip()


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return _number(str(value))
    return _spoken(value if isinstance(value, str) else json.dumps(value))


def _spoken(text: str) -> str:
    """Text with its numbers in words."""
    for symbol, words in _SYMBOLS.items():
        text = text.replace(symbol, words)
    return _DIGITS.sub(lambda match: _number(match.group()), text)


def _number(digits: str) -> str:
    try:
        value = Fraction(digits.replace(",", ""))
    except ValueError:
        return digits  # inf, nan
    return numbers.decimal(value) if abs(value) < numbers.LARGEST else digits


def _closed(sentence: str) -> str:
    sentence = sentence[0].upper() + sentence[1:]
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."
