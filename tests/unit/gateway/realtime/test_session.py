from __future__ import annotations

import base64

import pytest

from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.refusals import Refusal, Refused
from gateway.realtime.settings import ServerVad, Settings
from tests.script import Script, only, pcm, types

ITEM = "conversation.item"


def test_a_session_starts_with_what_it_is(script):
    listen, created = script.session.open()
    assert listen == do.Listen(do.Listening(ServerVad()))
    [event] = script.sent([created])
    assert event["type"] == "session.created"
    session = event["session"]
    assert session["id"] == "sess_1"
    assert (session["model"], session["expires_at"]) == ("gpt-realtime", 1_790_003_600)
    assert set(session) == {
        "type", "object", "id", "model", "output_modalities", "instructions", "tools",
        "tool_choice", "max_output_tokens", "tracing", "truncation", "prompt", "expires_at",
        "audio", "include",
    }  # fmt: skip


def test_an_update_is_answered_with_the_whole_session(script):
    before = script.sent(script.session.open())[0]["session"]
    [updated] = script.says(
        "session.update", session={"type": "realtime", "instructions": "Be terse."}
    )
    assert updated["type"] == "session.updated"
    assert updated["session"] == {**before, "instructions": "Be terse."}


def test_an_update_with_one_mistake_changes_nothing(script):
    before = script.sent(script.session.open())[0]["session"]
    script.error(
        "session.update", session={"type": "realtime", "instructions": "x", "max_output_tokens": 0}
    )
    assert script.says("session.update", session={"type": "realtime"})[0]["session"] == before


def test_the_connected_model_stays(script):
    [updated] = script.says("session.update", session={"type": "realtime", "model": "other"})
    assert updated["session"]["model"] == "gpt-realtime"


def test_the_voice_is_fixed_once_the_model_has_spoken(script):
    rid = script.respond()
    script.hears(sig.ReplyText(rid, "hi"), sig.ReplyAudio(rid, pcm(20)))
    voice = {"type": "realtime", "audio": {"output": {"voice": "cedar"}}}
    error = script.error("session.update", session=voice)
    assert (error["code"], error["param"]) == ("cannot_update_voice", "session.audio.output.voice")
    same = {"type": "realtime", "audio": {"output": {"voice": "alloy"}}}
    assert types(script.says("session.update", session=same)) == ["session.updated"]


def test_what_could_not_be_read_is_answered(script):
    [event] = script.hears(Refusal("invalid_json", "No.", None, "e"))
    assert event["error"] == {
        "type": "invalid_request_error",
        "code": "invalid_json",
        "message": "No.",
        "param": None,
        "event_id": "e",
    }


def test_items_are_added_and_done_where_they_were_put(script):
    first = script.user_says("one")
    second = script.user_says("two", id="mine")
    assert second == "mine"
    content = [{"type": "input_text", "text": "zero"}]
    item = {"type": "message", "role": "system", "content": content}
    added, done = script.says(f"{ITEM}.create", item=item, previous_item_id="root")
    assert (added["type"], done["type"]) == (f"{ITEM}.added", f"{ITEM}.done")
    assert added["previous_item_id"] is None
    assert added["item"] == done["item"]
    added, _ = script.says(f"{ITEM}.create", item=item, previous_item_id=first)
    assert added["previous_item_id"] == first
    [start] = only(script.send("response.create"), do.StartReply)
    assert [line.text for line in start.context] == ["zero", "one", "zero", "two"]


def test_an_item_in_no_place_is_refused_and_not_added(script):
    item = {
        "id": "i",
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": "x"}],
    }
    error = script.error(f"{ITEM}.create", item=item, previous_item_id="nope")
    assert error["code"] == "item_create_invalid_previous_item_id"
    assert script.error(f"{ITEM}.retrieve", item_id="i")["code"] == "item_retrieve_invalid_item_id"


def test_an_output_needs_its_call(script):
    output = {"type": "function_call_output", "call_id": "call_9", "output": "{}"}
    error = script.error(f"{ITEM}.create", item=output)
    assert error["code"] == "invalid_tool_call_id"
    call = {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "call_9"}
    script.says(f"{ITEM}.create", item=call)
    assert types(script.says(f"{ITEM}.create", item=output)) == [f"{ITEM}.added", f"{ITEM}.done"]


def test_a_function_call_goes_round(script):
    script.user_says("weather?")
    rid = script.respond()
    script.hears(
        sig.ReplyCallDone(rid, "call_1", "f", '{"a":1}'), sig.ReplyEnded(rid, sig.Tokens())
    )
    output = {"type": "function_call_output", "call_id": "call_1", "output": "21"}
    events = script.says(f"{ITEM}.create", item=output)
    assert "response.created" not in types(events)  # never by itself
    [start] = only(script.send("response.create"), do.StartReply)
    assert [line.text for line in start.context] == ["weather?", '{"a":1}', "21"]


def test_a_call_from_history_gets_an_id_if_it_has_none(script):
    call = {"type": "function_call", "name": "f", "arguments": "{}"}
    added, _ = script.says(f"{ITEM}.create", item=call)
    assert added["item"]["call_id"].startswith("call_")


def test_items_are_deleted_and_forgotten(script):
    first, second = script.user_says("one"), script.user_says("two")
    effects = script.send(f"{ITEM}.delete", item_id=second)
    assert script.sent(effects)[0]["item_id"] == second
    assert only(effects, do.Record) == [do.Record(do.ItemDropped(second))]
    assert script.error(f"{ITEM}.delete", item_id=second)["code"] == "item_delete_invalid_item_id"
    content = [{"type": "input_text", "text": "three"}]
    item = {"type": "message", "role": "user", "content": content}
    assert script.says(f"{ITEM}.create", item=item)[0]["previous_item_id"] == first


def test_a_deleted_answer_in_progress_disturbs_nobody(script):
    rid = script.respond()
    item_id = script.hears(sig.ReplyText(rid, "Well"))[0]["item"]["id"]
    script.send(f"{ITEM}.delete", item_id=item_id)
    events = script.hears(sig.ReplyText(rid, " then"), sig.ReplyEnded(rid, sig.Tokens()))
    assert types(events)[-2] == "response.done"
    assert only(script.send("response.create"), do.StartReply)[0].context == ()


def test_truncating_keeps_what_was_heard_and_drops_the_transcript(script):
    rid = script.respond()
    item_id = script.hears(sig.ReplyText(rid, "one two"), sig.ReplyAudio(rid, pcm(600)))[0]["item"][
        "id"
    ]
    script.hears(sig.ReplyTiming(rid, ((3, 80), (7, 300))), sig.ReplyEnded(rid, sig.Tokens()))
    [truncated] = script.says(f"{ITEM}.truncate", item_id=item_id, content_index=0, audio_end_ms=90)
    assert (truncated["item_id"], truncated["audio_end_ms"]) == (item_id, 90)
    [retrieved] = script.says(f"{ITEM}.retrieve", item_id=item_id)
    heard = base64.b64encode(pcm(90)).decode()
    assert retrieved["item"]["content"] == [
        {"type": "output_audio", "transcript": "", "audio": heard}
    ]
    [start] = only(script.send("response.create"), do.StartReply)
    assert start.context[0].text == "one"


def test_only_audio_of_the_model_can_be_truncated_and_no_more_than_there_is(script):
    def error(item_id: str, ms: int) -> str:
        fields = {"item_id": item_id, "content_index": 0, "audio_end_ms": ms}
        return str(script.error(f"{ITEM}.truncate", **fields)["message"])

    user = script.user_says("hi")
    rid = script.respond()
    [added, *_] = script.hears(sig.ReplyText(rid, "hi"), sig.ReplyAudio(rid, pcm(500)))
    assert error(user, 0) == "Only model output audio messages can be truncated"
    assert error("nope", 0) == "Error truncating item: the item with id 'nope' does not exist."
    assert error(added["item"]["id"], 501) == (
        "Audio content of 500ms is already shorter than 501ms"
    )


def test_a_recording_with_its_transcript_needs_no_recognition(script):
    part = {"type": "input_audio", "audio": "AAAA", "transcript": "hi"}
    item = {"type": "message", "role": "user", "content": [part]}
    effects = script.send(f"{ITEM}.create", item=item)
    assert only(effects, do.Transcribe) == []
    [start] = only(script.send("response.create"), do.StartReply)
    assert start.context[0].text == "hi"


def test_items_are_kept_for_history_in_order(script):
    script.user_says("one")
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "zero"}]}
    effects = script.send(f"{ITEM}.create", item=item, previous_item_id="root")
    [record] = only(effects, do.Record)
    assert record.fact.text == "zero"
    later = only(script.send(f"{ITEM}.create", item=item), do.Record)[0]
    assert later.fact.ordinal > record.fact.ordinal


def test_tracing_stays_once_it_is_on(script):
    def trace(how: object) -> dict[str, object]:
        return {"session": {"type": "realtime", "instructions": "x", "tracing": how}}

    script.says("session.update", **trace(None))
    script.says("session.update", **trace("auto"))
    assert types(script.says("session.update", **trace("auto"))) == ["session.updated"]
    for how in (None, {"workflow_name": "w"}):
        error = script.error("session.update", **trace(how))
        assert (error["code"], error["param"]) == ("invalid_value", "session.tracing")
    [updated] = script.says("session.update", session={"type": "realtime"})
    assert updated["session"]["tracing"] == "auto"


def test_a_preset_is_there_from_the_start():
    preset = {
        "type": "realtime",
        "instructions": "Be terse.",
        "audio": {"input": {"turn_detection": None, "format": {"type": "audio/pcmu"}}},
        "tracing": "auto",
    }
    script = Script(preset=preset)
    listen, created = script.session.open()
    assert listen.how.turn_detection is None
    session = script.sent([created])[0]["session"]
    assert session["instructions"] == "Be terse."
    assert session["audio"]["input"]["format"] == {"type": "audio/pcmu"}
    [hear] = only(script.send("input_audio_buffer.append", audio="//8="), do.Hear)
    assert len(hear.pcm) == 2 * 3 * 2
    off = {"type": "realtime", "tracing": None}
    assert script.error("session.update", session=off)["param"] == "session.tracing"


def test_null_in_a_preset_means_the_servers_default():
    settings = Settings(instructions="Be kind.")
    script = Script(settings, preset={"type": "realtime", "instructions": "Be terse."})
    [updated] = script.says("session.update", session={"type": "realtime", "instructions": None})
    assert updated["session"]["instructions"] == "Be kind."


def test_a_preset_for_the_other_kind_of_session_is_refused():
    with pytest.raises(Refused):
        Script(preset={"type": "transcription"})


def picture(characters: int) -> dict[str, object]:
    data = base64.b64encode(bytes(characters // 4 * 3)).decode()
    return {"type": "input_image", "image_url": f"data:image/png;base64,{data}"}


@pytest.mark.parametrize(("characters", "is_echoed"), [(400, True), (600 << 10, False)])
def test_a_large_picture_reaches_the_model_and_no_event(script, characters, is_echoed):
    part = picture(characters)
    item = {"type": "message", "role": "user", "content": [part]}
    added, done = script.says(f"{ITEM}.create", item=item)
    told = {"type": "input_image", "image_url": part["image_url"], "detail": "auto"}
    assert added["item"]["content"] == [told if is_echoed else {**told, "image_url": None}]
    assert done["item"] == added["item"]
    [retrieved] = script.says(f"{ITEM}.retrieve", item_id=added["item"]["id"])
    assert retrieved["item"] == added["item"]
    [start] = only(script.send("response.create"), do.StartReply)
    assert [image.image_url for image in start.context[0].images] == [part["image_url"]]


@pytest.mark.parametrize(
    "heard",
    [
        {"transcription": {"keywords": None, "languages": None, "delay": None}},
        {"noise_reduction": {"type": "near_field", "strength": None}},
    ],
)
def test_null_may_come_before_anything_was_set(script, heard):
    session = {"type": "realtime", "audio": {"input": heard}}
    [updated] = script.says("session.update", session=session)
    [key] = heard
    told = updated["session"]["audio"]["input"][key]
    assert told in ({"model": None, "language": None, "prompt": None}, {"type": "near_field"})


def test_a_server_may_be_chosen_without_a_tool(script):
    server = {"type": "mcp", "server_label": "s", "server_url": "https://mcp.example/s"}
    choice = {"type": "mcp", "server_label": "s", "name": None}
    session = {"type": "realtime", "tools": [server], "tool_choice": choice}
    [updated, *_] = script.says("session.update", session=session)
    assert updated["session"]["tool_choice"] == {"type": "mcp", "server_label": "s"}


def test_what_was_cut_off_cannot_be_had_back(script):
    rid = script.respond()
    [added, *_] = script.hears(sig.ReplyText(rid, "hi"), sig.ReplyAudio(rid, pcm(500)))
    script.hears(sig.ReplyEnded(rid, sig.Tokens()))
    cut = {"item_id": added["item"]["id"], "content_index": 0}
    script.says(f"{ITEM}.truncate", **cut, audio_end_ms=100)
    error = script.error(f"{ITEM}.truncate", **cut, audio_end_ms=300)
    assert error["message"] == "Audio content of 100ms is already shorter than 300ms"
    assert types(script.says(f"{ITEM}.truncate", **cut, audio_end_ms=50)) == [f"{ITEM}.truncated"]


def test_an_answer_deleted_in_progress_is_not_kept_for_history(script):
    rid = script.respond()
    item_id = script.hears(sig.ReplyText(rid, "Well"))[0]["item"]["id"]
    script.send(f"{ITEM}.delete", item_id=item_id)
    effects = script.take(sig.ReplyEnded(rid, sig.Tokens()))
    assert f"{ITEM}.done" not in types(script.sent(effects))
    kept = [r.fact for r in only(effects, do.Record) if isinstance(r.fact, do.ItemKept)]
    assert kept == []
