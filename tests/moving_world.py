"""A world whose session moves from process to process: what is kept of it must be all of it."""

from __future__ import annotations

import msgspec

from gateway.ids import Ids
from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.client_events import ClientEvent
from gateway.realtime.dialects import Beta, Dialect, Ga
from gateway.realtime.identity import Identity
from gateway.realtime.refusals import Refusal
from gateway.realtime.server_events import AudioDelta, ServerEvent
from gateway.realtime.session import Session
from gateway.realtime.snapshot import Saved
from gateway.sessions.journal import Journal, Mark, Opened, Position
from gateway.sessions.resume import Restored, restore, state_of
from gateway.sessions.store import Found, Meta
from tests.babble import PROMPTS, Tape
from tests.world import World

META = Meta("acme", "hash", "gpt-realtime", 1, "conv")


class _Ids(Ids):
    """Ids are no part of a session's state, and a refused event may use one up."""

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return (_Ids, ())


class MovingWorld(World):
    """Everything that is told to the session is journaled, and now and then the session is made
    anew from that."""

    def __init__(self, tape: Tape) -> None:
        self.ids = _Ids(b"seed")
        self.told: list[ServerEvent] = []
        self.entries: list[bytes] = []
        self.first = 0
        self.moves = 0
        self._raw: bytes | str = ""
        super().__init__(tape)

    def new_session(self) -> Session:
        identity = Identity("sess_1", "gpt-realtime", 1, self.kind)
        session = Session(identity, new_id=self.ids, prompts=PROMPTS, kept_ms=3000)
        self.journal = Journal(session)
        state = state_of(session, self.ids, 0)
        assert state is not None
        self.state = state
        return session

    def open(self) -> None:
        effects = self.session.open()
        self.journal.note(Opened(), effects)
        self._hear(effects)
        self.see(effects)

    def give(self, given: ClientEvent | sig.Signal) -> list[do.Effect]:
        effects = self.session.receive(given)
        self.journal.note(given, effects, self._raw_of(given))
        self._hear(effects)
        self.see(effects)
        return effects

    def _raw_of(self, given: object) -> bytes:
        """The message again: the world has thrown it away."""
        if isinstance(given, Refusal) or not isinstance(given, ClientEvent):
            return b""
        return self.raw

    def _from_client(self, given: ClientEvent, event_id: str | None) -> list[do.Effect]:
        return super()._from_client(given, event_id)

    def client(self, type_: str, **fields: object) -> list[do.Effect]:
        self.raw = msgspec.json.encode({"type": type_, "event_id": "e", **fields})
        return super().client(type_, **fields)

    def _hear(self, effects: list[do.Effect]) -> None:
        for effect in effects:
            if isinstance(effect, do.Send):
                self.journal.stamp(effect.event)
                if not isinstance(effect.event, AudioDelta):
                    self.told.append(effect.event)

    # Moving.

    def compact(self) -> None:
        """What a gateway does now and then when nothing runs."""
        self.entries += self.journal.take()
        self.journal.settle()
        self.entries += self.journal.take()
        state = state_of(self.session, self.ids, self.journal.seq)
        if state is not None:
            self.state, self.first, self.entries = state, self.journal.next, []

    def restored(self, last: Position | None = None, *, behind: bool = False) -> Restored:
        """The session as another process finds it.

        Args:
            behind: The client had not been sent the last five events.
        """
        self.entries += self.journal.take()
        journal = self.journal
        sent = max(0, journal.seq - 5) if behind else journal.seq
        mark = Mark(journal.seq, sent, journal.samples, journal.played)
        found = Found(
            META, 2, self.first, self.state, tuple(self.entries), msgspec.msgpack.encode(mark)
        )
        return restore(found, self._open, self._dialect(), last)

    def _open(self, saved: Saved, ids: Ids) -> Session:
        made = _Ids(ids.seed)
        ids.__class__ = _Ids
        del made
        return Session(
            saved.identity, new_id=ids, settings=saved.default, prompts=PROMPTS, kept_ms=3000
        )

    def _dialect(self) -> Dialect:
        if self.dialect is self.beta:
            return Beta(self.session.conversation_id)
        return self.dialect if isinstance(self.dialect, Ga) else Ga()

    def move(self) -> None:
        """The session goes on elsewhere."""
        self.moves += 1
        restored = self.restored()
        live = {rid for rid in self.running if rid in self.ledger.live}
        self.session, self.journal, self.ids = restored.session, restored.journal, restored.ids
        self.entries += self.journal.take()
        self.stale += sorted(self.wordless)
        self.wordless.clear()
        self.running.clear()
        self.tools.clear()
        self.asked -= live
        self.give(sig.Resumed())
        again = {rid for rid in live if rid in self.ledger.live}
        assert set(self.running) >= again, "a reply was forgotten"
        assert all(self.running[rid].start.begun for rid in again)
