"""Checks of server events against the published types, each shape of an event once.

A shape is the event with its numbers blurred. The checks cost more than all the rest of a
step, so that without this a session could not be tried often enough.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from tests import beta_wire, wire

_NUMBER = re.compile(rb"\d+")
_NEWER = re.compile(
    rb'mcp|input_image|timeout|_choice":{|strength|delay"|keywords|languages|diarize|segment'
)
_seen: set[int] = set()


def check(message: bytes) -> None:
    """Fail if a client of GA would stumble over the message."""
    _once(message, wire.check)


def check_beta(message: bytes) -> None:
    """The same for a client of the beta, unless it asked for what the beta never had."""
    if not _NEWER.search(message):
        _once(message, _beta)


def _beta(event: dict[str, Any]) -> None:
    beta_wire.check(event)
    wire.check_beta(event)


def _once(message: bytes, check: Callable[[dict[str, Any]], Any]) -> None:
    shape = hash((check, _NUMBER.sub(b"0", message)))
    if shape not in _seen:
        check(json.loads(message))
        _seen.add(shape)
