"""What a response cannot be, and what to say when a part of the mesh is away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from . import effects as do
from .conversation import Entry
from .effects import Effect
from .items import Message
from .refusals import SERVER_ERROR, Refusal, refuse
from .response import Response
from .server_events import Error
from .settings import Settings, Tool, voice_is_fixed


def check_choice(settings: Settings) -> None:
    """A function that must be called has to be there.

    Raises:
        Refused: it is not.
    """
    choice = settings.tool_choice
    if choice == "required" and not settings.tools:
        message = "Tool choice 'required' must be specified with 'tools' parameter."
        raise refuse("invalid_value", message, "response.tool_choice")
    if not isinstance(choice, dict):
        return
    if choice["type"] == "mcp":
        if choice["server_label"] not in {server.server_label for server in settings.servers}:
            message = f"Tool choice '{choice['server_label']}' not found in 'tools' parameter."
            raise refuse("invalid_value", message, "response.tool_choice")
        return
    names = {tool.name for tool in settings.tools if isinstance(tool, Tool)}
    if choice["name"] not in names:
        message = f"Tool choice '{choice['name']}' not found in 'tools' parameter."
        raise refuse("invalid_value", message, "response.tool_choice")


def check_voice(new: Settings, old: Settings, param: str) -> None:
    """The model has spoken: its voice stays.

    Raises:
        Refused: another one is asked for.
    """
    if new.audio.output.voice != old.audio.output.voice:
        raise voice_is_fixed(param)


def answers(context: Sequence[Entry], entry: Entry) -> bool:
    """Whether a response is the answer to this item, and not to what its user said since."""
    n = next(n for n, other in enumerate(context) if other is entry)
    return not any(
        isinstance(later.item, Message)
        and later.item.role == "user"
        and (later.text or later.awaited)
        for later in context[n + 1 :]
    )


def needed(response: Response, entries: Iterable[Entry]) -> list[Entry]:
    """Which of these items a response has to wait for."""
    return [
        entry
        for entry in entries
        if entry.awaited
        and (not entry.is_late or response.is_own or answers(response.context, entry))
    ]


def lost(what: str) -> list[Effect]:
    """The error that tells a client that a part of the mesh is away."""
    return [do.Send(Error.of(Refusal("service_unavailable", what, type=SERVER_ERROR)))]
