from __future__ import annotations

import pytest

from gateway.realtime import signals as sig
from gateway.realtime.dialects import Ga
from gateway.realtime.refusals import Refusal
from gateway.realtime.server_events import AudioDelta
from gateway.sessions.journal import SPEECH_BYTES, Opened, Position, inputs, position_of
from tests.unit.gateway.sessions.telling import Told

FRAME = b"\x01\x00" * 480  # 20 ms
HAND = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}


def again(told):
    """What another process would be told."""
    return list(inputs(told.journal.take(), Ga()))


def kinds(events):
    return [type(event) for event in events]


@pytest.mark.parametrize(
    ("event_id", "position"),
    [
        ("event_0123abcd_7", Position(7)),
        ("event_0123abcd_0", Position(0)),
        ("event_0123abcd_7.960", Position(7, 960)),
        ("event_0123abcd_7.0", Position(7, 0)),
        ("event_0123abcd_7.960x1f", Position(7, 960)),
        ("event_0123abcd_7x1", Position(7)),
        ("event_0123abcd_7x", Position(7)),
        ("", None),
        ("event_0123456789abcdef0123", None),
        ("event_0123abcd_", None),
        ("event_0123abcd_-7", None),
        ("event_0123abcd_7.", None),
        ("event_0123abcd_7 ", None),
        ("event_0123abcd_7\n", None),
        ("event_0123abcd_" + "7" * 13, None),
        ("event_XYZ_7", None),
        ("item_0123abcd_7", None),
    ],
)
def test_an_events_id_tells_its_place(event_id, position):
    assert position_of(event_id) == position


def test_events_are_numbered_and_audio_is_not():
    told = Told().opened()
    told.user("Hello.")
    rid = told.respond()
    told.signals(sig.ReplyText(rid, "Hi "), sig.ReplyAudio(rid, FRAME), sig.ReplyAudio(rid, FRAME))
    assert len(set(told.ids)) == len(told.ids)
    numbers = [position_of(i).seq for i, e in zip(told.ids, told.said, strict=True)
               if not isinstance(e, AudioDelta)]  # fmt: skip
    assert numbers == list(range(1, told.journal.seq + 1))
    audio = [position_of(i) for i, e in zip(told.ids, told.said, strict=True)
             if isinstance(e, AudioDelta)]  # fmt: skip
    assert audio == [Position(told.journal.seq, 960), Position(told.journal.seq, 1920)]


def test_an_id_says_how_much_of_the_reply_came_before():
    told = Told().opened()
    rid = told.respond()
    told.signals(sig.ReplyText(rid, "Hi "), sig.ReplyAudio(rid, FRAME), sig.ReplyText(rid, "there"))
    assert position_of(told.ids[-1]) == Position(told.journal.seq, 960)
    ended = sig.ReplyEnded(rid, sig.Tokens())
    told.signals(ended)
    assert told.journal.played == {}
    assert position_of(told.ids[-1]).audio_bytes is None


def test_events_beside_the_session_have_a_place_and_no_number():
    told = Told().opened()
    before = told.journal.seq
    names = {told.journal.beside() for _ in range(3)}
    assert len(names) == 3
    assert {position_of(name) for name in names} == {Position(before)}
    assert told.journal.seq == before


def test_another_process_names_an_event_with_its_number():
    told = Told().opened()
    assert position_of(told.journal.id_of(12)) == Position(12)
    assert told.journal.id_of(12) != Told().opened().journal.id_of(12)


def test_what_was_told_is_told_again_as_it_was():
    told = Told().opened()
    told.user("Hello.")
    rid = told.respond()
    given = [
        sig.ReplyText(rid, "Hi "),
        sig.ReplyTiming(rid, ((3, 250),), (3, 250)),
        sig.ReplyCall(rid, "call_1", "f", "{"),
        sig.ReplyCallDone(rid, "call_1", "f", "{}"),
        sig.ReplyDegraded(rid, "kokoro", "espeak"),
        sig.ReplyThought(rid, sig.ReplyEnded(rid, sig.Tokens(3, 1, 2), "max_output_tokens")),
        sig.ReplyEnded(rid, sig.Tokens(3, 1, 2), "max_output_tokens"),
        sig.SpeechStarted("u1", 0),
        sig.SpeechStopped("u1", 100),
        sig.Transcribed("u1", "yes", 100, (("yes", -0.5),), (sig.Spoken("yes", "A", 0, 100),)),
        sig.NotTranscribed("u2", "late"),
        sig.EarsLost("gone"),
        sig.ReplyMuted(rid),
        sig.ReplyFailing(rid, sig.ReplyFailed(rid, "code", "message"), "sorry"),
        sig.ReplyFailed(rid, "code", "message", "server_error"),
        sig.ToolsListed("item_1", ({"name": "search"},)),
        sig.ToolsNotListed("item_1", "no"),
        sig.ToolReturned("item_1", "3"),
        sig.ToolFailed("item_1", {"type": "http_error", "code": 500, "message": "no"}),
        sig.Resumed(),
    ]
    told.signals(*given)
    heard = [event for event in again(told) if not isinstance(event, sig.AudioKept)]
    assert kinds(heard[:1]) == [Opened]
    assert heard[3:] == given


def test_a_clients_event_is_kept_as_it_came():
    told = Told().opened()
    raw = '{"type": "session.update",  "session": {"type": "realtime", "instructions": "é"}}'
    told.give(Ga().decode(raw), raw)
    entries = told.journal.take()
    assert raw.encode() in entries[-1]
    assert list(inputs(entries, Ga()))[-1] == Ga().decode(raw)


def test_of_what_could_not_be_read_the_refusal_is_kept():
    told = Told().opened()
    raw = '{"type": "nope", "padding": "' + "x" * 100_000 + '"}'
    refusal = Ga().decode(raw)
    assert isinstance(refusal, Refusal)
    told.give(refusal, raw)
    entries = told.journal.take()
    assert len(entries[-1]) < 1000
    assert list(inputs(entries, Ga()))[-1] == refusal


def test_entries_are_taken_once_and_counted_from_the_first():
    told = Told().opened()
    assert (told.journal.next, len(told.journal.take())) == (1, 1)
    assert told.journal.is_clean
    assert told.journal.take() == []
    told.user("Hello.")
    assert not told.journal.is_clean
    assert told.journal.next == told.after == 2


def test_what_shows_nothing_is_not_kept():
    told = Told().opened()
    told.journal.take()
    told.give(sig.SpeechStarted("u1", 0))
    told.journal.take()
    before = told.journal.next
    told.give(sig.Hypothesis("u1", "hel"))
    assert told.journal.is_clean
    assert told.after == before


# Audio.


def test_of_silence_only_the_amount_is_kept():
    told = Told().opened()
    told.journal.take()
    for _ in range(500):
        told.append(FRAME)
    assert told.journal.samples == 500 * 480
    told.journal.settle()
    heard = again(told)
    assert sum(event.n_samples for event in heard) == 500 * 480
    assert {event.pcm for event in heard} == {b""}
    assert len(heard) <= 2, "not one for each frame"


def test_speech_is_kept_as_it_is_in_pieces():
    told = Told().opened()
    told.send("session.update", session=HAND)
    told.journal.take()
    spoken = b"".join(bytes([n, 0]) * 480 for n in range(1, 101))
    for at in range(0, len(spoken), 960):
        told.append(spoken[at : at + 960])
    pieces = again(told)
    assert len(pieces) <= len(spoken) // SPEECH_BYTES + 2
    told.journal.settle()
    pieces += again(told)
    assert b"".join(event.pcm for event in pieces) == spoken


def test_what_came_before_speech_was_noticed_is_kept_with_it():
    told = Told().opened()
    for _ in range(50):
        told.append(FRAME)
    told.give(sig.SpeechStarted("u1", 500))
    *_, started, kept = again(told)
    assert started == sig.SpeechStarted("u1", 500)
    assert kept == sig.AudioKept(FRAME * 25)


def test_half_a_sample_is_not_lost():
    told = Told().opened()
    told.append(FRAME + b"\x07")
    told.journal.settle()
    assert again(told)[-1] == sig.AudioPassed(480, b"", b"\x07")


def test_audio_that_was_refused_is_kept_as_its_refusal():
    told = Told().opened()
    told.journal.take()
    told.send("input_audio_buffer.append", audio="")
    told.give(Ga().decode('{"type": "input_audio_buffer.append", "audio": "%"}'))
    assert all(isinstance(event, Refusal | sig.AudioPassed) for event in again(told))


def test_of_a_replys_audio_only_the_amount_is_kept():
    told = Told().opened()
    rid = told.respond()
    told.give(sig.ReplyText(rid, "Hi "))
    told.journal.take()
    for _ in range(10):
        told.give(sig.ReplyAudio(rid, FRAME))
    assert told.journal.played == {rid: 9600}
    told.give(sig.ReplyText(rid, "there."))
    heard = again(told)
    assert sum(e.n_bytes for e in heard if isinstance(e, sig.ReplyPlayed)) == 9600
    assert heard[-1] == sig.ReplyText(rid, "there.")
