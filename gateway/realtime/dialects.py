"""The dialects of the wire: what a connection reads and how it is told things.

Source: realtime contract §0.2. The handshake says which dialect a connection speaks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from . import server_events as ev
from .beta_in import BETA_KINDS, BETA_TYPES, LENIENT_KINDS
from .beta_out import SAME_BUT_NAMED, Teller
from .client_events import KINDS, ClientEvent
from .codec import decode, encode, encode_fields
from .server_events import ServerEvent

NewEventId = Callable[[], str]
"""Makes the unique id of a message: plain ASCII without quotes."""


class Dialect(Protocol):
    def decode(self, message: str | bytes) -> ClientEvent:
        """Read one client message. What cannot be read comes back as a Refusal."""
        ...

    def encode(self, event: ServerEvent, new_event_id: NewEventId) -> Iterable[bytes]:
        """The messages that say this, each with an id of its own; there may be none."""
        ...


class Ga:
    """What the live service speaks."""

    __slots__ = ("_kinds",)

    def __init__(self, strict: bool = False) -> None:
        """
        Args:
            strict: Refuse what only a beta client would send, as the live service does.
                Otherwise such an update, response or item is understood, and answered in GA.
        """
        self._kinds = KINDS if strict else LENIENT_KINDS

    def decode(self, message: str | bytes) -> ClientEvent:
        return decode(message, self._kinds)

    def encode(self, event: ServerEvent, new_event_id: NewEventId) -> Iterable[bytes]:
        if key := _SHOWS_TEMPERATURE.get(type(event)):
            event = _without_temperature(event, key)
        return (encode(event, new_event_id()),)


_SHOWS_TEMPERATURE: dict[type[ServerEvent], str] = {
    ev.SessionCreated: "session",
    ev.SessionUpdated: "session",
    ev.ResponseCreated: "response",
    ev.ResponseDone: "response",
}


def _without_temperature(event: ServerEvent, key: str) -> ServerEvent:
    """It can be set by who speaks beta to a GA session, but GA has no place to show it."""
    shown = getattr(event, key)
    if "temperature" not in shown:
        return event
    rest = {name: value for name, value in shown.items() if name != "temperature"}
    return msgspec.structs.replace(event, **{key: rest})


class Beta:
    """What the service spoke before GA. One for each connection: it remembers what it said."""

    def __init__(self, conversation_id: str) -> None:
        """
        Args:
            conversation_id: Of the session, for `conversation.created`.
        """
        self._teller = Teller(conversation_id)

    def decode(self, message: str | bytes) -> ClientEvent:
        return decode(message, BETA_KINDS, BETA_TYPES)

    def encode(self, event: ServerEvent, new_event_id: NewEventId) -> Iterable[bytes]:
        if names := SAME_BUT_NAMED.get(type(event)):
            return (encode(event, new_event_id()).replace(*names, 1),)
        messages = self._teller.tell(event)
        if messages is None:
            return (encode(event, new_event_id()),)
        return [encode_fields(type_, fields, new_event_id()) for type_, fields in messages]
