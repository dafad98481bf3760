"""One session that is kept: what of it the store has, and who waits for that."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from gateway.flag import Flag
from gateway.ids import Ids
from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.effects import Effect
from gateway.realtime.server_events import AudioDelta, ServerEvent
from gateway.realtime.session import Session
from gateway.sessions.journal import CUT, Input, Journal, Mark
from gateway.sessions.resume import state_of
from gateway.sessions.store import Meta, Outcome, Write

STATE_BYTES = 64 << 10  # of a journal: from here on a snapshot takes its place
MOST_STATE = 4 << 20  # bytes of words and pictures: a larger session is not kept
MOST_BYTES, MOST_ENTRIES = 4 << 20, 8_000  # a journal that is longer is given up

_DECISIONS = sig.ReplyThought | sig.ReplyFailing | sig.ReplyMuted | sig.SpeechStarted | sig.Resumed
"""News after which a session goes on otherwise, wherever it does."""

log = logging.getLogger(__name__)


class Lost(Exception):
    """The session is not ours any more."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.name.lower())
        self.outcome = outcome


class Writer(Protocol):
    """Writes for all sessions of a process."""

    def now(self, kept: Kept) -> None:
        """Somebody waits for what it has to write."""

    def soon(self, kept: Kept) -> None:
        """It has something to write."""

    def moved(self, kept: Kept) -> None:
        """It has another mark."""

    @property
    def doubts(self) -> int:
        """How often this process may have slept for so long that its sessions moved."""

    async def confirm(self, kept: Kept) -> None:
        """Ask the store whether a session is still ours; it is told."""


class Kept:
    """A session, its journal, and what of them the store has."""

    __slots__ = (
        "_changed", "_facts", "_first", "_heard", "_ids", "_is_cut", "_is_free",
        "_journal_bytes", "_journal_entries", "_kept", "_made", "_needs_state", "_outcome",
        "_sent", "_state_bytes", "_unwritten", "_writer", "doubts", "epoch", "journal",
        "keep_fact", "lost", "meta", "session",
    )  # fmt: skip

    def __init__(
        self,
        session: Session,
        ids: Ids,
        journal: Journal,
        meta: Meta,
        *,
        epoch: int,
        writer: Writer,
        sent: int = 0,
    ) -> None:
        """`sent`: the number of the last event that the client has been sent."""
        self.session, self.journal, self.meta, self.epoch = session, journal, meta, epoch
        self._ids, self._writer = ids, writer
        self._unwritten: list[bytes] = []
        self._first = journal.taken  # number of the first of them
        self._journal_bytes = self._journal_entries = self._state_bytes = 0
        self._needs_state = self._is_cut = False
        self._kept = journal.taken  # entries that the store has
        self._is_free = False
        self._outcome: Outcome | None = None
        self._changed = Flag()
        self._facts: list[tuple[int, do.Fact]] = []
        self._sent, self._made = sent, journal.seq
        self._heard = dict(journal.played)  # of what was played, what the client was sent
        self.doubts = writer.doubts
        self.keep_fact: Callable[[do.Fact], None] = _ignore
        """Takes each fact, once it is kept."""
        self.lost: Callable[[Outcome], None] = _ignore
        """Called when the session is not ours any more."""

    @property
    def is_lost(self) -> bool:
        return self._outcome is not None

    @property
    def session_id(self) -> str:
        return self.session.identity.session_id

    def note(self, event: Input, effects: Sequence[Effect], raw: str | bytes = "") -> int:
        """See `Journal.note`. Returns 0 if nobody need wait for it."""
        after = self.journal.note(event, effects, raw)
        if self.journal.is_clean:
            self._writer.moved(self)
            return 0
        decides = isinstance(event, _DECISIONS)
        if decides or any(map(_shows, effects)):
            self._writer.now(self)
            return after
        self._writer.soon(self)
        return 0

    def resumed(self) -> sig.Resumed:
        """What the session is told when it goes on here."""
        seed = secrets.token_bytes(16)
        self._ids.renew(seed)
        return sig.Resumed(seed)

    def fact(self, fact: do.Fact, after: int) -> None:
        """Tell history, once that many entries are kept."""
        if self._is_free or after <= self._kept:
            self.keep_fact(fact)
        else:
            self._facts.append((after, fact))

    async def until(self, after: int) -> None:
        """Wait until so many entries are kept; not while the store is away.

        Raises:
            Lost: the session is not ours any more.
        """
        while self._outcome is None and after > self._kept and not self._is_free:
            self._changed.clear()
            await self._changed.wait()
        if self.doubts != self._writer.doubts:
            await self._writer.confirm(self)
        if self._outcome is not None:
            raise Lost(self._outcome)

    def was_sent(self, seq: int, event: ServerEvent | None = None, played: int = 0) -> None:
        """The client has been sent that event, and all before it.

        Args:
            played: Of audio: how much PCM of its response there is with it.
        """
        self._sent = seq
        if isinstance(event, AudioDelta):
            self._heard[event.response_id] = played
        self._writer.moved(self)
        if self._can_shrink:
            self._writer.soon(self)

    def mark(self) -> bytes:
        journal = self.journal
        self._heard = {rid: self._heard.get(rid, 0) for rid in journal.played}
        return _encode(Mark(self._made, self._sent, journal.samples, self._heard))

    def write(self) -> Write | None:
        """What to write now; None if there is nothing, or it has to wait for a snapshot."""
        self._take()
        whole = self.whole() if self._needs_state or self._can_shrink else None
        if whole is not None:
            return whole
        if self._needs_state:
            self._do_without()
        if not self._unwritten:
            return None
        return Write(self.session_id, self.epoch, self._first, tuple(self._unwritten))

    @property
    def _can_shrink(self) -> bool:
        """Whether a snapshot should replace the journal. What the client has not been sent can
        only be said again from the journal."""
        is_long = self._journal_bytes > max(STATE_BYTES, self._state_bytes // 2)
        return is_long and self._sent >= self.journal.seq and self.session.is_quiet

    @property
    def waits(self) -> bool:  # until nothing of it runs, to be written again
        return self._needs_state

    def whole(self) -> Write | None:
        """A snapshot instead of the journal; None while something runs."""
        if self.session.conversation.weight > MOST_STATE:
            return None  # it would hold up everybody else's
        self.journal.settle()
        self._take()
        state = state_of(self.session, self._ids, self.journal.seq)
        if state is None:
            return None
        self._state_bytes, self._journal_bytes, self._journal_entries = len(state), 0, 0
        return Write(self.session_id, self.epoch, self.journal.next, state=state)

    def written(self, write: Write, outcome: Outcome, made: int) -> None:
        """What became of it.

        Args:
            made: The number of the last event when it was written.
        """
        match outcome:
            case Outcome.KEPT:
                self._has(write)
                self._made = made
            case Outcome.MISSING:  # it has lost some: what it has left ends earlier
                self._needs_state = self._is_cut = True
            case Outcome.AWAY:
                self.free()
            case Outcome.MOVED | Outcome.GONE:
                self.lose(outcome)

    def free(self) -> None:
        """The store is away: nobody waits for it."""
        self._take()
        self._is_free = True
        self._release()

    def _take(self) -> None:
        entries = self.journal.take()
        self._unwritten += entries
        self._journal_bytes += sum(map(len, entries))
        self._journal_entries += len(entries)
        is_long = self._journal_bytes > MOST_BYTES or self._journal_entries > MOST_ENTRIES
        if is_long and not self._needs_state:
            log.warning("session too long to keep", extra={"bytes": self._journal_bytes})
            self._do_without()

    def _do_without(self) -> None:
        """Keep no more of it until nothing of it runs, and then all of it at once. Should we die
        before, it is lost."""
        self._needs_state = self._is_free = True
        # Whoever claims it must not take what was kept for all there is.
        self._unwritten = [] if self._is_cut else [CUT]
        self._release()

    def lose(self, outcome: Outcome) -> None:
        """The session is not ours any more. What was not kept never was."""
        if self._outcome is None:
            self._outcome = outcome
            self._facts.clear()
            self._changed.set()
            self.lost(outcome)

    def let_go(self) -> None:
        """Nobody hears any more what becomes of it. Whoever did would else never be freed."""
        self.lost = _ignore

    def _has(self, write: Write) -> None:
        self._kept = write.first + len(write.entries)
        del self._unwritten[: max(0, self._kept - self._first)]
        self._first = max(self._first, self._kept)
        if write.state is not None:
            self._needs_state = self._is_cut = False
        elif CUT in write.entries[-1:]:
            self._is_cut = True
        self._is_free = self._needs_state
        if self._needs_state:
            self._unwritten = [] if self._is_cut else [CUT]  # what was given up is not ours to keep
        self._release()

    def _release(self) -> None:
        while self._facts and (self._is_free or self._facts[0][0] <= self._kept):
            self.keep_fact(self._facts.pop(0)[1])
        self._changed.set()


def _shows(effect: Effect) -> bool:
    """Whether anybody sees it."""
    if isinstance(effect, do.Send):
        return not isinstance(effect.event, AudioDelta)
    return isinstance(effect, do.Record)


def _ignore(news: do.Fact | Outcome) -> None:
    pass


_encode = msgspec.msgpack.Encoder().encode
