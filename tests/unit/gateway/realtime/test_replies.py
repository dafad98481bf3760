from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.client_events import AppendAudio, CreateResponse
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
        sig.ReplyFailing(rid, sig.ReplyFailed(rid, "x", "y"), "sorry"),
        sig.ReplyMuted(rid),
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
    [done] = script.hears(sig.ReplyFailed(rid, "llm_unavailable", "nobody answers"))
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


@pytest.mark.parametrize(
    ("wanted", "asked"),
    [
        ({"parallel_tool_calls": False}, {"parallel_tool_calls": False}),
        ({"reasoning": {"effort": "low"}}, {"reasoning_effort": "low"}),
        ({"audio": {"output": {"voice": "sage"}}}, {"voice": do.Voice("sage", 1.0)}),
        ({"output_modalities": ["text"]}, {"voice": None}),
        ({"tools": []}, {"tools": (), "tool_choice": "auto"}),
        ({"tools": None, "tool_choice": None}, {"tools": (Tool("f"),), "tool_choice": "required"}),
        ({"instructions": ""}, {"instructions": ""}),
        ({"instructions": None}, {"instructions": "Long."}),
        ({"max_output_tokens": "inf"}, {"max_output_tokens": None}),
    ],
)
def test_each_override_reaches_the_model_once(script, wanted, asked):
    session = {
        "instructions": "Long.",
        "max_output_tokens": 100,
        "tools": [{"type": "function", "name": "f"}],
        "tool_choice": "required",
    }
    script.send("session.update", session={"type": "realtime", **session})
    plain = only(script.send("response.create"), do.StartReply)[0]
    script.send("response.cancel")
    [start] = only(script.send("response.create", response=wanted), do.StartReply)
    assert replace(start, response_id="") == replace(plain, response_id="", **asked)
    script.send("response.cancel")
    assert replace(only(script.send("response.create"), do.StartReply)[0], response_id="") == (
        replace(plain, response_id="")
    )


def test_the_format_of_one_response(script):
    format_ = {"output": {"format": {"type": "audio/pcmu"}}}
    rid = script.respond(audio=format_)
    events = script.hears(sig.ReplyText(rid, "hi"), sig.ReplyAudio(rid, pcm(30)))
    assert len(base64.b64decode(events[-1]["delta"])) == 240
    *_, done, _ = script.hears(sig.ReplyEnded(rid, sig.Tokens()))
    assert done["response"]["audio"]["output"]["format"] == {"type": "audio/pcmu"}
    rid = script.respond()
    events = script.hears(sig.ReplyText(rid, "hi"), sig.ReplyAudio(rid, pcm(30)))
    assert base64.b64decode(events[-1]["delta"]) == pcm(30)


@pytest.mark.parametrize(
    "choice",
    [{"type": "function", "name": "g"}, {"type": "mcp", "server_label": "nope"}],
)
def test_what_must_be_called_has_to_be_there(script, choice):
    tools = [{"type": "function", "name": "f"}]
    error = script.error("response.create", response={"tools": tools, "tool_choice": choice})
    assert (error["code"], error["param"]) == ("invalid_value", "response.tool_choice")
    script.respond(tools=tools, tool_choice={"type": "function", "name": "f"})


def test_what_an_answer_cost_is_told_with_it_unless_it_failed(script):
    def told(rid: str, end: sig.Reply) -> list[do.TellLimits]:
        effects = script.take(end)
        return only(effects, do.TellLimits)

    tokens = sig.Tokens(10, 0, 2)
    assert told(script.respond(), sig.ReplyEnded("resp_2", tokens)) == [do.TellLimits(12)]
    assert told(script.respond(), sig.ReplyEnded("resp_3", tokens, "content_filter")) == [
        do.TellLimits(12)
    ]
    assert told(script.respond(), sig.ReplyFailed("resp_4", "x", "y")) == []
    script.respond()
    assert only(script.send("response.cancel"), do.TellLimits) == [do.TellLimits(0)]


def test_speech_of_the_user_is_counted_by_its_length(script):
    script.take(AppendAudio(pcm(1000)))
    [start] = only(script.utterance(), do.StartReply)  # 800 ms
    script.hears(sig.ReplyText(start.response_id, "hi"))
    script.hears(sig.ReplyAudio(start.response_id, pcm(120)))
    *_, done, _ = script.hears(sig.ReplyEnded(start.response_id, sig.Tokens(10, 4, 2)))
    usage = done["response"]["usage"]
    assert usage["input_token_details"]["audio_tokens"] == 8
    assert usage["output_token_details"] == {"text_tokens": 2, "audio_tokens": 3}
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (18, 5, 23)


def test_a_temperature_of_the_beta_reaches_the_model(script):
    [start] = only(script.session.receive(CreateResponse({"temperature": 0.9})), do.StartReply)
    assert start.temperature == 0.9
