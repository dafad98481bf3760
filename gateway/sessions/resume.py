"""A session as another process left it: made from what was kept of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from gateway.ids import Ids
from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.dialects import Dialect
from gateway.realtime.effects import Effect
from gateway.realtime.server_events import AudioDelta, ResponseCreated, ResponseDone, ServerEvent
from gateway.realtime.session import Session
from gateway.realtime.snapshot import Saved, dump, load
from gateway.sessions.journal import Input, Journal, Mark, Opened, Position, inputs
from gateway.sessions.store import Found

MOST_UNNOTED = 60 * 48_000
"""PCM bytes of a reply that a client may have had beyond what was noted: a minute, of a session
that went on without its store."""

OpenSession = Callable[[Saved, Ids], Session]
"""Makes the session that a snapshot is to be restored into."""


class State(msgspec.Struct, frozen=True):
    """What the store keeps as a session's state."""

    seed: bytes
    n_ids: int
    seq: int
    """The number of the last event."""
    session: bytes


def state_of(session: Session, ids: Ids, seq: int) -> bytes | None:
    """The state to keep; None while something of the session runs."""
    saved = session.save()
    if saved is None:
        return None
    return _encode(State(ids.seed, ids.n, seq, dump(saved)))


@dataclass(slots=True)
class Restored:
    """A session to go on with."""

    session: Session
    ids: Ids
    journal: Journal
    unsent: list[tuple[int, ServerEvent]] = field(default_factory=list)
    """What the client has not been told, in order: the number of each event, and the event."""
    sent: int = 0
    """The number of the last event that it has been told."""
    facts: list[do.Fact] = field(default_factory=list)
    """What its last process may not have told history; what it has may be told again."""


def restore(
    found: Found, open_session: OpenSession, dialect: Dialect, last: Position | None
) -> Restored:
    """
    Args:
        dialect: Of the client, as it was when the session began.
        last: What the client says it had last; None if it does not say.

    Raises:
        UnknownFormat: a newer version of this program kept it.
    """
    state = msgspec.msgpack.decode(found.state, type=State)
    saved = load(state.session)
    ids = Ids(state.seed)
    session = open_session(saved, ids)
    session.restore(saved)
    ids.n = state.n_ids
    replay = _Replay(session, ids, state.seq, saved.microphone.appended, last)
    for event in inputs(found.entries, dialect):
        replay.take(event, dialect)
    first = found.first + len(found.entries)
    journal = Journal(session, first=first)
    restored = Restored(session, ids, journal, facts=replay.facts)
    mark = msgspec.msgpack.decode(found.mark, type=Mark) if found.mark else None
    had = _had(mark, last, replay.seq)
    for event in replay.missed(mark):
        journal.note(event, replay.take(event, dialect))
    restored.unsent = replay.since(had)  # with what happens only now
    restored.sent = had
    journal.seq, journal.samples, journal.played = replay.seq, replay.samples, replay.played
    return restored


def _had(mark: Mark | None, last: Position | None, seq: int) -> int:
    """The number of the last event that the client has had.

    Events are kept before they are sent, and sent at once. So a client that does not say has
    had them all, unless the last process had fallen behind.
    """
    if last is not None:
        return last.seq
    if mark is not None and mark.sent < mark.made:
        return mark.sent
    return seq


class _Replay:
    def __init__(
        self, session: Session, ids: Ids, seq: int, samples: int, last: Position | None
    ) -> None:
        self._session, self._ids, self._last = session, ids, last
        self.seq, self.samples = seq, samples
        self._began: dict[str, int] = {}  # responses that run: the number of their first event
        self._then: dict[str, int] | None = None  # `played`, by the event that the client names
        if last is not None and last.seq <= seq:
            self._then = {}
        self.played: dict[str, int] = {}
        self.facts: list[do.Fact] = []
        self._sent: list[tuple[int, ServerEvent]] = []

    def take(self, event: Input, dialect: Dialect) -> list[Effect]:
        if isinstance(event, sig.Resumed) and event.seed:
            self._ids.renew(event.seed)
        if isinstance(event, Opened):
            effects = self._session.open()
        else:
            effects = self._session.receive(event)
        if isinstance(event, sig.AudioPassed):
            self.samples += event.n_samples
        if isinstance(event, sig.ReplyPlayed):
            before = self.played.get(event.response_id, 0)
            self.played[event.response_id] = before + event.n_bytes
        self._see(effects, dialect)
        return effects

    def _see(self, effects: Iterable[Effect], dialect: Dialect) -> None:
        for effect in effects:
            if isinstance(effect, do.Send) and not isinstance(effect.event, AudioDelta):
                self.seq += 1
                self._sent.append((self.seq, effect.event))
                self._follow(effect.event)
                for _ in dialect.encode(effect.event, str):
                    pass  # it remembers what it said
            elif isinstance(effect, do.Record):
                self.facts.append(effect.fact)

    def _follow(self, event: ServerEvent) -> None:
        if self._last is not None and self._last.seq == self.seq:
            self._then = dict(self.played)
        match event:
            case ResponseCreated(response):
                self._began[response["id"]] = self.seq
            case ResponseDone(response):
                self._began.pop(response["id"], None)
                self.played.pop(response["id"], None)

    def missed(self, mark: Mark | None) -> list[sig.Signal]:
        """Audio that went by after the last entry."""
        events: list[sig.Signal] = []
        # In the middle of speech, what is not there is left out: silence would end it.
        is_speech = self._session.hearing.kept_from_ms is not None
        if mark is not None and mark.samples > self.samples and not is_speech:
            events.append(sig.AudioPassed(mark.samples - self.samples))
        played = {**self.played, **(mark.played if mark is not None else {})}
        for response_id in played.keys() & self._began.keys():  # a mark may be old
            now = self.played.get(response_id, 0)
            had = played[response_id]
            if len(played) == 1:
                had = self._says_it_had(response_id, had)
            if had != now:
                events.append(sig.ReplyPlayed(response_id, had - now))
        return events

    def _says_it_had(self, response_id: str, otherwise: int) -> int:
        """How much PCM of a response the client had: what it did not have comes again."""
        last, then = self._last, self._then
        if last is None or then is None or len(then) > 1:
            return otherwise
        if self._began[response_id] > last.seq:
            return 0
        if last.audio_bytes is None or (then and response_id not in then):
            return then.get(response_id, 0)
        had = min(last.audio_bytes, otherwise + MOST_UNNOTED)  # whatever a client says
        return had - had % 2

    def since(self, seq: int) -> list[tuple[int, ServerEvent]]:
        return [(n, event) for n, event in self._sent if n > seq]


_encode = msgspec.msgpack.Encoder().encode
