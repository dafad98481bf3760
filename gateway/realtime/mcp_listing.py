"""What is known of one MCP server, and how it is kept for another process."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from . import effects as do
from . import server_events as ev
from .conversation import Entry
from .effects import Effect
from .mcp_tools import Bound, Listed
from .refusals import SERVER_ERROR, Refusal
from .settings import McpTool


@dataclass(slots=True)
class Listing:
    """What is known of a server."""

    server: McpTool
    entry: Entry
    of_session: bool
    """Whether the session names it, and not only a response."""
    tools: Listed | None = None  # None: they are not known yet, or will not be
    failed: bool = False

    @property
    def is_open(self) -> bool:
        return self.tools is None and not self.failed


@dataclass(frozen=True, slots=True)
class Asked:
    """A call that waits for the user."""

    entry: Entry
    bound: Bound


class SavedListing(msgspec.Struct, frozen=True):
    server: McpTool
    entry: int
    """Its place in the conversation."""
    of_session: bool
    tools: Listed | None
    failed: bool


class SavedAsked(msgspec.Struct, frozen=True):
    request_id: str
    entry: int
    bound: Bound


class SavedServers(msgspec.Struct, frozen=True):
    known: tuple[SavedListing, ...] = ()
    of_session: tuple[McpTool, ...] = ()
    asked: tuple[SavedAsked, ...] = ()
    answered: tuple[str, ...] = ()
    room: int = 0


def why(server: McpTool, message: str) -> Effect:
    """What `mcp_list_tools.failed` does not say."""
    text = f"The tools of the MCP server '{server.server_label}' cannot be listed: {message}"
    return do.Send(ev.Error.of(Refusal("mcp_list_tools_failed", text, type=SERVER_ERROR)))


def tool(listed: dict[str, object]) -> dict[str, object]:
    """A tool as clients take it: one of them needs the description to be a string."""
    annotations = listed.get("annotations")
    return {
        "name": listed["name"],
        "description": listed.get("description") or "",
        "input_schema": listed.get("input_schema") or {"type": "object"},
        "annotations": annotations if isinstance(annotations, dict) else None,
    }


def key(server: McpTool) -> bytes:
    """What tells one server from another. It holds secrets."""
    what = (server.server_label, server.server_url, server.allowed_tools)
    return msgspec.json.encode((*what, server.authorization, server.headers))
