"""Checks of what a client sends: small functions that say exactly what is wrong, where.

    CHECK = obj({"name": string(max_length=64)}, {"speed": number(0.25, 1.5)})
    value = CHECK(value, "session.audio")     # the value, or Refused

A check returns the value as we keep it. `path` is how the error names the place.
Why not the library that decodes the JSON: its errors do not carry the codes, the
wording and the paths that clients compare with.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from .refusals import Refused, missing, refuse, unknown, wrong_type, wrong_value

Check = Callable[[Any, str], Any]

MAX_JSON = 32 << 10
MAX_DEPTH = 64


def at(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def obj(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """An object with these keys and no others."""
    known = {**required, **(optional or {})}

    def check(value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong_type(path, "an object", value)
        for key in required:
            if key not in value:
                raise missing(at(path, key))
        for key in value:
            if key not in known:
                raise unknown(at(path, key))
        return {key: known[key](part, at(path, key)) for key, part in value.items()}

    return check


def by_type(kinds: Mapping[str, Check], key: str = "type") -> Check:
    """An object whose `key` says which of `kinds` it is."""

    def check(value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            raise wrong_type(path, "an object", value)
        if key not in value:
            raise missing(at(path, key))
        kind = one_of(*kinds)(value[key], at(path, key))
        return kinds[kind](value, path)

    return check


def nullable(inner: Check) -> Check:
    return lambda value, path: None if value is None else inner(value, path)


def array(inner: Check, max_length: int = 128) -> Check:
    def check(value: Any, path: str) -> list[Any]:
        if not isinstance(value, list):
            raise wrong_type(path, "an array", value)
        if len(value) > max_length:
            raise refuse(
                "array_above_max_length",
                f"Invalid '{path}': array too long. Expected an array with maximum length "
                f"{max_length}, but got an array with length {len(value)} instead.",
                path,
            )
        return [inner(part, f"{path}[{n}]") for n, part in enumerate(value)]

    return check


def string(max_length: int | None = None, pattern: str | None = None) -> Check:
    shape = re.compile(pattern) if pattern else None

    def check(value: Any, path: str) -> str:
        if not isinstance(value, str):
            raise wrong_type(path, "a string", value)
        if max_length is not None and len(value) > max_length:
            raise refuse(
                "string_above_max_length",
                f"Invalid '{path}': string too long. Expected a string with maximum length "
                f"{max_length}, but got a string with length {len(value)} instead.",
                path,
            )
        if shape and not shape.fullmatch(value):
            message = f"Invalid '{path}': string does not match pattern '^{pattern}$'."
            raise refuse("invalid_value", message, path)
        return value

    return check


def boolean(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise wrong_type(path, "a boolean", value)
    return value


def integer(least: int | None = None, most: int | None = None) -> Check:
    def check(value: Any, path: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(path, "an integer", value)
        _bounded(value, path, "integer", (least, most))
        return value

    return check


def number(least: float | None = None, most: float | None = None) -> Check:
    def check(value: Any, path: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong_type(path, "a decimal", value)
        _bounded(value, path, "decimal", (least, most))
        return float(value)

    return check


def one_of(*values: str) -> Check:
    def check(value: Any, path: str) -> str:
        if not isinstance(value, str):
            raise wrong_type(path, "a string", value)
        if value not in values:
            raise wrong_value(path, value, values)
        return value

    return check


def either(*options: tuple[type, Check]) -> Check:
    """The first option whose JSON type the value has."""

    def check(value: Any, path: str) -> Any:
        for type_, inner in options:
            if isinstance(value, type_):
                return inner(value, path)
        return options[0][1](value, path)  # says what it expected

    return check


def refused(refusal: Callable[[str], Refused]) -> Check:
    """Any value is refused."""

    def check(value: Any, path: str) -> Any:
        raise refusal(path)

    return check


def anything(value: Any, path: str) -> Any:
    return value


def json_object(value: Any, path: str) -> dict[str, Any]:
    """An object whose inside is not ours to judge, up to MAX_JSON bytes."""
    if not isinstance(value, dict):
        raise wrong_type(path, "an object", value)
    if _is_deeper(value, MAX_DEPTH):
        message = f"Invalid '{path}': nested too deeply. Expected at most {MAX_DEPTH} levels."
        raise refuse("object_above_max_depth", message, path)
    if len(msgspec.json.encode(value)) > MAX_JSON:
        message = f"Invalid '{path}': object too large. Expected at most {MAX_JSON} bytes of JSON."
        raise refuse("object_above_max_size", message, path)
    return value


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    parts = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(part, levels - 1) for part in parts)


def no_longer_than(max_chars: int, inner: Check) -> Check:
    """What `inner` takes, if its JSON is not longer: it is echoed as one event."""

    def check(value: Any, path: str) -> Any:
        checked = inner(value, path)
        if len(msgspec.json.encode(value)) > max_chars:
            message = f"Invalid '{path}': too long. Expected at most {max_chars} bytes of JSON."
            raise refuse("value_above_max_size", message, path)
        return checked

    return check


def mapping(inner: Check, *, max_pairs: int, max_key: int) -> Check:
    """An object whose keys are free."""

    def check(value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong_type(path, "an object", value)
        if len(value) > max_pairs:
            message = f"Invalid '{path}': too many properties. Expected at most {max_pairs}."
            raise refuse("object_above_max_properties", message, path)
        for key in value:
            string(max_key)(key, path)
        return {key: inner(part, at(path, key)) for key, part in value.items()}

    return check


def text_map(max_pairs: int, max_key: int, max_value: int) -> Check:
    """An object of strings, such as `metadata`."""
    return mapping(string(max_value), max_pairs=max_pairs, max_key=max_key)


def _bounded(value: float, path: str, noun: str, bounds: Sequence[float | None]) -> None:
    least, most = bounds
    if least is not None and value < least:
        raise refuse(
            f"{noun}_below_min_value",
            f"Invalid '{path}': {noun} below minimum value. "
            f"Expected a value >= {least}, but got {value} instead.",
            path,
        )
    if most is not None and value > most:
        raise refuse(
            f"{noun}_above_max_value",
            f"Invalid '{path}': {noun} above maximum value. "
            f"Expected a value <= {most}, but got {value} instead.",
            path,
        )
