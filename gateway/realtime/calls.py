"""The calls of a response: of functions, which the client runs, and of MCP tools, which we run.

Source: realtime contract §6.4 and §6.8. A call that the user has to approve is an item that
asks for that; its arguments come whole.
"""

from __future__ import annotations

import msgspec

from . import effects as do
from . import server_events as ev
from . import signals as sig
from .conversation import Entry, NewId
from .effects import Effect
from .items import FunctionCall, Item, McpApprovalRequest, McpCall
from .mcp_tools import Bound

MAX_OUTPUT = 256 << 10  # bytes of what an MCP tool returned, as JSON

Call = FunctionCall | McpCall | McpApprovalRequest


def call_of(item: Item) -> Call:
    assert isinstance(item, Call)
    return item


def new_call(call_id: str, name: str, bound: Bound | None, new_id: NewId) -> Call:
    """The item of a call that begins.

    Args:
        bound: The tool of an MCP server that it calls; None: a function.
    """
    if bound is None:
        return FunctionCall(new_id("item"), name, call_id, "", "in_progress")
    label = bound.server.server_label
    if bound.needs_approval:
        return McpApprovalRequest(new_id("mcpr"), label, bound.name)
    return McpCall(new_id("mcp"), label, bound.name)


def grown(response_id: str, index: int, item: Item, call_id: str, delta: str) -> list[Effect]:
    """The arguments have grown."""
    match item:
        case FunctionCall():
            ids = (response_id, item.id, index, call_id)
            return [do.Send(ev.ArgumentsDelta(*ids, delta))]
        case McpCall():
            return [do.Send(ev.McpArgumentsDelta(response_id, item.id, index, delta))]
    return []


def whole(response_id: str, index: int, item: Item, call_id: str) -> list[Effect]:
    """The arguments are there."""
    call = call_of(item)
    if isinstance(call, FunctionCall):
        ids = (response_id, call.id, index, call_id)
        return [do.Send(ev.ArgumentsDone(*ids, call.name, call.arguments))]
    return [do.Send(ev.McpArgumentsDone(response_id, call.id, index, call.arguments))]


def called(
    entry: Entry, news: sig.ToolReturned | sig.ToolFailed, index: int, room: int = MAX_OUTPUT
) -> ev.ServerEvent:
    """Write the result into the item; the event that tells of it.

    Args:
        index: Of the output item.
        room: For the output, in bytes.
    """
    if isinstance(news, sig.ToolFailed):
        entry.change(error=news.error)
        entry.text = str(news.error["message"])
        return ev.McpNotCalled(news.item_id, index)
    entry.text = fitting(news.output, room)
    entry.change(output=entry.text)
    return ev.McpCalled(news.item_id, index)


def unfinished(item_id: str) -> sig.ToolFailed:
    """The end of a call whose response has ended."""
    message = "The response ended before the tool returned."
    return sig.ToolFailed(item_id, {"type": "tool_execution_error", "message": message})


def unknown_end(item_id: str) -> sig.ToolFailed:
    """The end of a call that another process made."""
    message = "The server that called the tool is gone: it may or may not have run."
    return sig.ToolFailed(item_id, {"type": "tool_execution_error", "message": message})


def size(text: str) -> int:
    """In bytes of JSON."""
    return len(msgspec.json.encode(text))


def fitting(output: str, room: int) -> str:
    """An output that events can carry: cut if it is longer than `room` bytes of JSON."""
    if size(output) <= room:
        return output
    n = max(0, room) // 6  # what one character can need
    return f"{output[:n]}\n(The rest of {len(output)} characters was cut off.)"
