"""What we tell a client in the beta dialect. Source: realtime contract §4.4, transcript §12.13.

Choices, where the beta differs in more than names:

* One `conversation.item.created` stands for GA's `added` and `done`, at the time of
  `added`: the beta's own client adds the item there, before its content.
* `rate_limits.updated` follows `response.created` at once, as in the transcript, with the
  last figures known; those that GA sends after a response are kept until the next one.
* `conversation.created` follows `session.created`. A transcription session has neither a
  conversation nor that event, and its session events have names of their own.
* `temperature` is always shown, as 0.8 where nobody set one.
* Events that the beta never had (MCP, idle timeout) keep their names: only clients that
  asked for them get any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from . import server_events as ev
from .beta import DEFAULT_TEMPERATURE, response_to_beta, session_to_beta, told
from .beta_items import item_to_beta
from .refusals import Refusal

Told = tuple[str, dict[str, Any]]
"""The type and the fields of one message."""

_RENAMED: tuple[type[ev.ServerEvent], ...] = (
    ev.TextDelta, ev.TextDone, ev.TranscriptDelta, ev.TranscriptDone, ev.AudioDelta, ev.AudioDone,
)  # fmt: skip


def _names(kind: type[ev.ServerEvent]) -> tuple[bytes, bytes]:
    """How its JSON says its type: in GA and in the beta."""
    name = str(kind.__struct_config__.tag)
    beta = name.replace("output_", "")
    return f'"type":"{name}"'.encode(), f'"type":"{beta}"'.encode()


SAME_BUT_NAMED = {kind: _names(kind) for kind in _RENAMED}
"""Events that have another name and nothing else."""


def _fields(event: ev.ServerEvent) -> Told:
    """The event as plain JSON."""
    fields: dict[str, Any] = msgspec.to_builtins(event)
    return str(fields.pop("type")), fields


class Teller:
    """The events of one connection that have another shape in the beta."""

    def __init__(self, conversation_id: str) -> None:
        self._conversation_id = conversation_id
        self._temperature = DEFAULT_TEMPERATURE
        self._limits: list[Any] = []

    def tell(self, event: ev.ServerEvent) -> list[Told] | None:
        """The messages that say this; None if GA's own does."""
        kind = type(event)
        if remember := _REMEMBERED.get(kind):
            return list(remember(self, event))
        tell = _ALWAYS_ALIKE.get(kind)
        return None if tell is None else list(tell(event))

    def _session_created(self, event: ev.SessionCreated) -> Iterator[Told]:
        yield from self._session(event)
        if event.session["type"] == "realtime":
            conversation = {"id": self._conversation_id, "object": "realtime.conversation"}
            yield "conversation.created", {"conversation": conversation}

    def _session(self, event: ev.SessionCreated | ev.SessionUpdated) -> Iterator[Told]:
        name, fields = _fields(event)
        session = fields["session"]
        self._temperature = session.get("temperature", DEFAULT_TEMPERATURE)
        prefix = "transcription_" if session["type"] == "transcription" else ""
        yield prefix + name, {"session": session_to_beta(session)}

    def _item_created(self, event: ev.ItemAdded) -> Iterator[Told]:
        _, fields = _fields(event)
        yield "conversation.item.created", {**fields, "item": item_to_beta(fields["item"])}

    def _response_created(self, event: ev.ResponseCreated) -> Iterator[Told]:
        yield from self._response(event)
        yield "rate_limits.updated", {"rate_limits": self._limits}

    def _response(self, event: ev.ResponseCreated | ev.ResponseDone) -> Iterator[Told]:
        name, fields = _fields(event)
        yield name, {"response": response_to_beta(fields["response"], self._temperature)}

    def _keep_limits(self, event: ev.RateLimitsUpdated) -> Iterator[Told]:
        self._limits = _fields(event)[1]["rate_limits"]
        return iter(())


def _nothing(event: ev.ServerEvent) -> Iterator[Told]:
    return iter(())


def _with_item(event: ev.ServerEvent) -> Iterator[Told]:
    name, fields = _fields(event)
    yield name, {**fields, "item": item_to_beta(fields["item"])}


def _without_name(event: ev.ArgumentsDone) -> Iterator[Told]:
    name, fields = _fields(event)
    del fields["name"]  # the item has it
    yield name, fields


def _error(event: ev.Error) -> Iterator[Told]:
    e = event.error
    refusal = told(Refusal(e.code, e.message, e.param, e.event_id, e.type))
    yield _fields(ev.Error.of(refusal))


# Not in each Teller: that would be a cycle, which only the garbage collector frees.
_REMEMBERED: dict[type[ev.ServerEvent], Callable[[Teller, Any], Iterator[Told]]] = {
    ev.SessionCreated: Teller._session_created,
    ev.SessionUpdated: Teller._session,
    ev.ItemAdded: Teller._item_created,
    ev.ResponseCreated: Teller._response_created,
    ev.ResponseDone: Teller._response,
    ev.RateLimitsUpdated: Teller._keep_limits,
}
_ALWAYS_ALIKE: dict[type[ev.ServerEvent], Callable[[Any], Iterator[Told]]] = {
    ev.ItemDone: _nothing,
    ev.ItemRetrieved: _with_item,
    ev.OutputItemAdded: _with_item,
    ev.OutputItemDone: _with_item,
    ev.ArgumentsDone: _without_name,
    ev.Error: _error,
}
