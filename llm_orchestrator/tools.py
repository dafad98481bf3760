"""Tools that this tier runs itself: Python functions that installed packages bring.

A package names them in the entry-point group `ovos_voice_mesh.tools`; the operator enables them
by name. A tool is anything that can be called with its arguments by name. It may have a
`description` and `parameters` (a JSON Schema) as attributes; else its docstring and its type
hints say both (see `tool_schema`).

Why by name: a package may be installed for one of its tools, and what a model may run is for
the operator to say.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from llm_orchestrator import tool_schema
from llm_orchestrator.engine import Tool
from mesh.errors import NotInstalled

GROUP = "ovos_voice_mesh.tools"
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")

Function = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class ServerTool:
    offer: Tool
    """As a model is told of it."""

    call: Function
    is_async: bool


def installed() -> Sequence[EntryPoint]:
    return tuple(entry_points(group=GROUP))


def load(names: Iterable[str], found: Collection[EntryPoint] | None = None) -> list[ServerTool]:
    """The tools of these names.

    Args:
        found: All there are; None looks for them.

    Raises:
        NotInstalled: one is not there, or cannot be used; the message says why.
    """
    wanted = list(dict.fromkeys(names))
    found = installed() if found is None and wanted else found or ()
    return [_loaded(name, found) for name in wanted]


def _loaded(name: str, found: Collection[EntryPoint]) -> ServerTool:
    entries = {entry.value: entry for entry in found if entry.name == name}
    if not entries:
        there = ", ".join(sorted({entry.name for entry in found})) or "none"
        raise NotInstalled(f"LLM_TOOLS: no tool {name!r} is installed; there are: {there}")
    if len(entries) > 1:
        raise NotInstalled(f"LLM_TOOLS: two packages have a tool {name!r}: {', '.join(entries)}")
    [entry] = entries.values()
    try:
        return tool_of(name, entry.load())
    except Exception as error:  # it runs code of others
        reason = f"{type(error).__name__}: {error}"
        raise NotInstalled(f"LLM_TOOLS: {name!r} cannot be used: {reason}") from error


def tool_of(name: str, given: Any) -> ServerTool:
    """
    Args:
        given: A function, an object that can be called, or a class of such that needs no
            arguments.

    Raises:
        NoSchema: its arguments cannot be told in JSON.
        TypeError: it is no tool.
    """
    if not TOOL_NAME.fullmatch(name):
        raise TypeError("a tool's name is 1 to 64 of a-z A-Z 0-9 _ -")
    if isinstance(given, type):
        given = given()
    if not callable(given):
        raise TypeError("it cannot be called")
    described = getattr(given, "description", None) or tool_schema.description(given)
    schema = getattr(given, "parameters", None)
    if schema is None:
        schema = tool_schema.parameters(given)
    if not isinstance(schema, dict) or not isinstance(described, str):
        raise TypeError("its `parameters` are no dictionary, or its `description` is no text")
    offer = Tool(name, described, json.dumps(schema, ensure_ascii=False))
    is_async = inspect.iscoroutinefunction(given) or inspect.iscoroutinefunction(
        getattr(type(given), "__call__", None)  # noqa: B004 - whether that is async is asked
    )
    return ServerTool(offer, given, is_async)
