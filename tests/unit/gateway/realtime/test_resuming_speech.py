"""What the user was saying when their session moved is heard, and nothing is heard twice."""

from __future__ import annotations

import pytest

from gateway.realtime import client_events as ce
from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.awaiting import LOST
from gateway.realtime.microphone import CARRIED_MS
from gateway.realtime.turns import MAX_BUFFERED_MS
from tests.moving_script import MovingScript
from tests.script import only, pcm, types

TRANSCRIBE = {"transcription": {"model": "m"}}
WORDS = "conversation.item.input_audio_transcription"
SAMPLES_PER_MS = 24
COMMITTED = [
    "input_audio_buffer.speech_stopped", "input_audio_buffer.committed",
    "conversation.item.added", "conversation.item.done", "response.created",
]  # fmt: skip


@pytest.fixture
def script() -> MovingScript:
    return MovingScript()


def listens(script: MovingScript, **heard: object) -> None:
    session = {"type": "realtime", "audio": {"input": {**TRANSCRIBE, **heard}}}
    script.send("session.update", session=session)


def says(script: MovingScript, ms: int) -> None:
    """The user's client sends so much audio, 20 ms at a time."""
    for _ in range(ms // 20):
        script.take(ce.AppendAudio(pcm(20)))


def speaking(script: MovingScript) -> str:
    """Speech that began at 700 of 1500 ms; its item."""
    says(script, 1000)
    [started] = script.hears(sig.SpeechStarted("old", 700))
    says(script, 500)
    return str(started["item_id"])


def heard(effects: list[do.Effect]) -> tuple[int, bytes]:
    """What is heard again: from where in the session, in milliseconds."""
    [clock] = only(effects, do.HearFrom)
    return clock.sample // SAMPLES_PER_MS, b"".join(hear.pcm for hear in only(effects, do.Hear))


# Speech in progress.


def test_speech_that_is_going_on_is_heard_from_its_beginning(script):
    speaking(script)
    effects = script.move()
    assert script.sent(effects) == []
    assert heard(effects) == (700, pcm(800))
    kinds = [type(effect) for effect in effects]
    assert kinds == [do.Listen, do.HearFrom, do.Hear]


def test_the_client_is_not_told_twice_that_somebody_speaks(script):
    listens(script)
    item_id = speaking(script)
    script.move()
    says(script, 200)
    assert script.take(sig.SpeechStarted("new", 710)) == []
    stopped, *rest = script.hears(sig.SpeechStopped("new", 1700))
    assert [stopped["type"], *types(rest)] == COMMITTED
    assert (stopped["item_id"], stopped["audio_end_ms"]) == (item_id, 1700)
    told = script.hears(sig.Transcribed("new", "all of it", 1000))
    assert types(told) == [f"{WORDS}.delta", f"{WORDS}.completed"]
    assert told[-1]["item_id"] == item_id


def test_what_comes_after_it_is_told_again(script):
    speaking(script)
    script.move()
    script.take(sig.SpeechStarted("new", 710))
    script.take(sig.SpeechStopped("new", 1500))
    says(script, 300)
    assert types(script.hears(sig.SpeechStarted("next", 1700)))[0].endswith("speech_started")


def test_speech_that_nobody_hears_again_ends_once(script):
    listens(script)
    item_id = speaking(script)
    script.move()
    says(script, CARRIED_MS)
    events = script.hears(*[ce.AppendAudio(pcm(20))] * 2)
    assert types(events[: len(COMMITTED)]) == COMMITTED
    assert events[0]["item_id"] == item_id
    assert events[0]["audio_end_ms"] == 1500 + CARRIED_MS + 20
    lost = [event for event in events if event["type"] == f"{WORDS}.failed"]
    assert [event["item_id"] for event in lost] == [item_id]
    assert events[-1]["response"]["status_details"]["error"]["message"] == LOST
    says(script, 2 * CARRIED_MS)
    assert len(events) == len(COMMITTED) + 2
    assert script.hears(ce.AppendAudio(pcm(20))) == []


def test_speech_that_is_heard_again_is_not_ended_for_it(script):
    speaking(script)
    script.move()
    script.take(sig.SpeechStarted("new", 700))
    says(script, 2 * CARRIED_MS)
    assert types(script.hears(sig.SpeechStopped("new", 7000))) == COMMITTED


def test_the_kept_audio_is_the_items_when_it_is_retrieved(script):
    item_id = speaking(script)
    script.move()
    script.take(sig.SpeechStarted("new", 700))
    says(script, 100)
    script.take(sig.SpeechStopped("new", 1600))
    [event] = script.says("conversation.item.retrieve", item_id=item_id)
    [part] = event["item"]["content"]
    assert len(part["audio"]) == 900 * 48 // 3 * 4


def test_speech_can_move_twice(script):
    item_id = speaking(script)
    script.move()
    says(script, 100)
    assert heard(script.move()) == (700, pcm(900))
    script.take(sig.SpeechStarted("third", 700))
    assert script.hears(sig.SpeechStopped("third", 1600))[0]["item_id"] == item_id


def test_audio_that_was_not_kept_is_left_out_of_the_speech(script):
    """A process that dies takes the last of it along. Silence in its place would end it."""
    item_id = speaking(script)
    script.journal.settle()
    says(script, 200)  # the first frame is noted at once, and the rest waits for more
    assert heard(script.move(loses=True)) == (700, pcm(820))
    says(script, 100)
    script.take(sig.SpeechStarted("new", 700))
    [stopped, *_] = script.hears(sig.SpeechStopped("new", 1620))
    assert (stopped["item_id"], stopped["audio_end_ms"]) == (item_id, 1620)


def test_half_a_sample_finds_its_other_half(script):
    script.take(ce.AppendAudio(pcm(20) + b"\x05"))
    script.move()
    [hear] = only(script.take(ce.AppendAudio(b"\x06\x07\x08")), do.Hear)
    assert hear.pcm == b"\x05\x06\x07\x08"


def test_between_two_turns_only_the_clock_goes_on(script):
    says(script, 1000)
    effects = script.move()
    assert heard(effects) == (1000, b"")


# By hand.


def test_what_was_appended_by_hand_is_committed_elsewhere(script):
    listens(script, turn_detection=None)
    says(script, 300)
    assert heard(script.move()) == (0, pcm(300))
    says(script, 100)
    effects = script.send("input_audio_buffer.commit")
    item_id = script.sent(effects)[0]["item_id"]
    assert only(effects, do.EndUtterance) == [do.EndUtterance(item_id)]
    [event] = script.says("conversation.item.retrieve", item_id=item_id)
    assert len(event["item"]["content"][0]["audio"]) == 400 * 48 // 3 * 4


def test_what_was_committed_before_is_not_heard_again(script):
    listens(script, turn_detection=None)
    says(script, 300)
    effects = script.send("input_audio_buffer.commit")
    item_id = script.sent(effects)[0]["item_id"]
    script.take(sig.Transcribed(item_id, "first", 300))
    says(script, 200)
    assert heard(script.move()) == (300, pcm(200))


def test_an_append_that_was_refused_stays_refused(script):
    listens(script, turn_detection=None)
    says(script, 100)
    [error] = script.hears(ce.AppendAudio(bytes(MAX_BUFFERED_MS * 48)))
    assert error["error"]["code"] == "input_audio_buffer_full"
    assert heard(script.move()) == (0, pcm(100))


# Words.


def test_words_that_are_awaited_are_recognised_again(script):
    speaking(script)
    listens(script)
    stopped = script.hears(sig.SpeechStopped("old", 1500))
    effects = script.move()
    assert only(effects, do.Transcribe) == [do.Transcribe("old", pcm(800))]
    assert heard(effects) == (1500, b"")
    effects = script.take(sig.Transcribed("old", "all of it", 800))
    [start] = only(effects, do.StartReply)
    assert [line.text for line in start.context] == ["all of it"]
    assert start.response_id == stopped[-1]["response"]["id"]
    assert start.begun is None


def test_without_their_audio_they_are_lost_and_so_is_the_answer():
    script = MovingScript(kept_ms=0)
    listens(script)
    script.utterance(words=None)
    events = script.sent(script.move())
    assert types(events) == [f"{WORDS}.failed", "response.done"]
    details = events[-1]["response"]["status_details"]
    assert details["error"]["message"] == LOST


def test_what_was_told_of_them_is_not_told_again(script):
    listens(script)
    speaking(script)
    script.take(sig.SpeechStopped("old", 1500))
    script.take(sig.Hypothesis("old", "all of", 6))
    script.move()
    delta, done = script.hears(sig.Transcribed("old", "all of it", 800))[:2]
    assert (delta["delta"], done["transcript"]) == (" it", "all of it")


def test_a_recording_that_came_with_an_item_is_recognised_again(script):
    content = [{"type": "input_audio", "audio": "AQID" * 4800}]
    item = {"type": "message", "role": "user", "content": content}
    effects = script.send("conversation.item.create", item=item)
    assert only(script.move(), do.Transcribe) == only(effects, do.Transcribe)


def test_a_commit_in_mid_speech_is_recognised_once_whatever_it_is_called(script):
    speaking(script)
    item_id = script.sent(script.send("input_audio_buffer.commit"))[0]["item_id"]
    [again] = only(script.move(), do.Transcribe)
    assert again.pcm == pcm(800)
    assert again.utterance in ("old", item_id)
    assert script.take(sig.Transcribed(again.utterance, "words", 800))
    assert script.take(sig.Transcribed("old", "words", 800)) == []
    assert script.take(sig.Transcribed(item_id, "words", 800)) == []


# Silence.


def test_the_idle_timeout_runs_on_where_it_was(script):
    vad = {"type": "server_vad", "idle_timeout_ms": 5000}
    listens(script, turn_detection=vad)
    rid = script.respond()
    script.take(sig.ReplyEnded(rid, sig.Tokens()))
    says(script, 3000)
    script.compact()
    assert not only(script.move(), do.Hear)
    says(script, 2000)
    assert script.hears(ce.AppendAudio(pcm(20)))[0]["type"].endswith("timeout_triggered")
