"""What a Python function tells of itself: a description and a JSON Schema of its arguments.

Only types that JSON has are translated, so that a function gets what its hints say: text,
numbers, true and false, None, lists, dictionaries with text as keys, Literal, unions of these,
and Annotated with a text that describes the argument. Anything else is refused at start rather
than guessed: such a function brings its own `parameters`.
"""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
_LISTS = (list, tuple, Sequence)
_DICTS = (dict, Mapping)
_SECTION = re.compile(
    r"^(Args|Arguments|Returns|Raises|Yields|Examples?|Notes?):\s*$", re.MULTILINE
)
_ARGUMENT = re.compile(r"^(\s+)\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)$")
_PARAM = re.compile(r"^:param(?:\s+\w+)?\s+(\w+):\s*(.*)$", re.MULTILINE)
_FIELD = re.compile(r"^:\w+", re.MULTILINE)

Schema = dict[str, Any]


class NoSchema(Exception):
    """The message says which argument has none, and what to do."""


def description(function: Callable[..., Any]) -> str:
    """Its docstring, up to the sections about arguments and results."""
    text = inspect.getdoc(function) or ""
    for end in (_SECTION, _FIELD):
        text = end.split(text, maxsplit=1)[0]
    return text.strip()


def parameters(function: Callable[..., Any]) -> Schema:
    """
    Raises:
        NoSchema: its arguments cannot be told in JSON.
    """
    hints = _hints(function)
    told = _arguments_of(inspect.getdoc(function) or "")
    schema: Schema = {"type": "object", "properties": {}, "additionalProperties": False}
    required = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            schema["additionalProperties"] = True
            continue
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
            raise NoSchema(f"its argument {name!r} cannot be given by name")
        schema["properties"][name] = _argument(name, parameter, hints.get(name, Any), told)
        if parameter.default is parameter.empty:
            required.append(name)
    return schema | ({"required": required} if required else {})


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    target = function if inspect.isroutine(function) else type(function).__call__
    try:
        return get_type_hints(target, include_extras=True)
    except Exception as error:  # a hint is any expression
        raise NoSchema(f"its type hints cannot be read ({error}); give it `parameters`") from error


def _argument(
    name: str, parameter: inspect.Parameter, hint: Any, told: Mapping[str, str]
) -> Schema:
    try:
        schema = _of(hint)
    except NoSchema as error:
        raise NoSchema(
            f"its argument {name!r} has a type that JSON has not ({error}); give it `parameters`"
        ) from error
    if name in told:
        schema.setdefault("description", told[name])
    default = parameter.default
    if default is not parameter.empty and default is not None and _is_json(default):
        schema["default"] = default
    return schema


def _of(hint: Any) -> Schema:
    """
    Raises:
        NoSchema: with the hint.
    """
    if hint is Any:
        return {}
    origin, inner = get_origin(hint) or hint, get_args(hint)
    if origin is Annotated:
        notes = [note for note in inner[1:] if isinstance(note, str)]
        return _of(inner[0]) | ({"description": notes[0]} if notes else {})
    if origin in _PLAIN:
        return {"type": _PLAIN[origin]}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_of(choice) for choice in inner]}
    if origin is Literal and all(type(choice) in _PLAIN for choice in inner):
        return {"enum": list(inner)}
    return _container(hint, origin, inner)


def _container(hint: Any, origin: Any, inner: tuple[Any, ...]) -> Schema:
    if origin in _LISTS:
        if origin is tuple and (len(inner) != 2 or inner[1] is not Ellipsis):
            raise NoSchema(str(hint))
        return {"type": "array", "items": _of(inner[0]) if inner else {}}
    if origin in _DICTS and (not inner or inner[0] is str):
        return {"type": "object", "additionalProperties": _of(inner[1]) if inner else True}
    raise NoSchema(str(hint))


def _arguments_of(doc: str) -> dict[str, str]:
    """What a docstring says of each argument, in Google's style or Sphinx's."""
    told = {name: text.strip() for name, text in _PARAM.findall(doc)}
    sections = _SECTION.split(doc)
    for title, body in zip(sections[1::2], sections[2::2], strict=False):
        if title in ("Args", "Arguments"):
            told |= _google(body)
    return told


def _google(body: str) -> dict[str, str]:
    told: dict[str, str] = {}
    last, indent = "", ""
    for line in body.splitlines():
        found = _ARGUMENT.match(line)
        if found and (not indent or found[1] == indent):
            indent, last = found[1], found[2]
            told[last] = found[3].strip()
        elif last and line.strip():
            told[last] = f"{told[last]} {line.strip()}".strip()
    return told


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
