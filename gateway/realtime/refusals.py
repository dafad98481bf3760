"""What we say no to, in the words of the service we are compatible with.

Source: realtime contract §10. A refusal changes nothing in the session.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

CLIENT_ERROR = "invalid_request_error"
SERVER_ERROR = "server_error"

_MOST_SHOWN = 128  # characters of a wrong value that its error repeats


@dataclass(frozen=True, slots=True)
class Refusal:
    """The error of one client event."""

    code: str | None
    message: str
    param: str | None = None
    event_id: str | None = None  # the client's own, of the event at fault
    type: str = CLIENT_ERROR

    def of(self, event_id: str | None) -> Refusal:
        return replace(self, event_id=event_id)


class Refused(Exception):
    """Leaves a check that is deep inside; `codec` and `Session` turn it into an answer."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(refusal.message)


def refuse(code: str | None, message: str, param: str | None = None) -> Refused:
    return Refused(Refusal(code, message, param))


def unknown(param: str) -> Refused:
    param = param[:_MOST_SHOWN]
    return refuse("unknown_parameter", f"Unknown parameter: '{param}'.", param)


def missing(param: str) -> Refused:
    return refuse("missing_required_parameter", f"Missing required parameter: '{param}'.", param)


def wrong_type(param: str, expected: str, got: object) -> Refused:
    message = f"Invalid type for '{param}': expected {expected}, but got {kind(got)} instead."
    return refuse("invalid_type", message, param)


def wrong_value(param: str, got: object, supported: Sequence[str]) -> Refused:
    message = f"Invalid value: '{str(got)[:_MOST_SHOWN]}'. {_supported(supported)}"
    return refuse("invalid_value", message, param)


def not_here(param: str, what: str) -> Refused:
    """Part of the protocol that only OpenAI's own cloud can serve."""
    return refuse("invalid_value", f"{what} is not available on this server.", param)


def no_item(doing: str, verb: str, item_id: str) -> Refused:
    """
    Args:
        doing: "deleting", as the message says it.
        verb: "delete", as the code says it.
    """
    message = f"Error {doing} item: the item with id '{item_id}' does not exist."
    return refuse(f"item_{verb}_invalid_item_id", message)


def kind(value: object) -> str:
    """A JSON value's type, as the error messages name it."""
    names: dict[type[Any], str] = {
        bool: "a boolean", int: "an integer", float: "a decimal", str: "a string",
        list: "an array", dict: "an object", type(None): "null",
    }  # fmt: skip
    return names.get(type(value), "an unknown value")


def _supported(values: Sequence[str]) -> str:
    quoted = [f"'{value}'" for value in values]
    if len(quoted) == 1:
        return f"Value must be {quoted[0]}."
    if len(quoted) == 2:
        return f"Supported values are: {quoted[0]} and {quoted[1]}."
    return f"Supported values are: {', '.join(quoted[:-1])}, and {quoted[-1]}."
