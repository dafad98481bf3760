from __future__ import annotations

import pytest

from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from tests.script import Event, Script, only, pcm, types

R, ITEM = "response", "conversation.item"


def test_the_ladder_of_a_text_answer(text_only):
    before = text_only.user_says("hi")
    rid = text_only.respond()
    events = text_only.hears(
        sig.ReplyText(rid, "Hi "),
        sig.ReplyText(rid, "there."),
        sig.ReplyEnded(rid, sig.Tokens(10, 4, 2)),
    )
    assert types(events) == [
        f"{R}.output_item.added",
        f"{ITEM}.added",
        f"{R}.content_part.added",
        f"{R}.output_text.delta",
        f"{R}.output_text.delta",
        f"{R}.output_text.done",
        f"{R}.content_part.done",
        f"{ITEM}.done",
        f"{R}.output_item.done",
        f"{R}.done",
        "rate_limits.updated",
    ]
    assert events[1]["previous_item_id"] == events[7]["previous_item_id"] == before
    assert events[2]["part"] == {"type": "text", "text": ""}
    assert events[6]["part"] == {"type": "text", "text": "Hi there."}
    assert events[7]["item"]["content"] == [{"type": "output_text", "text": "Hi there."}]
    assert events[9]["response"]["output"] == [events[7]["item"]]
    assert events[9]["response"]["usage"] == {
        "total_tokens": 12,
        "input_tokens": 10,
        "output_tokens": 2,
        "input_token_details": {
            "text_tokens": 10,
            "audio_tokens": 0,
            "image_tokens": 0,
            "cached_tokens": 4,
            "cached_tokens_details": {"text_tokens": 4, "audio_tokens": 0, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": 2, "audio_tokens": 0},
    }


def test_the_ladder_of_a_spoken_answer(script):
    rid = script.respond()
    events = script.hears(
        sig.ReplyText(rid, "Hi."),
        sig.ReplyAudio(rid, pcm(60)),
        sig.ReplyAudio(rid, pcm(60)),
        sig.ReplyEnded(rid, sig.Tokens(10, 0, 2)),
    )
    assert types(events) == [
        f"{R}.output_item.added",
        f"{ITEM}.added",
        f"{R}.content_part.added",
        f"{R}.output_audio_transcript.delta",
        f"{R}.output_audio.delta",
        f"{R}.output_audio.delta",
        f"{R}.output_audio.done",
        f"{R}.output_audio_transcript.done",
        f"{R}.content_part.done",
        f"{ITEM}.done",
        f"{R}.output_item.done",
        f"{R}.done",
        "rate_limits.updated",
    ]
    assert events[2]["part"] == {"type": "audio", "transcript": ""}
    assert events[9]["item"]["content"] == [{"type": "output_audio", "transcript": "Hi."}]
    usage = events[11]["response"]["usage"]
    assert usage["output_token_details"] == {"text_tokens": 2, "audio_tokens": 3}
    assert usage["total_tokens"] == 15


def test_the_response_object_has_all_its_keys(script):
    created = script.says("response.create")[0]["response"]
    assert list(created) == [
        "object", "id", "status", "status_details", "output", "conversation_id",
        "output_modalities", "max_output_tokens", "audio", "usage", "metadata",
    ]  # fmt: skip
    assert created["audio"]["output"] == {
        "format": {"type": "audio/pcm", "rate": 24000},
        "voice": "alloy",
    }


def test_an_answer_without_anything_has_no_output(script):
    rid = script.respond()
    events = script.hears(sig.ReplyEnded(rid, sig.Tokens()))
    assert types(events) == [f"{R}.done", "rate_limits.updated"]
    assert events[0]["response"]["output"] == []


def call(script: Script, rid: str, call_id: str = "call_1") -> list[Event]:
    return script.hears(
        sig.ReplyCall(rid, call_id, "f", '{"a":'),
        sig.ReplyCall(rid, call_id, "f", "1}"),
        sig.ReplyCallDone(rid, call_id, "f", '{"a":1}'),
    )


def test_the_ladder_of_a_function_call(script):
    rid = script.respond()
    events = call(script, rid)
    assert types(events) == [
        f"{R}.output_item.added",
        f"{ITEM}.added",
        f"{R}.function_call_arguments.delta",
        f"{R}.function_call_arguments.delta",
        f"{R}.function_call_arguments.done",
        f"{ITEM}.done",
        f"{R}.output_item.done",
    ]
    first, last = events[1]["item"], events[5]["item"]
    assert (first["name"], first["call_id"], first["arguments"]) == ("f", "call_1", "")
    assert (first["status"], last["status"]) == ("in_progress", "completed")
    assert last["arguments"] == events[4]["arguments"] == '{"a":1}'
    [done, _] = script.hears(sig.ReplyEnded(rid, sig.Tokens()))
    assert done["response"]["output"] == [last]


@pytest.mark.parametrize(("arguments", "told"), [("", "{}"), ('{"b":2}', '{"b":2}')])
def test_a_call_that_comes_whole_is_told_as_one_delta(script, arguments, told):
    rid = script.respond()
    events = script.hears(sig.ReplyCallDone(rid, "call_1", "f", arguments))
    assert [e["delta"] for e in events if e["type"].endswith("delta")] == [told]
    assert events[3]["arguments"] == told


def test_text_and_calls_are_numbered_side_by_side(script):
    rid = script.respond()
    events = script.hears(sig.ReplyText(rid, "Wait."))
    events += call(script, rid, "call_1") + call(script, rid, "call_2")
    events += script.hears(sig.ReplyEnded(rid, sig.Tokens()))
    added = [e["output_index"] for e in events if e["type"] == f"{R}.output_item.added"]
    assert added == [0, 1, 2]
    kinds = [item["type"] for item in events[-2]["response"]["output"]]
    assert kinds == ["message", "function_call", "function_call"]


def test_a_call_cut_off_is_closed_but_never_done(script):
    rid = script.respond()
    script.hears(sig.ReplyCall(rid, "call_1", "f", '{"a"'))
    events = script.says("response.cancel")
    assert types(events) == [
        f"{ITEM}.done",
        f"{R}.output_item.done",
        f"{R}.done",
        "rate_limits.updated",
    ]
    assert events[0]["item"]["status"] == "incomplete"


def spoken_answer(script: Script) -> tuple[str, str]:
    """Three words, 250 ms each, of which 600 ms were sent; returns response and item."""
    rid = script.respond()
    [added, *_] = script.hears(
        sig.ReplyText(rid, "one two three"),
        sig.ReplyTiming(rid, ((3, 200), (7, 450), (13, 700))),
        sig.ReplyAudio(rid, pcm(600)),
    )
    return rid, added["item"]["id"]


def kept_text(effects: list[do.Effect]) -> str:
    items = [r.fact for r in only(effects, do.Record) if isinstance(r.fact, do.ItemKept)]
    return items[-1].text


def test_of_an_interrupted_answer_the_model_knows_what_was_heard():
    script = Script(lead_ms=400)
    spoken_answer(script)
    effects = script.send("response.cancel")
    assert kept_text(effects) == "one"  # 200 ms: the rest was still on its way
    script.user_says("go on")
    [start] = only(script.send("response.create"), do.StartReply)
    assert start.context[0].text == "one"
    done = script.sent(effects)[-2]["response"]
    assert done["output"][0]["content"][0]["transcript"] == "one two three"


def test_a_finished_answer_is_kept_whole():
    script = Script()
    rid, _ = spoken_answer(script)
    effects = script.take(sig.ReplyEnded(rid, sig.Tokens()))
    assert kept_text(effects) == "one two three"


@pytest.mark.parametrize("truncates_first", [True, False])
def test_what_the_client_says_was_heard_counts_before_and_after_the_end(truncates_first):
    script = Script(lead_ms=400)
    _, item_id = spoken_answer(script)
    heard = {"item_id": item_id, "content_index": 0, "audio_end_ms": 500}
    steps = [("conversation.item.truncate", heard), ("response.cancel", {})]
    for type_, fields in steps if truncates_first else reversed(steps):
        effects = script.send(type_, **fields)
    assert kept_text(effects) == "one two"


def test_a_response_is_recorded_with_its_items_and_cost(script):
    rid = script.respond()
    script.hears(sig.ReplyText(rid, "Hi."))
    effects = script.take(sig.ReplyEnded(rid, sig.Tokens(10, 0, 2)))
    item, response = [record.fact for record in only(effects, do.Record)]
    assert response == do.ResponseKept(rid, "completed", "", (item.item.id,), 10, 2)
    assert (item.text, item.response_id, item.item.status) == ("Hi.", rid, "completed")
