from __future__ import annotations

import pytest

from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.client_events import AppendAudio
from gateway.realtime.settings import SemanticVad
from tests.script import Script, only, pcm, types

TRANSCRIBE = {"audio": {"input": {"transcription": {"model": "m"}}}}
AUDIO = "input_audio_buffer"
WORDS = "conversation.item.input_audio_transcription"


def update(script: Script, **session: object) -> list[do.Effect]:
    return script.send("session.update", session={"type": "realtime", **session})


def detection(script: Script, **vad: object) -> None:
    vad = {"type": "server_vad", **vad}
    update(script, audio={"input": {"turn_detection": vad}})


def appended(ms: int) -> AppendAudio:
    return AppendAudio(pcm(ms))


def push_to_talk(script: Script) -> None:
    update(script, audio={"input": {"turn_detection": None}})


def test_speech_becomes_an_item_and_is_answered(script):
    events = script.sent(script.utterance(words=None))
    assert types(events) == [
        f"{AUDIO}.speech_started",
        f"{AUDIO}.speech_stopped",
        f"{AUDIO}.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]
    item_id = events[0]["item_id"]
    assert {e.get("item_id") or e["item"]["id"] for e in events[:5]} == {item_id}
    assert (events[0]["audio_start_ms"], events[1]["audio_end_ms"]) == (100, 900)
    assert events[3]["item"]["content"] == [{"type": "input_audio", "transcript": None}]


def test_the_model_is_asked_when_the_words_are_there(script):
    assert only(script.utterance(words=None), do.StartReply) == []
    [start] = script.take(sig.Transcribed("u1", "hello", 800))[-1:]
    assert isinstance(start, do.StartReply)
    assert [line.text for line in start.context] == ["hello"]


def test_without_create_response_nobody_answers(script):
    detection(script, create_response=False)
    assert "response.created" not in types(script.sent(script.utterance()))


def test_without_interrupt_response_the_answer_goes_on(script):
    detection(script, interrupt_response=False)
    script.utterance()
    assert types(script.hears(sig.SpeechStarted("u2", 2000))) == [f"{AUDIO}.speech_started"]


def test_a_turn_that_cannot_be_answered_now_is_kept(script):
    detection(script, interrupt_response=False)
    script.utterance("u1")
    effects = script.utterance("u2")
    events = script.sent(effects)
    assert types(events) == [
        f"{AUDIO}.speech_started",
        f"{AUDIO}.speech_stopped",
        f"{AUDIO}.committed",
        "conversation.item.added",
        "conversation.item.done",
        "error",
    ]
    assert events[-1]["error"]["code"] == "conversation_already_has_active_response"
    assert [r.fact.text for r in only(effects, do.Record)] == ["", "hello"]


def test_push_to_talk_answers_only_when_asked(script):
    push_to_talk(script)
    assert script.send(f"{AUDIO}.append", audio="AAAA") == [do.Hear(b"\0\0")]
    script.session.receive(appended(200))
    effects = script.send(f"{AUDIO}.commit")
    committed, added, done = script.sent(effects)
    assert committed["type"] == f"{AUDIO}.committed"
    assert added["item"]["id"] == done["item"]["id"] == committed["item_id"]
    assert effects[0] == do.EndUtterance(committed["item_id"])
    assert only(effects, do.StartReply) == []


def test_detection_that_is_off_hears_nothing(script):
    script.take(sig.SpeechStarted("u1", 0))
    push_to_talk(script)
    assert script.take(sig.SpeechStopped("u1", 900)) == []
    assert script.take(sig.SpeechStarted("u2", 1000)) == []
    assert script.take(sig.Transcribed("u2", "ghost", 100)) == []


def test_a_commit_in_mid_speech_ends_it_without_an_answer(script):
    started = script.hears(appended(500), sig.SpeechStarted("u1", 0))[0]
    events = script.says(f"{AUDIO}.commit")
    assert types(events) == [
        f"{AUDIO}.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    assert events[0]["item_id"] == started["item_id"]
    assert script.take(sig.SpeechStopped("u1", 600)) == []


def test_a_commit_of_too_little_audio_changes_nothing(script):
    script.take(appended(40))
    error = script.error(f"{AUDIO}.commit")
    assert error["code"] == "input_audio_buffer_commit_empty"
    assert "40.00ms" in error["message"]
    script.take(appended(60))
    assert types(script.says(f"{AUDIO}.commit"))[0] == f"{AUDIO}.committed"


def test_clearing_answers_even_when_there_is_nothing(script):
    assert script.send(f"{AUDIO}.clear")[0] == do.ForgetAudio()
    assert types(script.says(f"{AUDIO}.clear")) == [f"{AUDIO}.cleared"]


def test_clearing_in_mid_speech_takes_it_back(script):
    script.hears(appended(500), sig.SpeechStarted("u1", 0))
    script.send(f"{AUDIO}.clear")
    assert script.take(sig.SpeechStopped("u1", 400)) == []
    assert script.error(f"{AUDIO}.commit")["code"] == "input_audio_buffer_commit_empty"


def test_words_stream_as_far_as_they_are_stable(script):
    update(script, **TRANSCRIBE)
    script.utterance(words=None)
    assert script.hears(sig.Hypothesis("u1", "hello wor", 0)) == []
    [first] = script.hears(sig.Hypothesis("u1", "hello wor", 6))
    [second, done] = script.hears(sig.Transcribed("u1", "hello world", 800))
    assert (first["delta"], second["delta"]) == ("hello ", "world")
    assert done["type"] == f"{WORDS}.completed"
    assert done["transcript"] == "hello world"
    assert done["usage"] == {"type": "duration", "seconds": 0.8}


def test_words_are_told_once(script):
    update(script, **TRANSCRIBE)
    script.utterance()
    assert script.take(sig.Transcribed("u1", "again", 800)) == []
    assert script.take(sig.Hypothesis("u1", "again", 5)) == []
    assert script.take(sig.NotTranscribed("u1", "late")) == []


def test_words_nobody_asked_for_stay_inside(script):
    assert types(script.sent(script.utterance()))[-1] == "response.created"


def test_a_later_look_at_the_item_shows_its_words(script):
    item_id = script.sent(script.utterance())[0]["item_id"]
    [item] = script.says("conversation.item.retrieve", item_id=item_id)
    assert item["item"]["content"] == [{"type": "input_audio", "transcript": "hello"}]


def test_speech_without_words_fails_the_answer_that_waits_for_it(script):
    update(script, **TRANSCRIBE)
    script.utterance(words=None)
    failed, done = script.hears(sig.NotTranscribed("u1", "decoder broke"))
    assert failed["type"] == f"{WORDS}.failed"
    assert failed["error"]["code"] == "audio_unintelligible"
    assert done["response"]["status"] == "failed"
    assert done["response"]["status_details"]["error"]["code"] == "transcription_failed"


def test_a_deleted_item_gets_no_words_and_holds_nobody_up(script):
    update(script, **TRANSCRIBE)
    item_id = script.sent(script.utterance(words=None))[0]["item_id"]
    effects = script.send("conversation.item.delete", item_id=item_id)
    assert only(effects, do.StartReply)
    assert script.take(sig.Transcribed("u1", "hello", 800)) == []


def test_lost_recognition_is_told_once_and_fails_what_waits(script):
    update(script, **TRANSCRIBE)
    script.utterance(words=None)
    events = script.hears(sig.EarsLost("nobody answers"))
    assert types(events) == ["error", f"{WORDS}.failed", "response.done"]
    assert events[0]["error"]["code"] == "service_unavailable"
    assert script.hears(sig.EarsLost("nobody answers")) == []
    assert types(script.sent(script.utterance("u2")))[0] == f"{AUDIO}.speech_started"
    assert types(script.hears(sig.EarsLost("again"))) == ["error"]


def test_an_utterance_that_is_recognised_later_is_answered_then(script):
    update(script, **TRANSCRIBE)
    script.utterance("u1", words=None)
    assert types(script.hears(sig.EarsLost("nobody answers", ("u1",)))) == ["error"]
    effects = script.take(sig.Transcribed("u1", "hello", 800))
    assert f"{WORDS}.completed" in types(script.sent(effects))
    assert len(only(effects, do.StartReply)) == 1
    assert script.take(sig.Transcribed("u1", "hello", 800)) == [], "once"


def test_listening_changes_only_when_its_settings_do(script):
    assert only(update(script, instructions="x"), do.Listen) == []
    [listen] = only(
        update(script, audio={"input": {"transcription": {"language": "de"}}}), do.Listen
    )
    assert listen.how.language == "de"
    assert listen.how.turn_detection is not None


def test_two_recordings_under_one_id_both_get_their_words(script):
    part = {"type": "input_audio", "audio": "AAAA"}
    item = {"id": "twin", "type": "message", "role": "user", "content": [part]}
    effects = [*script.send("conversation.item.create", item=item)]
    effects += script.send("conversation.item.create", item=item)
    for wanted in only(effects, do.Transcribe):
        script.take(sig.Transcribed(wanted.utterance, "hello", 1))
    assert only(script.send("response.create"), do.StartReply)


def test_a_recording_adds_its_words_to_the_written_ones(script):
    parts = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_audio", "audio": "AAAA"},
    ]
    item = {"id": "i", "type": "message", "role": "user", "content": parts}
    script.send("conversation.item.create", item=item)
    script.take(sig.Transcribed("i", "bark", 1))
    [start] = only(script.send("response.create"), do.StartReply)
    assert start.context[0].text == "What is this?\nbark"


def test_semantic_detection_is_asked_for_as_the_client_said(script):
    vad = {"type": "semantic_vad", "eagerness": "high"}
    effects = update(script, audio={"input": {"turn_detection": vad}})
    [listen] = only(effects, do.Listen)
    assert listen.how.turn_detection == SemanticVad("high")
    [updated] = script.sent(effects)
    assert updated["session"]["audio"]["input"]["turn_detection"] == {
        **vad, "create_response": True, "interrupt_response": True,
    }  # fmt: skip
    assert types(script.sent(script.utterance()))[-1] == "response.created"


@pytest.mark.parametrize("vad", [{"type": "semantic_vad"}, {"type": "server_vad", "threshold": 1}])
def test_another_detection_in_mid_speech_keeps_the_audio_and_the_utterance(script, vad):
    started = script.hears(appended(500), sig.SpeechStarted("u1", 0))[0]
    effects = update(script, audio={"input": {"turn_detection": vad}})
    assert types(script.sent(effects)) == ["session.updated"]
    events = script.hears(sig.SpeechStopped("u1", 450))
    assert types(events)[:2] == [f"{AUDIO}.speech_stopped", f"{AUDIO}.committed"]
    assert events[0]["item_id"] == started["item_id"]


def test_detection_turned_off_in_mid_speech_leaves_the_audio_to_the_client(script):
    started = script.hears(appended(500), sig.SpeechStarted("u1", 100))[0]
    push_to_talk(script)
    assert script.take(sig.SpeechStopped("u1", 450)) == []
    committed = script.says(f"{AUDIO}.commit")[0]
    assert committed["item_id"] != started["item_id"], "that speech was abandoned"


def test_words_may_come_under_the_name_of_what_was_committed_in_mid_speech(script):
    """Recognition may have ended the utterance when the client did."""
    update(script, **TRANSCRIBE)
    script.hears(appended(500), sig.SpeechStarted("u1", 0))
    item_id = script.says(f"{AUDIO}.commit")[0]["item_id"]
    assert script.take(sig.SpeechStopped("u1", 500)) == []
    events = script.hears(sig.Transcribed("u1", "hello", 500))
    assert types(events) == [f"{WORDS}.delta", f"{WORDS}.completed"]
    assert events[1]["item_id"] == item_id
    assert script.take(sig.Transcribed(item_id, "", 0)) == []


def test_two_recordings_under_one_id_get_their_own_words(script):
    part = {"type": "input_audio", "audio": "AAAA"}
    item = {"id": "twin", "type": "message", "role": "user", "content": [part]}
    effects = [*script.send("conversation.item.create", item=item)]
    effects += script.send("conversation.item.create", item=item)
    first, second = only(effects, do.Transcribe)
    assert first.utterance != second.utterance
    script.take(sig.Transcribed(second.utterance, "two", 1))
    script.take(sig.Transcribed(first.utterance, "one", 1))
    [start] = only(script.send("response.create"), do.StartReply)
    assert [line.text for line in start.context] == ["one", "two"]


def test_an_id_that_is_used_again_begins_its_transcript_anew(script):
    update(script, **TRANSCRIBE)
    item_id = script.sent(script.utterance(words=None))[0]["item_id"]
    script.hears(sig.Hypothesis("u1", "hello wor", 6))
    script.send("conversation.item.delete", item_id=item_id)
    part = {"type": "input_audio", "audio": "AAAA"}
    item = {"id": item_id, "type": "message", "role": "user", "content": [part]}
    [recognise] = only(script.send("conversation.item.create", item=item), do.Transcribe)
    first, done = script.hears(sig.Transcribed(recognise.utterance, "hello moon", 1))
    assert first["delta"] == done["transcript"] == "hello moon"


def test_speech_that_fails_before_it_is_over_will_not_be_an_item(script):
    script.hears(appended(500), sig.SpeechStarted("u1", 0))
    assert script.take(sig.NotTranscribed("u1", "broke")) == []
    assert script.take(sig.SpeechStopped("u1", 400)) == []
    assert types(script.hears(sig.SpeechStarted("u2", 450))) == [f"{AUDIO}.speech_started"]


def test_with_both_flags_off_a_turn_neither_interrupts_nor_is_answered(script):
    detection(script, create_response=False, interrupt_response=False)
    rid = script.respond()
    assert only(script.utterance(), do.StopReply) == []
    assert script.hears(sig.ReplyText(rid, "still here"))


RECORDED = {
    "type": "message",
    "role": "user",
    "content": [{"type": "input_audio", "audio": "AAAA"}],
}


def test_a_response_waits_for_both_recordings_under_one_id(script):
    item = {**RECORDED, "id": "twin"}
    effects = [*script.send("conversation.item.create", item=item)]
    effects += script.send("conversation.item.create", item=item)
    first, second = only(effects, do.Transcribe)
    script.send("response.create")
    assert only(script.take(sig.Transcribed(first.utterance, "one", 1)), do.StartReply) == []
    assert only(script.take(sig.Transcribed(second.utterance, "two", 1)), do.StartReply)


def test_the_end_of_a_twin_does_not_start_what_waits_for_the_other(script):
    script.send("conversation.item.create", item={**RECORDED, "id": "twin"})
    script.user_says("written", id="twin")
    script.send("response.create")
    effects = script.send("conversation.item.delete", item_id="twin")
    assert only(effects, do.StartReply) == []


def test_a_response_that_waited_does_not_answer_what_came_later(script):
    [recognise] = only(script.send("conversation.item.create", item=RECORDED), do.Transcribe)
    script.send("response.create")
    script.send("conversation.item.create", item=RECORDED)
    [start] = only(script.take(sig.Transcribed(recognise.utterance, "one", 1)), do.StartReply)
    assert [line.text for line in start.context] == ["one"]


def test_an_answer_that_nobody_asked_for_is_counted(script):
    assert len(only(script.utterance(), do.CountRequest)) == 1
    script.send("response.cancel")
    assert only(script.send("response.create"), do.CountRequest) == []
