"""What a client has not been told, and what was spoken meanwhile."""

from __future__ import annotations

import msgspec
import pytest

from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.codec import encode
from gateway.realtime.dialects import Ga
from gateway.realtime.server_events import ResponseDone
from gateway.realtime.snapshot import UnknownFormat
from gateway.sessions.journal import Mark, Position, position_of
from gateway.sessions.resume import restore
from gateway.sessions.store import Found
from tests.unit.gateway.sessions.telling import META, Told, open_session

FRAME = b"\x01\x00" * 480  # 20 ms


def found(told: Told, mark: Mark | None = None) -> Found:
    """What another process finds of a session that is told nothing more."""
    packed = msgspec.msgpack.encode(mark) if mark is not None else None
    return Found(META, 2, 0, told.state, tuple(told.journal.take()), packed)


def restored(told: Told, mark: Mark | None = None, last: Position | None = None):
    return restore(found(told, mark), open_session, Ga(), last)


def started(again) -> do.StartReply:
    """The reply that goes on."""
    effects = again.session.receive(sig.Resumed())
    [start] = [effect for effect in effects if isinstance(effect, do.StartReply)]
    return start


def wire(counted):
    return [(n, encode(event, "")) for n, event in counted]


@pytest.fixture
def told():
    """A session after a turn of text."""
    session = Told().opened()
    session.user("Hello.")
    rid = session.respond(output_modalities=["text"])
    session.signals(sig.ReplyText(rid, "Hi "), sig.ReplyText(rid, "there."))
    session.give(sig.ReplyEnded(rid, sig.Tokens(10, 0, 2)))
    return session


def test_who_does_not_say_has_had_all(told):
    again = restored(told)
    assert again.unsent == []
    assert again.journal.seq == len(told.counted)
    assert again.session.wire() == told.session.wire()
    assert again.ids.n == told.ids_of.n


def test_who_says_is_told_the_rest(told):
    taken = found(told)
    for n in range(len(told.counted) + 1):
        again = restore(taken, open_session, Ga(), Position(n))
        assert wire(again.unsent) == wire(told.counted[n:])


def test_the_id_of_any_event_is_enough(told):
    taken = found(told)
    for name, (n, _) in zip(told.ids, told.counted, strict=True):
        again = restore(taken, open_session, Ga(), position_of(name))
        assert wire(again.unsent) == wire(told.counted[n:])


def test_an_event_that_never_was_is_the_last(told):
    assert restored(told, last=Position(10**9)).unsent == []


def test_a_client_that_was_behind_is_told_what_was_not_sent(told):
    n = len(told.counted)
    again = restored(told, Mark(n, n - 3, 0, {}))
    assert wire(again.unsent) == wire(told.counted[-3:])


def test_a_mark_that_is_older_than_the_last_entries_says_nothing_of_them(told):
    """Events are sent at once, and marks are written now and then."""
    n = len(told.counted)
    assert restored(told, Mark(n - 3, n - 3, 0, {})).unsent == []


def test_what_the_client_says_counts_more_than_what_we_know(told):
    n = len(told.counted)
    again = restored(told, Mark(n, n - 3, 0, {}), Position(n - 1))
    assert wire(again.unsent) == wire(told.counted[-1:])


def test_history_may_be_told_again(told):
    facts = [effect.fact for effect in told.effects if isinstance(effect, do.Record)]
    assert facts
    assert restored(told).facts == facts


def test_new_events_are_numbered_on(told):
    again = restored(told)
    assert position_of(again.journal.beside()) == Position(len(told.counted))
    [*_, event] = told.said
    assert isinstance(event, ResponseDone)
    assert position_of(again.journal.stamp(event)) == Position(len(told.counted) + 1)
    assert again.journal.next == told.journal.next
    assert again.journal.is_clean


def test_ids_go_on_and_none_is_given_twice(told):
    again = restored(told)
    made = again.session.receive(Ga().decode(
        b'{"type": "conversation.item.create", "item": {"type": "message", "role": "user",'
        b' "content": [{"type": "input_text", "text": "And?"}]}}'
    ))  # fmt: skip
    told.user("And?")
    assert made[0].event.item.id == told.said[-1].item.id


# Audio.


@pytest.fixture
def speaking():
    """A spoken reply; of its audio, 960 bytes are in the journal and as many more were sent."""
    session = Told().opened()
    session.rid = session.respond()
    session.signals(
        sig.ReplyText(session.rid, "One "),
        sig.ReplyAudio(session.rid, FRAME),
        sig.ReplyText(session.rid, "two."),
        sig.ReplyAudio(session.rid, FRAME),
    )
    assert session.journal.played == {session.rid: 1920}
    return session


def test_a_mark_says_how_much_audio_was_sent(speaking):
    mark = Mark(speaking.journal.seq, speaking.journal.seq, 0, speaking.journal.played)
    again = restored(speaking, mark)
    assert again.journal.played == {speaking.rid: 1920}
    start = started(again)
    assert start.begun == do.Begun("One two.", 0, 0, 1920, None)
    assert start.response_id == speaking.rid


def test_without_a_mark_it_is_what_the_journal_says(speaking):
    assert started(restored(speaking)).begun.sent_bytes == 960


def test_a_client_can_say_how_much_it_has_had(speaking):
    last = position_of(speaking.ids[-1])
    assert last.audio_bytes == 1920
    assert started(restored(speaking, None, last)).begun.sent_bytes == 1920


def test_what_was_missed_is_in_the_new_journal(speaking):
    """The next process that goes on finds it there, without a mark."""
    mark = Mark(speaking.journal.seq, speaking.journal.seq, 0, speaking.journal.played)
    taken = found(speaking, mark)
    again = restore(taken, open_session, Ga(), None)
    again.journal.settle()
    entries = (*taken.entries, *again.journal.take())
    third = restore(Found(META, 3, 0, speaking.state, entries, None), open_session, Ga(), None)
    assert third.journal.played == {speaking.rid: 1920}
    assert started(third).begun.sent_bytes == 1920


def test_a_mark_from_before_a_replys_end_is_no_news_of_it(speaking):
    mark = Mark(speaking.journal.seq, speaking.journal.seq, 0, speaking.journal.played)
    speaking.give(sig.ReplyEnded(speaking.rid, sig.Tokens()))
    again = restored(speaking, mark)
    assert again.journal.played == {}
    again.journal.settle()
    assert again.journal.take() == []


def test_a_mark_says_how_much_was_appended():
    told = Told().opened()
    told.append(FRAME)
    told.append(FRAME)
    again = restored(told, Mark(1, 1, 960, {}))
    assert again.journal.samples == 960
    assert again.session.save().microphone.appended == 960


def test_speech_goes_on_with_what_is_there():
    told = Told().opened()
    told.append(FRAME * 50)
    told.give(sig.SpeechStarted("u1", 500))
    told.append(FRAME * 10)
    told.append(FRAME * 5)  # is not in the journal yet
    again = restored(told, Mark(2, 2, 65 * 480, {}))
    heard = [e for e in again.session.receive(sig.Resumed()) if isinstance(e, do.Hear)]
    assert b"".join(e.pcm for e in heard) == FRAME * 35
    assert again.journal.samples == 60 * 480


@pytest.mark.parametrize("claimed", [10**12 - 2, 1921])
def test_a_client_that_claims_nonsense_costs_nothing(speaking, claimed):
    n = speaking.journal.seq
    again = restored(speaking, None, Position(n, claimed))
    begun = started(again).begun
    assert begun.sent_bytes % 2 == 0, "else all that follows is noise"


def test_a_session_of_a_newer_version_is_not_guessed_at(told):
    state = msgspec.msgpack.decode(told.state)
    saved = msgspec.json.decode(state["session"])
    state["session"] = msgspec.json.encode({**saved, "format": 2})
    newer = Found(META, 2, 0, msgspec.msgpack.encode(state), (), None)
    with pytest.raises(UnknownFormat):
        restore(newer, open_session, Ga(), None)


def test_fields_of_a_newer_version_do_no_harm(told):
    """A field that was added has a default, and an older process leaves it out."""
    state = msgspec.msgpack.decode(told.state)
    saved = msgspec.json.decode(state["session"])
    state["session"] = msgspec.json.encode({**saved, "mood": "sunny"})
    more = Found(META, 2, 0, msgspec.msgpack.encode({**state, "more": 1}), (), None)
    assert restore(more, open_session, Ga(), None).session.wire() == told.session.wire()
