"""A world whose session moves from process to process: what is kept of it must be all of it."""

from __future__ import annotations

import msgspec

from gateway.ids import Ids
from gateway.realtime import client_events as ce
from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.dialects import Beta, Dialect, Ga
from gateway.realtime.identity import Identity
from gateway.realtime.refusals import Refusal
from gateway.realtime.server_events import AudioDelta, ServerEvent
from gateway.realtime.session import Session
from gateway.realtime.snapshot import Saved
from gateway.sessions.journal import Input, Journal, Mark, OfSideband, Opened, Position
from gateway.sessions.resume import Restored, restore, state_of
from gateway.sessions.store import Found, Meta
from tests.babble import PROMPTS, Tape
from tests.world import World

META = Meta("acme", "hash", "gpt-realtime", 1, "conv")
KEPT_MS = 3000
BEHIND = 5
"""Events that a client which is behind has not been sent."""


class Uncounted:
    """Makes ids. They are no part of a session's state: a refused event may use one up."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids

    def __call__(self, prefix: str) -> str:
        return self._ids(prefix)

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return (str, ())


class MovingWorld(World):
    """Everything that is told to the session is journaled, and now and then the session is made
    anew from that."""

    def __init__(self, tape: Tape) -> None:
        self.ids = Ids(b"seed")
        self.told: list[ServerEvent] = []  # but audio; their numbers count from 1
        self.entries: list[bytes] = []  # since the snapshot
        self.first = 0  # how many came before
        self.settled = 0  # how many of all were kept before the client was told anything
        self.compacted = 0  # the number of the last event before the snapshot
        self.moves = 0
        self._old_mark: Mark | None = None
        super().__init__(tape)

    def new_session(self) -> Session:
        identity = Identity("sess_1", "gpt-realtime", 1, self.kind)
        session = Session(identity, new_id=Uncounted(self.ids), prompts=PROMPTS, kept_ms=KEPT_MS)
        self.journal = Journal(session)
        state = state_of(session, self.ids, 0)
        assert state is not None
        self.state = state
        return session

    def open(self) -> None:
        self._note(Opened(), self.session.open())

    def give(self, given: ce.ClientEvent | sig.Signal) -> list[do.Effect]:
        return self._note(given, self.session.receive(given))

    def _note(self, given: Input, effects: list[do.Effect]) -> list[do.Effect]:
        is_said = isinstance(given, ce.ClientEvent) and not isinstance(given, Refusal)
        after = self.journal.note(given, effects, self.raw if is_said else b"")
        self.entries += self.journal.take()
        for effect in effects:
            if isinstance(effect, do.Send):
                self.journal.stamp(effect.event)
                if not isinstance(effect.event, AudioDelta):
                    self.told.append(effect.event)
                    self.settled = after
        self.see(effects)
        return effects

    def hears_from_aside(self) -> None:
        """Another connection of the tenant says something. It speaks GA."""
        session = {"type": self.kind, "include": []}
        self.raw = OfSideband(msgspec.json.encode({"type": "session.update", "session": session}))
        is_ga = isinstance(self.dialect, Ga)
        self.give((self.dialect if is_ga else Ga()).decode(self.raw))

    # Moving.

    def settle_journal(self) -> None:
        """Keep all that there is."""
        self.journal.settle()
        self.entries += self.journal.take()
        self.settled = self.journal.next

    def compact(self) -> None:
        """What a gateway does now and then when nothing runs."""
        self.settle_journal()
        state = state_of(self.session, self.ids, self.journal.seq)
        if state is not None:
            self.state, self.first, self.entries = state, self.journal.next, []
            self.compacted = self.journal.seq

    @property
    def mark(self) -> Mark:
        """How far the client has been told: all of it."""
        journal = self.journal
        return Mark(journal.seq, journal.seq, journal.samples, dict(journal.played))

    def restored(self, last: Position | None = None, *, behind: bool = False) -> Restored:
        """The session as another process finds it.

        Args:
            behind: The client had not been sent the last events.
        """
        mark = self.mark
        if behind:
            mark = msgspec.structs.replace(mark, sent=max(0, mark.sent - BEHIND))
        return self._restored(self.entries, mark, last)[0]

    def _restored(
        self, entries: list[bytes], mark: Mark, last: Position | None = None
    ) -> tuple[Restored, Dialect]:
        marked = msgspec.msgpack.encode(mark)
        found = Found(META, 2, self.first, self.state, tuple(entries), marked)
        is_beta = self.dialect is self.beta
        dialect = Beta(self.session.conversation.id) if is_beta else self.dialect
        return restore(found, _open, dialect, last), dialect

    def move(self) -> None:
        """The session goes on elsewhere: its process leaves it in order."""
        self.settle_journal()
        live = {rid for rid in self.talker.running if rid in self.ledger.live}
        assert not self.restored().unsent
        self._go_on(self.entries, self.mark)
        self._check_seams()
        again = {rid for rid in live if rid in self.ledger.live}
        assert set(self.talker.running) >= again, "a reply was forgotten"
        assert all(self.talker.running[rid].start.begun for rid in again)

    def crash(self) -> None:
        """The session goes on elsewhere: what its process had not kept is lost, which nobody
        was told of."""
        mark = self._old_mark or self.mark
        is_new = mark == self.mark
        self._go_on(self.entries[: self.settled - self.first], mark)
        if is_new:
            self._check_seams()
        for rid, reply in self.talker.running.items():  # some of it will come twice
            reply.said.sent_bytes = self.journal.played.get(rid, 0)

    def is_marked(self) -> None:
        """The process that will crash notes nothing from here on."""
        self._old_mark = self.mark

    def _go_on(self, entries: list[bytes], mark: Mark) -> None:
        self.moves, self._old_mark = self.moves + 1, None
        restored, dialect = self._restored(entries, mark)
        assert restored.session.wire() == self.session.wire()
        for n, event in restored.unsent:  # time went by that nobody had kept
            self.told.append(event)
            assert n == len(self.told)
            self._tell(event)
        self.session, self.journal, self.ids = restored.session, restored.journal, restored.ids
        self.entries = [*entries, *self.journal.take()]
        self.settled = self.first + len(self.entries)
        assert self.settled == self.journal.next
        if isinstance(dialect, Beta):
            self.dialect = self.beta = dialect
        self._forget_backends()
        self.give(sig.Resumed())
        self.settled = self.journal.next  # what it decided about the seams is kept at once
        assert self.journal.played.keys() <= self.ledger.live.keys()

    def _forget_backends(self) -> None:
        """They went with the process: nothing more is heard of what they did."""
        self.stale += sorted(self.wordless)
        self.wordless.clear()
        self.spoken.clear()
        self.asked -= set(self.talker.running)
        self.talker.running.clear()
        self.late_tools += list(self.tools)
        self.tools.clear()

    def _check_seams(self) -> None:
        """Speech goes on where the client's audio ends."""
        for reply in self.talker.running.values():
            begun, voice = reply.start.begun, reply.start.voice
            if begun and voice:
                there = begun.from_ms * 48 + begun.sent_bytes
                assert begun.sent_bytes >= 0
                assert 0 <= reply.said.sent_bytes - there < 6  # the last may not fill a byte


def _open(saved: Saved, ids: Ids) -> Session:
    return Session(
        saved.identity,
        new_id=Uncounted(ids),
        settings=saved.default,
        prompts=PROMPTS,
        kept_ms=KEPT_MS,
    )
