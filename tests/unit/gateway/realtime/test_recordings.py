from __future__ import annotations

import base64

import pytest

from gateway.realtime import g711
from gateway.realtime import signals as sig
from gateway.realtime.client_events import AppendAudio
from gateway.realtime.recordings import BYTES_PER_MS, LONGEST_MS, Recording, Shelf, Tape
from tests.script import Script, pcm


def numbered(ms: int, first: int = 0) -> bytes:
    """Audio in which every millisecond is another."""
    return b"".join((first + n).to_bytes(2, "little") * 24 for n in range(ms))


def test_a_part_of_the_tape_can_be_cut_out():
    tape = Tape(1000)
    for n in range(10):
        tape.add(numbered(10, 10 * n))
    assert tape.cut(13, 57) == numbered(44, 13)
    assert tape.cut(0, 100) == numbered(100)
    assert tape.cut(40, 40) == b""
    assert tape.cut(0, 101) == b""


def test_the_tape_forgets_what_is_too_old():
    tape = Tape(50)
    for n in range(10):
        tape.add(numbered(10, 10 * n))
    assert tape.cut(50, 100) == numbered(50, 50)
    assert tape.cut(30, 60) == b""


def test_the_tape_does_not_grow_with_what_comes_at_once():
    tape = Tape(50)
    tape.add(numbered(400))
    assert tape.cut(350, 400) == numbered(50, 350)
    assert tape.cut(300, 400) == b""


def test_a_tape_for_nothing_keeps_nothing_and_counts_on():
    tape = Tape(0)
    tape.add(pcm(10))
    assert tape.cut(0, 10) == b""


def test_no_tape_is_longer_than_an_answer_may_be():
    tape = Tape(10**6)
    tape.add(pcm(LONGEST_MS + 100))
    assert tape.cut(100, LONGEST_MS + 100) == pcm(LONGEST_MS)
    assert tape.cut(99, LONGEST_MS + 100) == b""


def test_the_newest_recordings_win():
    shelf = Shelf(100)
    old, new = Recording(), Recording()
    shelf.add(old, pcm(60))
    shelf.add(new, pcm(50))
    assert (old.pcm, old.is_kept) == (b"", False)
    assert new.pcm == pcm(50)
    shelf.add(old, pcm(10))
    assert not old.pcm, "a recording with a hole is none"


def test_a_recording_grows_until_it_is_too_long():
    shelf = Shelf(10 * LONGEST_MS)
    recording = Recording()
    shelf.add(recording, pcm(LONGEST_MS))
    assert len(recording.pcm) == LONGEST_MS * BYTES_PER_MS
    shelf.add(recording, pcm(1))
    assert (recording.pcm, recording.is_kept) == (b"", False)


def test_what_was_dropped_makes_room():
    shelf = Shelf(100)
    first, second, third = Recording(), Recording(), Recording()
    shelf.add(first, pcm(50))
    shelf.add(second, pcm(50))
    shelf.drop(first)
    shelf.drop(first)
    shelf.add(third, pcm(50))
    assert second.is_kept
    assert third.is_kept


def test_what_was_cut_off_makes_room():
    shelf = Shelf(100)
    first, second = Recording(), Recording()
    shelf.add(first, pcm(80))
    shelf.cut(first, 30)
    shelf.add(second, pcm(70))
    assert first.pcm == pcm(30)
    assert second.pcm == pcm(70)


def test_nothing_fits_on_no_shelf():
    shelf = Shelf(0)
    recording = Recording()
    shelf.add(recording, b"")
    shelf.add(recording, pcm(1))
    assert not recording.is_kept


# What clients get of it.


def audio_of(script: Script, item_id: str) -> bytes | None:
    [event] = script.says("conversation.item.retrieve", item_id=item_id)
    [part] = event["item"]["content"]
    return base64.b64decode(part["audio"]) if "audio" in part else None


def spoken(script: Script, sound: bytes) -> str:
    rid = script.respond()
    [added, *_] = script.hears(sig.ReplyText(rid, "hi"), sig.ReplyAudio(rid, sound))
    script.take(sig.ReplyEnded(rid, sig.Tokens()))
    return str(added["item"]["id"])


def test_speech_of_the_user_is_retrieved_with_its_padding():
    script = Script()
    script.take(AppendAudio(numbered(2000)))
    item_id = script.sent(script.utterance())[0]["item_id"]  # 100 to 900 ms
    assert audio_of(script, item_id) == numbered(800, 100)


def test_a_commit_by_hand_is_retrieved():
    script = Script()
    script.take(AppendAudio(numbered(300)))
    item_id = script.says("input_audio_buffer.commit")[0]["item_id"]
    assert audio_of(script, item_id) == numbered(300)


def test_a_recording_that_the_client_made_is_retrieved():
    script = Script()
    part = {"type": "input_audio", "audio": base64.b64encode(numbered(20)).decode()}
    item = {"type": "message", "role": "user", "content": [part]}
    item_id = script.says("conversation.item.create", item=item)[0]["item"]["id"]
    assert audio_of(script, item_id) == numbered(20)


def test_speech_of_the_model_is_retrieved():
    script = Script()
    assert audio_of(script, spoken(script, numbered(70))) == numbered(70)


@pytest.mark.parametrize("law", ["audio/pcmu", "audio/pcma"])
def test_audio_is_retrieved_in_the_sessions_format(law):
    script = Script()
    item_id = spoken(script, numbered(60))
    format_ = {"output": {"format": {"type": law}}}
    script.send("session.update", session={"type": "realtime", "audio": format_})
    assert audio_of(script, item_id) == g711.encode(numbered(60), law)


def test_what_is_too_old_is_retrieved_without_audio():
    script = Script(kept_ms=100)
    first, second = spoken(script, pcm(80)), spoken(script, pcm(60))
    assert audio_of(script, first) is None
    assert audio_of(script, second) == pcm(60)


def test_the_answer_fits_the_frames_that_clients_take():
    script = Script(kept_ms=60_000)
    [event] = script.says("conversation.item.retrieve", item_id=spoken(script, pcm(LONGEST_MS)))
    assert 800_000 < len(str(event)) < 1 << 20
    assert audio_of(script, spoken(script, pcm(LONGEST_MS + 1))) is None


def test_a_recording_with_its_transcript_is_retrieved():
    script = Script()
    audio = base64.b64encode(numbered(20)).decode()
    part = {"type": "input_audio", "audio": audio, "transcript": "hi"}
    item = {"type": "message", "role": "user", "content": [part]}
    item_id = script.says("conversation.item.create", item=item)[0]["item"]["id"]
    assert audio_of(script, item_id) == numbered(20)


def test_what_was_truncated_while_it_was_said_ends_there():
    script = Script()
    rid = script.respond()
    [added, *_] = script.hears(sig.ReplyText(rid, "one two"), sig.ReplyAudio(rid, numbered(70)))
    fields = {"item_id": added["item"]["id"], "content_index": 0, "audio_end_ms": 40}
    script.says("conversation.item.truncate", **fields)
    script.hears(sig.ReplyAudio(rid, numbered(70)), sig.ReplyEnded(rid, sig.Tokens()))
    assert audio_of(script, fields["item_id"]) == numbered(40)
    [event] = script.says("conversation.item.retrieve", item_id=fields["item_id"])
    assert event["item"]["content"][0]["transcript"] == ""
