"""Which tools of MCP servers the model gets, and under which names.

Source: realtime contract §4.5 and §6.8, and OpenAI's guide to MCP. A filter object matches
a tool that meets all of it: `tool_names` lists its name, `read_only` is what the server's
`readOnlyHint` says. Where `always` and `never` disagree about approval, or neither says
anything, it is needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from .settings import McpTool, Settings, Tool

MAX_NAME = 64  # characters; what models take
MOST_OFFERED = 128  # tools of one response; what models take
MAX_OFFERED = 512 << 10  # bytes of them, as JSON

Listed = tuple[dict[str, Any], ...]
"""A server's tools, as they stand on the wire."""

_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")


@dataclass(frozen=True, slots=True)
class Bound:
    """A tool of a server."""

    server: McpTool
    name: str  # there

    needs_approval: bool


@dataclass(frozen=True, slots=True)
class Offer:
    """What one response can call."""

    tools: tuple[Tool, ...] = ()
    choice: str | dict[str, str] = "auto"
    bound: Mapping[str, Bound] = field(default_factory=dict)
    """By the name that the model knows; what is not here is a function of the client."""
    notes: str = ""
    """What the model must know of the servers."""


def allowed(server: McpTool, tools: Listed) -> Listed:
    """Those that the client lets the model have."""
    match server.allowed_tools:
        case None:
            return tools
        case list() as names:
            return tuple(tool for tool in tools if tool["name"] in names)
        case filter_:
            return tuple(tool for tool in tools if _matches(filter_, tool))


def needs_approval(server: McpTool, tool: Mapping[str, Any]) -> bool:
    wanted = server.require_approval
    if not isinstance(wanted, dict):
        return wanted != "never"
    always, never = wanted.get("always"), wanted.get("never")
    if always and _matches(always, tool):
        return True
    return not (never and _matches(never, tool))


def _matches(filter_: Mapping[str, Any], tool: Mapping[str, Any]) -> bool:
    names, read_only = filter_.get("tool_names"), filter_.get("read_only")
    if names is not None and tool["name"] not in names:
        return False
    return read_only is None or read_only is _reads_only(tool)


def _reads_only(tool: Mapping[str, Any]) -> bool:
    return (tool.get("annotations") or {}).get("readOnlyHint") is True


def offer(settings: Settings, listed: Mapping[str, Listed]) -> Offer:
    """
    Args:
        listed: By server label, the allowed tools of the servers that answered.
    """
    functions = tuple(tool for tool in settings.tools if isinstance(tool, Tool))
    tools, bound = list(functions), dict[str, Bound]()
    names = {function.name for function in functions}
    room = MAX_OFFERED
    for server, tool in _all(settings, listed):
        name = _name(server.server_label, tool["name"], names)
        made = Tool(name, tool["description"], _parameters(tool["input_schema"]))
        room -= len(msgspec.json.encode(made))
        if len(tools) >= MOST_OFFERED or room < 0:
            break
        names.add(name)
        tools.append(made)
        bound[name] = Bound(server, tool["name"], needs_approval(server, tool))
    tools_, choice = _chosen(settings.tool_choice, tuple(tools), bound)
    if not tools_ and settings.servers:
        choice = "auto"  # nothing is there that could be called
    notes = [
        f"Tools of '{server.server_label}': {server.server_description}"
        for server in settings.servers
        if server.server_description and listed.get(server.server_label)
    ]
    return Offer(tools_, choice, bound, "\n".join(notes))


def _all(
    settings: Settings, listed: Mapping[str, Listed]
) -> Iterator[tuple[McpTool, dict[str, Any]]]:
    for server in settings.servers:
        for tool in listed.get(server.server_label, ()):
            yield server, tool


def _name(label: str, name: str, taken: set[str]) -> str:
    """What the model knows a tool by: its own name if models take it and it is free."""
    plain = safe_name(name)
    if plain not in taken:
        return plain
    long = f"{safe_name(label)}__{plain}"[:MAX_NAME]
    n = 1
    while long in taken:
        n += 1
        long = f"{long[: MAX_NAME - 4]}_{n}"
    return long


def safe_name(name: str) -> str:
    return _NOT_IN_A_NAME.sub("_", name)[:MAX_NAME]


def _parameters(schema: Any) -> dict[str, Any]:
    """Some providers refuse an object without properties."""
    return {"type": "object", "properties": {}, **(schema if isinstance(schema, dict) else {})}


def _chosen(
    choice: str | dict[str, str], tools: tuple[Tool, ...], bound: Mapping[str, Bound]
) -> tuple[tuple[Tool, ...], str | dict[str, str]]:
    """The tools and the choice that say the same without servers."""
    if not isinstance(choice, dict) or choice["type"] != "mcp":
        return tools, choice
    label, name = choice["server_label"], choice.get("name")
    of_server = {
        known_as: tool.name for known_as, tool in bound.items() if tool.server.server_label == label
    }
    if name is None and of_server:
        return tuple(tool for tool in tools if tool.name in of_server), "required"
    for known_as, its_name in of_server.items():
        if its_name == name:
            return tools, {"type": "function", "name": known_as}
    return tools, "auto"  # the server did not answer, or has no such tool
