"""Responses outside the conversation, and responses with an `input` of their own."""

from __future__ import annotations

import base64

import pytest

from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.replies import MOST_ASIDE
from tests.script import Event, Script, only, pcm, types

R, ITEM = "response", "conversation.item"
AUDIO = {"type": "input_audio", "audio": base64.b64encode(pcm(250)).decode()}


def aside(script: Script, **wanted: object) -> str:
    return script.respond(conversation="none", **wanted)


def text(words: str) -> Event:
    part = {"type": "input_text", "text": words}
    return {"type": "message", "role": "user", "content": [part]}


def spoken(**more: object) -> Event:
    return {"type": "message", "role": "user", "content": [{**AUDIO, **more}]}


def refer(item_id: str) -> Event:
    return {"type": "item_reference", "id": item_id}


def lines(effects: list[do.Effect]) -> list[str]:
    [start] = only(effects, do.StartReply)
    return [line.text for line in start.context]


def test_its_events_are_those_of_a_response_without_the_conversations(text_only):
    text_only.user_says("hi")
    rid = aside(text_only, metadata={"topic": "x"})
    events = text_only.hears(sig.ReplyText(rid, "Hi."), sig.ReplyEnded(rid, sig.Tokens(5, 0, 1)))
    assert types(events) == [
        f"{R}.output_item.added",
        f"{R}.content_part.added",
        f"{R}.output_text.delta",
        f"{R}.output_text.done",
        f"{R}.content_part.done",
        f"{R}.output_item.done",
        f"{R}.done",
        "rate_limits.updated",
    ]
    response = events[-2]["response"]
    assert (response["conversation_id"], response["metadata"]) == (None, {"topic": "x"})
    assert response["output"][0]["content"] == [{"type": "output_text", "text": "Hi."}]


def test_what_it_says_is_not_kept(script):
    rid = aside(script)
    [added, *_] = script.hears(sig.ReplyText(rid, "Hi."), sig.ReplyAudio(rid, pcm(100)))
    effects = script.take(sig.ReplyEnded(rid, sig.Tokens()))
    assert only(effects, do.Record) == []
    item_id = added["item"]["id"]
    for verb in ("retrieve", "delete"):
        error = script.error(f"{ITEM}.{verb}", item_id=item_id)
        assert error["code"] == f"item_{verb}_invalid_item_id"
    truncate = {"item_id": item_id, "content_index": 0, "audio_end_ms": 10}
    assert script.error(f"{ITEM}.truncate", **truncate)["code"] == "item_truncate_invalid_item_id"
    assert lines(script.send("response.create")) == []


def test_it_can_speak(script):
    rid = aside(script)
    events = script.hears(sig.ReplyText(rid, "Hi."), sig.ReplyAudio(rid, pcm(100)))
    assert events[-1]["type"] == f"{R}.output_audio.delta"
    [*_, done, _] = script.hears(sig.ReplyEnded(rid, sig.Tokens()))
    assert done["response"]["usage"]["output_token_details"]["audio_tokens"] == 2


def test_several_run_beside_the_one_of_the_conversation(script):
    rids = [aside(script), script.respond(), aside(script)]
    for rid in rids:
        events = script.hears(sig.ReplyText(rid, "Hi."))
        assert events[-1]["response_id"] == rid
    for rid in reversed(rids):
        assert script.hears(sig.ReplyEnded(rid, sig.Tokens()))[-2]["response"]["id"] == rid


def test_there_is_a_most_of_them(script):
    rids = [aside(script) for _ in range(MOST_ASIDE)]
    error = script.error("response.create", response={"conversation": "none"})
    assert (error["code"], error["param"]) == (
        "too_many_active_responses",
        "response.conversation",
    )
    script.respond()
    script.take(sig.ReplyEnded(rids[3], sig.Tokens()))
    aside(script)


def test_speech_does_not_interrupt_it(script):
    other, own = aside(script), script.respond()
    effects = script.take(sig.SpeechStarted("u1", 0))
    assert only(effects, do.StopReply) == [do.StopReply(own)]
    assert script.hears(sig.ReplyText(other, "Hi."))


def test_it_is_cancelled_by_its_id_only(script):
    rid = aside(script)
    assert script.error("response.cancel")["code"] == "response_cancel_not_active"
    effects = script.send("response.cancel", response_id=rid)
    assert effects[0] == do.StopReply(rid)
    assert script.sent(effects)[0]["response"]["status"] == "cancelled"
    assert script.take(sig.ReplyText(rid, "late")) == []


def test_it_may_have_another_voice_although_the_model_has_spoken(script):
    rid = script.respond()
    script.hears(sig.ReplyText(rid, "hi"), sig.ReplyAudio(rid, pcm(20)))
    voice = {"output": {"voice": "sage"}}
    effects = script.send("response.create", response={"conversation": "none", "audio": voice})
    assert only(effects, do.StartReply)[0].voice == do.Voice("sage", 1.0)
    assert script.sent(effects)[0]["response"]["audio"]["output"]["voice"] == "sage"


# Input.


@pytest.mark.parametrize("conversation", ["none", "auto"])
def test_input_takes_the_place_of_the_conversation(script, conversation):
    script.user_says("no")
    known = script.user_says("two")
    wanted = {"conversation": conversation, "input": [text("one"), refer(known), text("three")]}
    effects = script.send("response.create", response=wanted)
    assert lines(effects) == ["one", "two", "three"]
    assert types(script.sent(effects)) == ["response.created"], "new items are nobody's business"
    script.send("response.cancel", response_id=script.sent(effects)[0]["response"]["id"])
    assert lines(script.send("response.create")) == ["no", "two"]


def test_an_empty_input_is_an_empty_context(script):
    script.user_says("hi")
    assert lines(script.send("response.create", response={"input": []})) == []


def test_an_answer_to_input_of_its_own_can_join_the_conversation(text_only):
    rid = text_only.respond(input=[text("hi")])
    events = text_only.hears(sig.ReplyText(rid, "Hi."), sig.ReplyEnded(rid, sig.Tokens()))
    assert f"{ITEM}.added" in types(events)
    assert lines(text_only.send("response.create")) == ["Hi."]


@pytest.mark.parametrize("before", [[], [spoken()]])
def test_an_unknown_reference_leaves_nothing_behind(script, before):
    wanted = {"conversation": "none", "input": [*before, refer("nope")]}
    error = script.error("response.create", response=wanted)
    assert (error["code"], error["param"]) == (
        "invalid_value",
        f"response.input[{len(before)}].id",
    )
    assert script.take(sig.EarsLost("x"))[1:] == [], "nothing is being recognised"
    script.respond()


def test_a_refused_response_forgets_its_recordings(script):
    script.respond()
    wanted = {"input": [spoken()]}
    error = script.error("response.create", response=wanted)
    assert error["code"] == "conversation_already_has_active_response"
    assert len(script.take(sig.EarsLost("x"))) == 1


def test_a_recording_in_input_is_recognised_first(script):
    wanted = {"conversation": "none", "input": [text("What is this?"), spoken()]}
    _, recognise = script.send("response.create", response=wanted)
    assert isinstance(recognise, do.Transcribe)
    assert recognise.pcm == pcm(250)
    [start] = script.take(sig.Transcribed(recognise.utterance, "a dog", 250))
    assert [line.text for line in start.context] == ["What is this?", "a dog"]
    [done, _] = script.hears(sig.ReplyEnded(start.response_id, sig.Tokens(10, 0, 1)))
    assert done["response"]["usage"]["input_token_details"]["audio_tokens"] == 3


def test_the_transcript_of_a_recording_in_input_is_told_to_nobody(script):
    heard = {"input": {"transcription": {"model": "whisper-1"}}}
    script.send("session.update", session={"type": "realtime", "audio": heard})
    effects = script.send("response.create", response={"input": [spoken()]})
    [recognise] = only(effects, do.Transcribe)
    assert script.hears(sig.Hypothesis(recognise.utterance, "a dog", 5)) == []
    assert script.hears(sig.Transcribed(recognise.utterance, "a dog", 250)) == []


def test_a_recording_with_its_transcript_needs_no_recognition(script):
    effects = script.send("response.create", response={"input": [spoken(transcript="a dog")]})
    assert only(effects, do.Transcribe) == []
    assert lines(effects) == ["a dog"]


def test_a_reference_waits_for_the_words_of_its_item(script):
    item_id = script.says(f"{ITEM}.create", item=spoken())[0]["item"]["id"]
    wanted = {"conversation": "none", "input": [refer(item_id)]}
    assert only(script.send("response.create", response=wanted), do.StartReply) == []
    assert lines(script.take(sig.Transcribed(item_id, "a dog", 250))) == ["a dog"]


def test_words_that_do_not_come_fail_the_response(script):
    wanted = {"conversation": "none", "input": [spoken()]}
    _, recognise = script.send("response.create", response=wanted)
    [done] = script.hears(sig.NotTranscribed(recognise.utterance, "noise"))
    assert done["response"]["status"] == "failed"
    assert done["response"]["status_details"]["error"]["code"] == "transcription_failed"
    assert script.take(sig.Transcribed(recognise.utterance, "late", 250)) == []


def test_lost_recognition_fails_it_too(script):
    script.send("response.create", response={"conversation": "none", "input": [spoken()]})
    assert types(script.hears(sig.EarsLost("gone"))) == ["error", "response.done"]


def test_a_response_that_waits_for_its_recording_can_be_cancelled(script):
    _, recognise = script.send("response.create", response={"input": [spoken()]})
    effects = script.send("response.cancel")
    assert only(effects, do.StopReply) == []
    assert script.take(sig.Transcribed(recognise.utterance, "a dog", 250)) == []


def test_a_picture_reaches_the_model_and_not_the_client(script):
    picture = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}
    item = {"type": "message", "role": "user", "content": [picture]}
    effects = script.send("response.create", response={"input": [item]})
    [line] = only(effects, do.StartReply)[0].context
    assert [image.image_url for image in line.images] == [picture["image_url"]]
