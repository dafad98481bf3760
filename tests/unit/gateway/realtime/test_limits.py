"""What a client can make us keep, echo or ask is bounded."""

import json

import pytest

from gateway.realtime import client_events as ce
from gateway.realtime import signals as sig
from gateway.realtime.codec import decode
from gateway.realtime.conversation import (
    MAX_CONTEXT,
    MAX_ITEMS,
    MAX_PICTURES,
    Conversation,
    Entry,
    lines_of,
)
from gateway.realtime.items import InputImage, InputText, Message
from gateway.realtime.new_items import MAX_PARTS, MAX_TEXT
from gateway.realtime.refusals import Refusal, Refused
from gateway.realtime.turns import LOSSES_PER_ERROR, MAX_BUFFERED_MS

FRAME_MIB = 1 << 20


def item(*texts):
    content = [{"type": "input_text", "text": text} for text in texts]
    message = {"type": "message", "role": "user", "content": content}
    return decode(json.dumps({"type": "conversation.item.create", "item": message}))


def update(**session):
    session = {"type": "realtime", **session}
    return decode(json.dumps({"type": "session.update", "session": session}))


def test_the_texts_of_an_item_are_bounded_together():
    assert isinstance(item("x" * MAX_TEXT), ce.CreateItem)
    assert item("x" * MAX_TEXT, "x").code == "string_above_max_length"
    assert isinstance(item(*["x"] * (MAX_PARTS + 1)), Refusal)


def test_tools_and_tracing_are_bounded():
    def tools(n, size):
        return [
            {"type": "function", "name": f"f{i}", "parameters": {"x": "y" * size}} for i in range(n)
        ]

    assert isinstance(update(tools=tools(5, 30_000)), ce.UpdateSession)
    assert update(tools=tools(1, 40_000)).code == "object_above_max_size"
    assert update(tools=tools(20, 30_000)).code == "value_above_max_size"
    assert update(tracing={"metadata": {"x": "y" * 40_000}}).code == "object_above_max_size"


def test_a_wrong_value_is_not_echoed_whole():
    refusal = decode(json.dumps({"type": "x" * FRAME_MIB}))
    assert isinstance(refusal, Refusal)
    assert len(refusal.message) < 1000


def message(n, text=""):
    return Entry(Message(f"i{n}", "user", (InputText(text),)), text=text)


def test_a_full_conversation_takes_no_more_of_the_clients_items():
    conversation = Conversation("conv_1")
    for n in range(MAX_ITEMS):
        conversation.insert(message(n))
    with pytest.raises(Refused) as refused:
        conversation.place(None)
    assert refused.value.refusal.code == "conversation_full"


def test_a_request_carries_the_newest_items_that_fit():
    conversation = Conversation("conv_1")
    for n in range(5):
        conversation.insert(message(n, str(n) * (MAX_CONTEXT // 2)))
    assert [line.text[0] for line in lines_of(conversation.entries())] == ["3", "4"]


def test_one_item_that_is_too_long_is_still_asked():
    conversation = Conversation("conv_1")
    conversation.insert(message(1, "x" * (MAX_CONTEXT + 1)))
    assert len(lines_of(conversation.entries())) == 1


def test_a_request_carries_the_newest_pictures_that_fit():
    large = (InputImage("x" * (MAX_PICTURES // 2)),)
    entries = [message(n) for n in range(3)]
    for entry in entries:
        entry.images = large
    assert [bool(line.images) for line in lines_of(entries)] == [False, True, True]


def test_push_to_talk_ends_after_five_minutes(script):
    script.take(update(audio={"input": {"turn_detection": None}}))
    second = bytes(48_000)
    for _ in range(MAX_BUFFERED_MS // 1000 + 1):
        script.take(ce.AppendAudio(second))
    [refused] = script.take(ce.AppendAudio(second, "e1"))
    assert refused.event.error.code == "input_audio_buffer_full"
    assert refused.event.error.event_id == "e1"
    assert script.take(ce.CommitAudio())
    assert script.take(ce.AppendAudio(second))[0].pcm == second


def test_what_is_nested_too_deeply_is_refused():
    def nested(levels):
        parameters = {}
        for _ in range(levels):
            parameters = {"x": parameters}
        return [{"type": "function", "name": "f", "parameters": parameters}]

    assert isinstance(update(tools=nested(60)), ce.UpdateSession)
    assert update(tools=nested(70)).code == "object_above_max_depth"
    assert update(tools=nested(900)).code == "object_above_max_depth"


def test_ids_are_printable():
    message = {"id": "a\0b", "type": "message", "role": "user", "content": []}
    refusal = decode(json.dumps({"type": "conversation.item.create", "item": message}))
    assert (refusal.code, refusal.param) == ("invalid_value", "item.id")


def test_an_unknown_key_is_not_echoed_whole():
    refusal = update(**{"k" * FRAME_MIB: 1})
    assert refusal.code == "unknown_parameter"
    assert len(refusal.message) + len(refusal.param) < 1000


def test_lost_hearing_is_said_again_while_it_lasts(script):
    said = [len(script.hears(sig.EarsLost("gone"))) for _ in range(2 * LOSSES_PER_ERROR + 1)]
    assert said == [1, *[0] * (LOSSES_PER_ERROR - 1)] * 2 + [1]
