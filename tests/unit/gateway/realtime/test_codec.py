from __future__ import annotations

import base64
import json

import pytest

from gateway.realtime import client_events as ce
from gateway.realtime import server_events as ev
from gateway.realtime.client_events import KINDS
from gateway.realtime.codec import decode, encode, encode_fields
from gateway.realtime.refusals import Refusal


def test_audio_is_bytes_inside_and_base64_outside():
    text = json.dumps({"type": "input_audio_buffer.append", "audio": "AQI=", "event_id": "e"})
    assert decode(text) == ce.AppendAudio(b"\x01\x02", "e")
    sent = json.loads(encode(ev.AudioDelta("resp_1", "item_1", 0, 0, b"\x01\x02"), "event_1"))
    assert base64.b64decode(sent["delta"]) == b"\x01\x02"


def test_every_server_event_carries_its_type_and_an_event_id():
    sent = json.loads(encode(ev.AudioCleared(), "event_1"))
    assert sent == {"event_id": "event_1", "type": "input_audio_buffer.cleared"}


@pytest.mark.parametrize("text", ["", "not json", "{", '{"a":NaN}', '"\\ud800"', b"\xff\xfe"])
def test_what_is_not_json_is_refused(text):
    refusal = decode(text)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "invalid_json"
    assert refusal.message.startswith("Invalid event: failed to parse JSON value.")


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_json_nested_without_end_is_refused(depth):
    refusal = decode('{"type":' + "[" * depth + "]" * depth + "}")
    assert isinstance(refusal, Refusal)


@pytest.mark.parametrize("text", ["[]", "1", '"session.update"', "null"])
def test_json_that_is_no_object_is_refused(text):
    refusal = decode(text)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "invalid_event"


def test_an_event_without_a_type_is_refused_under_its_id():
    assert decode('{"event_id":"e0"}') == Refusal(
        "invalid_event", "The 'type' field is missing.", None, "e0"
    )


@pytest.mark.parametrize("type_", ["nope", ["session.update"], {}, 1, True])
def test_an_unknown_type_is_refused_with_the_list_of_types(type_):
    refusal = decode(json.dumps({"type": type_, "event_id": "e"}))
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.param, refusal.event_id) == ("invalid_value", "type", "e")
    assert refusal.message.endswith("'response.create', and 'response.cancel'.")


def test_a_null_event_id_is_none_at_all():
    assert decode('{"type":"input_audio_buffer.clear","event_id":null}') == ce.ClearAudio(None)


@pytest.mark.parametrize(("event_id", "code"), [(5, "invalid_type"), ("x" * 513, "string_above_")])
def test_an_event_id_that_cannot_be_echoed_is_refused_without_it(event_id, code):
    refusal = decode(json.dumps({"type": "input_audio_buffer.clear", "event_id": event_id}))
    assert isinstance(refusal, Refusal)
    assert refusal.event_id is None
    assert (refusal.code or "").startswith(code)


def test_a_dialect_is_a_table_of_events():
    kinds = {"clear": KINDS["input_audio_buffer.clear"]}
    assert decode('{"type":"clear","event_id":"e"}', kinds) == ce.ClearAudio("e")
    refusal = decode('{"type":"input_audio_buffer.clear"}', kinds, ["clear"])
    assert isinstance(refusal, Refusal)
    assert refusal.message.endswith("Value must be 'clear'.")


def test_a_message_can_be_made_of_fields():
    sent = json.loads(encode_fields("some.event", {"a": [1]}, "event_1"))
    assert sent == {"event_id": "event_1", "type": "some.event", "a": [1]}
