from __future__ import annotations

import asyncio

import msgspec
import pytest

from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.server_events import AudioDelta
from gateway.sessions import kept as module
from gateway.sessions.journal import CUT, Mark, Opened
from gateway.sessions.kept import Kept, Lost
from gateway.sessions.store import Outcome
from tests.unit.gateway.sessions.telling import META, Told

FRAME = b"\x01\x00" * 480  # 20 ms
FACT = do.ItemDropped("item_1")


class Desk:
    """A writer that only remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.doubts = 0
        self.confirmed = 0
        self.answer: Outcome | None = None

    def now(self, kept: Kept) -> None:
        self.asked.append("now")

    def soon(self, kept: Kept) -> None:
        self.asked.append("soon")

    def moved(self, kept: Kept) -> None:
        self.asked.append("moved")

    async def confirm(self, kept: Kept) -> None:
        self.confirmed += 1
        kept.doubts = self.doubts
        if self.answer is not None:
            kept.lose(self.answer)


class Session(Told):
    """A session with what is kept of it."""

    def __init__(self) -> None:
        self.desk = Desk()
        super().__init__()
        self.kept = Kept(self.session, self.ids_of, self.journal, META, epoch=1, writer=self.desk)
        self.facts: list[do.Fact] = []
        self.lost: list[Outcome] = []
        self.kept.keep_fact, self.kept.lost = self.facts.append, self.lost.append

    def note(self, event, effects, raw):
        return self.kept.note(event, effects, raw)

    def written(self, outcome=Outcome.KEPT):
        """The store has answered."""
        write = self.kept.write()
        assert write is not None
        self.kept.written(write, outcome, self.journal.seq)
        return write

    def mark(self):
        return msgspec.msgpack.decode(self.kept.mark(), type=Mark)


@pytest.fixture
def told():
    session = Session()
    session.give(Opened())
    session.written()
    session.desk.asked.clear()
    return session


async def is_waiting(tasks, work):
    """The task, if it waits for something."""
    task = tasks.create_task(work, name="until")
    for _ in range(3):
        await asyncio.sleep(0)
    assert not task.done()
    return task


async def test_what_shows_is_written_now_and_waited_for(told):
    told.user("Hello.")
    assert (told.after, told.desk.asked) == (2, ["now"])
    async with asyncio.TaskGroup() as tasks:
        await is_waiting(tasks, told.kept.until(told.after))
        assert told.written().entries
    await told.kept.until(told.after)


async def test_what_shows_nothing_is_written_soon_and_not_waited_for(told):
    rid = told.respond()
    told.written()
    told.desk.asked.clear()
    told.give(sig.ReplyTiming(rid, ((3, 250),)))
    assert (told.after, told.desk.asked) == (0, ["soon"])
    await told.kept.until(told.after)


def test_audio_only_moves_the_mark(told):
    told.append(FRAME)
    told.append(FRAME)
    told.written()
    told.desk.asked.clear()
    told.append(FRAME)
    assert (told.after, told.desk.asked) == (0, ["moved"])
    assert told.mark().samples == 3 * 480


def test_that_speech_began_or_a_thought_ended_cannot_wait(told):
    rid = told.respond()
    told.desk.asked.clear()
    told.give(sig.ReplyThought(rid, sig.ReplyEnded(rid, sig.Tokens())))
    told.give(sig.SpeechStarted("u1", 0))
    assert told.desk.asked == ["now", "now"]


def test_that_nobody_thinks_or_speaks_cannot_wait(told):
    rid = told.respond()
    told.desk.asked.clear()
    told.give(sig.ReplyFailing(rid, sig.ReplyFailed(rid, "x", "y")))
    told.give(sig.ReplyMuted(rid))
    assert told.desk.asked == ["now", "now"]


def test_what_was_not_kept_is_written_again(told):
    told.user("One.")
    first = told.kept.write()
    assert first is not None
    told.user("Two.")
    both = told.kept.write()
    assert both is not None
    assert (first.first, both.first) == (1, 1)
    assert both.entries[:1] == first.entries
    told.kept.written(first, Outcome.KEPT, 0)
    rest = told.kept.write()
    assert rest is not None
    assert (rest.first, rest.entries) == (2, both.entries[1:])
    told.kept.written(rest, Outcome.KEPT, 0)
    assert told.kept.write() is None


# Facts.


def test_history_is_told_what_is_kept(told):
    told.user("Hello.")
    told.kept.fact(FACT, told.after)
    assert told.facts == []
    told.written()
    assert told.facts == [FACT]
    told.kept.fact(FACT, told.after)
    assert told.facts == [FACT, FACT]


def test_a_session_that_moved_tells_nothing_that_was_not_kept(told):
    told.user("Hello.")
    told.kept.fact(FACT, told.after)
    told.written(Outcome.MOVED)
    assert told.facts == []
    assert told.lost == [Outcome.MOVED]


# A session that is lost.


@pytest.mark.parametrize("outcome", [Outcome.MOVED, Outcome.GONE])
async def test_who_waits_for_a_session_that_is_lost_is_told(told, outcome):
    told.user("Hello.")

    async def wait() -> None:
        with pytest.raises(Lost) as error:
            await told.kept.until(told.after)
        assert error.value.outcome is outcome

    async with asyncio.TaskGroup() as tasks:
        await is_waiting(tasks, wait())
        told.written(outcome)
    with pytest.raises(Lost):
        await told.kept.until(0)


def test_it_is_lost_once(told):
    told.kept.lose(Outcome.MOVED)
    told.kept.lose(Outcome.GONE)
    assert told.lost == [Outcome.MOVED]


# Without the store.


async def test_nobody_waits_for_a_store_that_is_away(told):
    told.user("Hello.")
    told.kept.fact(FACT, told.after)
    async with asyncio.TaskGroup() as tasks:
        await is_waiting(tasks, told.kept.until(told.after))
        told.written(Outcome.AWAY)
    assert told.facts == [FACT]
    told.user("Hello?")
    await told.kept.until(told.after)


async def test_once_it_is_back_it_is_waited_for(told):
    told.kept.free()
    told.user("Hello.")
    told.written()
    told.user("Again.")
    async with asyncio.TaskGroup() as tasks:
        await is_waiting(tasks, told.kept.until(told.after))
        told.written()


def test_after_a_gap_only_a_snapshot_follows(told):
    told.user("Hello.")
    told.written(Outcome.MISSING)
    rid = told.respond()
    assert told.kept.write() is None, "something runs"
    told.give(sig.ReplyEnded(rid, sig.Tokens()))
    write = told.written()
    assert write.state is not None
    assert (write.first, write.entries) == (told.journal.next, ())
    told.user("And on.")
    assert told.written().state is None


def test_what_waits_too_long_is_not_held_in_memory(told, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    told.user("x" * 2000)
    told.kept.free()
    write = told.kept.write()
    assert write is not None
    assert write.state is not None
    assert write.entries == ()


def too_long(told, monkeypatch):
    """A reply runs, and the journal is longer than is kept."""
    told.respond()
    told.written()
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    told.user("x" * 2000)


def test_of_what_is_too_long_it_is_kept_that_something_is_missing(told, monkeypatch):
    too_long(told, monkeypatch)
    assert told.written().entries == (CUT,)
    told.user("And on.")
    assert told.kept.write() is None, "once is enough"


def test_nor_does_a_write_under_way_hide_that(told, monkeypatch):
    told.respond()
    told.user("Hello.")
    under_way = told.kept.write()
    too_long_now = "x" * 2000
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    told.user(too_long_now)
    told.kept.free()
    told.kept.written(under_way, Outcome.KEPT, told.journal.seq)
    write = told.kept.write()
    assert (write.first, write.entries) == (under_way.first + len(under_way.entries), (CUT,))


def test_when_nothing_runs_all_of_it_is_kept_again(told, monkeypatch):
    rid = told.respond()
    told.written()
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    told.user("x" * 2000)
    assert told.written().entries == (CUT,)
    monkeypatch.undo()
    told.give(sig.ReplyEnded(rid, sig.Tokens()))
    assert told.written().state is not None
    told.user("Small.")
    write = told.written()
    assert write.state is None
    assert CUT not in write.entries


# Snapshots.


def grow(told, monkeypatch):
    """More is in the journal than is worth keeping."""
    monkeypatch.setattr(module, "STATE_BYTES", 1000)
    for _ in range(10):
        told.user("x" * 1000)
    assert told.written().state is None, "the client has not been told yet"


def test_a_long_journal_becomes_a_snapshot_once_the_client_knows_all(told, monkeypatch):
    grow(told, monkeypatch)
    told.desk.asked.clear()
    told.kept.was_sent(told.journal.seq - 1)
    assert told.desk.asked == ["moved"]
    assert told.kept.write() is None, "what it does not know is only in the journal"
    told.kept.was_sent(told.journal.seq)
    assert told.desk.asked == ["moved", "moved", "soon"]
    write = told.written()
    assert write.state is not None
    assert write.first == told.journal.next
    told.kept.was_sent(told.journal.seq)
    assert told.kept.write() is None, "it is short again"


def test_a_long_journal_stays_while_something_runs(told, monkeypatch):
    rid = told.respond()
    grow(told, monkeypatch)
    told.kept.was_sent(told.journal.seq)
    assert told.kept.write() is None
    told.give(sig.ReplyEnded(rid, sig.Tokens()))
    assert told.written().state is None
    told.kept.was_sent(told.journal.seq)
    assert told.written().state is not None


# Marks.


def test_a_mark_says_how_far_everyone_has_come(told):
    rid = told.respond()
    told.give(sig.ReplyText(rid, "Hi "))
    told.written()
    made = told.journal.seq
    told.user("Meanwhile.")
    told.kept.was_sent(made - 1)
    told.give(sig.ReplyAudio(rid, FRAME))
    assert told.mark() == Mark(made, made - 1, 0, {rid: 0}), "it may lie unread"
    delta = AudioDelta(rid, "item", 0, 0, FRAME)
    told.kept.was_sent(made - 1, delta, told.journal.played_with(delta))
    assert told.mark() == Mark(made, made - 1, 0, {rid: 960})
    told.written()
    assert told.mark().made == told.journal.seq


# A process that slept.


async def test_after_a_doubt_the_store_is_asked_once(told):
    told.desk.doubts = 1
    await told.kept.until(0)
    await told.kept.until(0)
    assert told.desk.confirmed == 1


async def test_who_slept_too_long_says_nothing_more(told):
    told.desk.doubts, told.desk.answer = 1, Outcome.MOVED
    with pytest.raises(Lost):
        await told.kept.until(0)
    assert told.lost == [Outcome.MOVED]
