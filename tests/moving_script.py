"""A script whose session can go on in another process."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from gateway.ids import Ids
from gateway.realtime import client_events as ce
from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.dialects import Ga
from gateway.realtime.identity import Identity
from gateway.realtime.server_events import AudioDelta, ServerEvent
from gateway.realtime.session import Session
from gateway.realtime.settings import Settings
from gateway.realtime.snapshot import Saved
from gateway.sessions.journal import Journal, Mark, Position, position_of
from gateway.sessions.resume import restore, state_of
from gateway.sessions.store import Found, Meta
from tests.script import Script

META = Meta("acme", "hash", "gpt-realtime", 1, "conv")


class MovingScript(Script):
    """What its session is told is kept, and `move` makes the session anew from that."""

    def __init__(self, settings: Settings | None = None, **options: Any) -> None:
        super().__init__(settings, **options)
        options.pop("kind", "")
        self._options, self._ids = options, Ids(b"seed")
        self.session = self._made(self.session.identity, settings or Settings(), self._ids)
        self._raw = ""
        self.event_ids: list[str] = []
        """Of all that the client was sent."""
        self.begin(Journal(self.session))

    def _made(self, identity: Identity, settings: Settings, ids: Ids) -> Session:
        return Session(identity, new_id=ids, settings=settings, **self._options)

    def begin(self, journal: Journal) -> None:
        """What happens from here on is kept."""
        state = state_of(self.session, self._ids, journal.seq)
        assert state is not None, "something runs"
        self.journal, self._state, self._first = journal, state, journal.next
        self._entries: list[bytes] = []

    def send(self, type_: str, **fields: Any) -> list[do.Effect]:
        self._raw = json.dumps({"type": type_, **fields})
        return super().send(type_, **fields)

    def take(self, given: ce.ClientEvent | sig.Signal) -> list[do.Effect]:
        effects = super().take(given)
        is_said = isinstance(given, ce.ClientEvent) and not isinstance(given, ce.AppendAudio)
        self.journal.note(given, effects, self._raw if is_said else "")
        for effect in effects:
            if isinstance(effect, do.Send):
                self.event_ids.append(self.journal.stamp(effect.event))
        return effects

    def compact(self) -> None:
        """Keep the session as it is instead of what it was told."""
        self.journal.settle()
        self.journal.take()
        self.begin(self.journal)

    def move(self, *, last: str = "", loses: bool = False) -> list[do.Effect]:
        """Go on in another process; what that does first.

        Args:
            last: The id of the last event that the client says it had.
            loses: The last audio was not kept; only how much it was is known.
        """
        if not loses:
            self.journal.settle()
        self._entries += self.journal.take()
        journal = self.journal
        mark = Mark(journal.seq, journal.seq, journal.samples, journal.played)
        kept = tuple(self._entries), msgspec.msgpack.encode(mark)
        found = Found(META, 2, self._first, self._state, *kept)
        made = restore(found, self._open, Ga(), position_of(last))
        self.session, self.journal, self._ids = made.session, made.journal, made.ids
        self.unsent: list[ServerEvent] = [event for _, event in made.unsent]
        return self.take(sig.Resumed())

    def _open(self, saved: Saved, ids: Ids) -> Session:
        return self._made(saved.identity, saved.default, ids)


def audio_of(effects: list[do.Effect]) -> bytes:
    """What the client hears of these."""
    events = [effect.event for effect in effects if isinstance(effect, do.Send)]
    return b"".join(event.delta for event in events if isinstance(event, AudioDelta))


__all__ = ["MovingScript", "Position", "audio_of"]
