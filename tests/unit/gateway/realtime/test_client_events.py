from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from gateway.realtime import client_events as ce
from gateway.realtime.codec import decode
from gateway.realtime.items import FunctionCallOutput
from gateway.realtime.new_items import NewItem, Reference
from gateway.realtime.refusals import Refusal


def read(type_: str, **fields: Any) -> ce.ClientEvent:
    return decode(json.dumps({"type": type_, "event_id": "e", **fields}))


def refused(type_: str, **fields: Any) -> Refusal:
    refusal = read(type_, **fields)
    assert isinstance(refusal, Refusal), refusal
    assert refusal.event_id == "e"
    return refusal


OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "{}"}


@pytest.mark.parametrize(
    ("type_", "fields", "event"),
    [
        (
            "session.update",
            {"session": {"type": "realtime", "instructions": "x"}},
            ce.UpdateSession({"type": "realtime", "instructions": "x"}, "e"),
        ),
        ("input_audio_buffer.append", {"audio": "AAA="}, ce.AppendAudio(b"\0\0", "e")),
        ("input_audio_buffer.commit", {}, ce.CommitAudio("e")),
        ("input_audio_buffer.clear", {}, ce.ClearAudio("e")),
        (
            "conversation.item.create",
            {"item": OUTPUT, "previous_item_id": "root"},
            ce.CreateItem(NewItem(FunctionCallOutput("", "call_1", "{}")), "root", "e"),
        ),
        ("conversation.item.retrieve", {"item_id": "i"}, ce.RetrieveItem("i", "e")),
        ("conversation.item.delete", {"item_id": "i"}, ce.DeleteItem("i", "e")),
        (
            "conversation.item.truncate",
            {"item_id": "i", "content_index": 0, "audio_end_ms": 5},
            ce.TruncateItem("i", 0, 5, "e"),
        ),
        ("response.create", {}, ce.CreateResponse({}, None, "e")),
        ("response.create", {"response": None}, ce.CreateResponse({}, None, "e")),
        (
            "response.create",
            {"response": {"metadata": {"a": "b"}, "conversation": "auto"}},
            ce.CreateResponse({"metadata": {"a": "b"}, "conversation": "auto"}, None, "e"),
        ),
        ("response.cancel", {}, ce.CancelResponse(None, "e")),
        ("response.cancel", {"response_id": "r"}, ce.CancelResponse("r", "e")),
    ],
)
def test_every_event_a_client_may_send_is_read(type_, fields, event):
    assert read(type_, **fields) == event


@pytest.mark.parametrize(
    ("type_", "fields", "param"),
    [
        ("session.update", {}, "session"),
        ("input_audio_buffer.append", {}, "audio"),
        ("conversation.item.create", {}, "item"),
        ("conversation.item.retrieve", {}, "item_id"),
        ("conversation.item.delete", {}, "item_id"),
        ("conversation.item.truncate", {"item_id": "i", "content_index": 0}, "audio_end_ms"),
    ],
)
def test_a_missing_field_is_named(type_, fields, param):
    refusal = refused(type_, **fields)
    assert (refusal.code, refusal.param) == ("missing_required_parameter", param)


NEEDED: dict[str, dict[str, Any]] = {
    "session.update": {"session": {"type": "realtime"}},
    "input_audio_buffer.append": {"audio": "AAA="},
    "conversation.item.create": {"item": OUTPUT},
    "conversation.item.retrieve": {"item_id": "i"},
    "conversation.item.delete": {"item_id": "i"},
    "conversation.item.truncate": {"item_id": "i", "content_index": 0, "audio_end_ms": 1},
}


@pytest.mark.parametrize("type_", ce.KINDS)
def test_an_unknown_field_is_named(type_):
    needed = NEEDED.get(type_, {})
    assert not isinstance(read(type_, **needed), Refusal)
    refusal = refused(type_, **needed, bogus=1)
    assert (refusal.code, refusal.param) == ("unknown_parameter", "bogus")


def test_more_audio_than_one_append_may_carry_is_refused():
    audio = base64.b64encode(bytes(ce.MAX_AUDIO + 2)).decode()
    refusal = refused("input_audio_buffer.append", audio=audio)
    assert (refusal.code, refusal.param) == ("invalid_value", "audio")


@pytest.mark.parametrize(
    ("response", "param", "code"),
    [
        ({"modalities": ["text"]}, "response.modalities", "unknown_parameter"),
        ({"conversation": "other"}, "response.conversation", "invalid_value"),
        ({"conversation": {}}, "response.conversation", "invalid_type"),
        ({"input": {}}, "response.input", "invalid_type"),
        ({"input": [{"type": "item_reference"}]}, "response.input[0].id", "missing_required_p"),
        ({"input": [{"type": "mcp_call"}]}, "response.input[0].type", "invalid_value"),
        ({"prompt": {}}, "response.prompt.id", "missing_required_parameter"),
        ({"reasoning": 1}, "response.reasoning", "invalid_type"),
        ({"max_output_tokens": 0}, "response.max_output_tokens", "integer_below_min_value"),
        ({"metadata": {"a": 1}}, "response.metadata.a", "invalid_type"),
        ({"audio": {"output": {"speed": 1}}}, "response.audio.output.speed", "unknown_parameter"),
    ],
)
def test_an_override_that_is_wrong_is_named(response, param, code):
    refusal = refused("response.create", response=response)
    assert refusal.param == param
    assert (refusal.code or "").startswith(code)


def test_what_a_response_is_made_from_is_read():
    input_ = [{"type": "item_reference", "id": "i"}, OUTPUT]
    event = read("response.create", response={"conversation": "none", "input": input_})
    assert event.wanted == {"conversation": "none"}
    assert event.input is not None
    assert event.input[0] == Reference("i", "response.input[0].id")
    assert isinstance(event.input[1], NewItem)
    assert read("response.create", response={"input": []}).input == ()
    assert read("response.create").input is None


def test_every_type_we_read_is_one_the_live_service_names():
    assert set(ce.KINDS) <= set(ce.SUPPORTED_TYPES)
