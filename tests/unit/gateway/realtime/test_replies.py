from __future__ import annotations

from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.settings import Settings, Tool
from tests.script import Script, only, pcm, types


def test_a_response_is_announced_and_started_at_once(script):
    script.user_says("hi")
    created, start = script.send("response.create")
    assert isinstance(created, do.Send)
    assert isinstance(start, do.StartReply)
    assert start.response_id == script.sent([created])[0]["response"]["id"]
    assert start.voice == do.Voice("alloy", 1.0)


def test_overrides_hold_for_one_response(script):
    script.send(
        "session.update",
        session={"type": "realtime", "instructions": "Long.", "max_output_tokens": 100},
    )
    wanted = {
        "instructions": "Short.",
        "output_modalities": ["text"],
        "max_output_tokens": 4,
        "tools": [{"type": "function", "name": "f"}],
        "tool_choice": "required",
        "metadata": {"k": "v"},
    }
    created, start = script.send("response.create", response=wanted)
    response = script.sent([created])[0]["response"]
    assert response["metadata"] == {"k": "v"}
    assert (response["output_modalities"], response["max_output_tokens"]) == (["text"], 4)
    assert start == do.StartReply(
        response["id"], "Short.", (), (Tool("f"),), "required", 4, voice=None
    )
    script.take(sig.ReplyEnded(response["id"], sig.Tokens()))
    [after] = only(script.send("response.create"), do.StartReply)
    assert (after.instructions, after.max_output_tokens, after.tools) == ("Long.", 100, ())
    assert after.voice is not None


def test_a_second_response_is_refused_and_the_first_goes_on(script):
    first = script.respond()
    error = script.error("response.create")
    assert error["code"] == "conversation_already_has_active_response"
    assert f"in progress: {first}." in error["message"]
    assert types(script.hears(sig.ReplyEnded(first, sig.Tokens())))[0] == "response.done"


def test_the_next_response_may_start_as_soon_as_one_is_done(script):
    script.take(sig.ReplyEnded(script.respond(), sig.Tokens()))
    script.respond()


def test_cancelling_stops_the_reply_and_drops_its_late_news(script):
    rid = script.respond()
    effects = script.send("response.cancel")
    assert effects[0] == do.StopReply(rid)
    [done, _] = script.sent(effects)
    assert done["response"]["status"] == "cancelled"
    details = {"type": "cancelled", "reason": "client_cancelled"}
    assert done["response"]["status_details"] == details
    for late in (
        sig.ReplyText(rid, "late"),
        sig.ReplyAudio(rid, pcm(20)),
        sig.ReplyTiming(rid, ((1, 2),)),
        sig.ReplyCall(rid, "c", "f", "{"),
        sig.ReplyCallDone(rid, "c", "f", "{}"),
        sig.ReplyDegraded(rid, "a", "b"),
        sig.ReplyEnded(rid, sig.Tokens()),
        sig.ReplyFailed(rid, "x", "y"),
    ):
        assert script.take(late) == []


def test_cancelling_by_name_needs_the_right_name(script):
    rid = script.respond()
    assert script.error("response.cancel", response_id="resp_0")["code"] == (
        "response_cancel_not_active"
    )
    assert types(script.says("response.cancel", response_id=rid))[0] == "response.done"


def test_cancelling_nothing_is_an_error_and_changes_nothing(script):
    error = script.error("response.cancel")
    assert error["message"] == "Cancellation failed: no active response found"
    script.respond()


def test_speech_interrupts_after_it_was_announced(script):
    rid = script.respond()
    script.hears(sig.ReplyText(rid, "Well"))
    effects = script.take(sig.SpeechStarted("u1", 100))
    assert types(script.sent(effects)) == [
        "input_audio_buffer.speech_started",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ]
    assert only(effects, do.StopReply) == [do.StopReply(rid)]
    assert script.sent(effects)[6]["response"]["status_details"] == {
        "type": "cancelled",
        "reason": "turn_detected",
    }


def test_a_response_that_waits_for_words_is_cancelled_without_a_stop(script):
    script.utterance(words=None)
    effects = script.send("response.cancel")
    assert only(effects, do.StopReply) == []
    assert only(script.take(sig.Transcribed("u1", "hi", 1)), do.StartReply) == []


def test_a_response_waits_for_every_recording(script):
    script.send(
        "session.update",
        session={"type": "realtime", "audio": {"input": {"turn_detection": None}}},
    )
    part = {"type": "input_audio", "audio": "AAAA"}
    for item_id in ("a", "b"):
        item = {"id": item_id, "type": "message", "role": "user", "content": [part]}
        script.send("conversation.item.create", item=item)
    assert only(script.send("response.create"), do.StartReply) == []
    assert only(script.take(sig.Transcribed("b", "two", 1)), do.StartReply) == []
    [start] = only(script.take(sig.Transcribed("a", "one", 1)), do.StartReply)
    assert [line.text for line in start.context] == ["one", "two"]


def test_a_failure_is_told_in_response_done(script):
    rid = script.respond()
    [done, _] = script.hears(sig.ReplyFailed(rid, "llm_unavailable", "nobody answers"))
    assert done["response"]["status"] == "failed"
    assert done["response"]["status_details"] == {
        "type": "failed",
        "error": {"type": "server_error", "code": "llm_unavailable", "message": "nobody answers"},
    }
    assert done["response"]["usage"]["total_tokens"] == 0


def test_an_answer_cut_short_says_why(text_only):
    rid = text_only.respond()
    text_only.hears(sig.ReplyText(rid, "Once"))
    events = text_only.hears(sig.ReplyEnded(rid, sig.Tokens(), "content_filter"))
    response = events[-2]["response"]
    assert response["status"] == "incomplete"
    assert response["status_details"] == {"type": "incomplete", "reason": "content_filter"}
    assert response["output"][0]["status"] == "incomplete"


def test_a_worse_voice_is_told_once_a_session(script):
    def metadata_of_a_degraded_reply() -> object:
        rid = script.respond(metadata={"k": "v"})
        assert script.hears(sig.ReplyDegraded(rid, "kokoro", "espeak")) == []
        return script.hears(sig.ReplyEnded(rid, sig.Tokens()))[0]["response"]["metadata"]

    assert metadata_of_a_degraded_reply() == {
        "k": "v",
        "ovos_tts_degraded": "kokoro failed, espeak speaks",
    }
    assert metadata_of_a_degraded_reply() == {"k": "v"}


def test_the_voice_is_fixed_once_the_model_has_spoken():
    script = Script(Settings())
    rid = script.respond(audio={"output": {"voice": "ash"}})
    script.hears(sig.ReplyText(rid, "hi"), sig.ReplyAudio(rid, pcm(20)))
    script.take(sig.ReplyEnded(rid, sig.Tokens()))
    error = script.error("response.create", response={"audio": {"output": {"voice": "sage"}}})
    assert (error["code"], error["param"]) == ("cannot_update_voice", "response.audio.output.voice")
    script.respond(audio={"output": {"voice": "alloy"}})
