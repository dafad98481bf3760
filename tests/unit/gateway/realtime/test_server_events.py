from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec
import pytest

from gateway.realtime import server_events as ev
from gateway.realtime.codec import encode
from gateway.realtime.items import FunctionCall, InputText, Message
from gateway.realtime.refusals import Refusal
from tests import wire


def every_event(kind: type = ev.ServerEvent) -> Iterator[type]:
    for each in kind.__subclasses__():
        if not each.__name__.startswith("_"):
            yield each
        yield from every_event(each)


EVENTS = {kind.__struct_config__.tag: kind for kind in every_event()}


@pytest.mark.parametrize("type_", EVENTS)
def test_each_event_has_the_fields_of_the_published_one(type_):
    published = wire.fields_of(type_)
    ours = {field.encode_name for field in msgspec.structs.fields(EVENTS[type_])}
    assert ours <= published.keys()
    required = {name for name, field in published.items() if field["required"]}
    assert required - {"type", "event_id"} <= ours


def test_an_error_has_all_five_keys_and_is_null_where_nothing_is_known():
    error = json.loads(encode(ev.Error.of(Refusal(None, "No.")), "event_1"))["error"]
    assert error == {
        "type": "invalid_request_error",
        "code": None,
        "message": "No.",
        "param": None,
        "event_id": None,
    }


@pytest.mark.parametrize(
    "item",
    [
        Message("item_1", "user", (InputText("hi"),)),
        Message("item_1", "assistant", (), "in_progress"),
        FunctionCall("item_1", "f", "call_1"),
    ],
)
def test_the_item_before_is_told_even_if_there_is_none(item):
    event = json.loads(encode(ev.ItemAdded(None, item), "event_1"))
    assert event["previous_item_id"] is None
    wire.check(event)


def test_parts_are_named_otherwise_than_content():
    """`text` and `audio` in parts, `output_text` and `output_audio` in items (§3.4)."""
    part = json.loads(encode(ev.PartAdded("r", "i", 0, 0, ev.AudioPart()), "event_1"))["part"]
    assert part == {"type": "audio", "transcript": ""}
    part = json.loads(encode(ev.PartDone("r", "i", 0, 0, ev.TextPart("x")), "event_1"))["part"]
    assert part == {"type": "text", "text": "x"}


def test_no_limits_are_an_empty_list():
    event = json.loads(encode(ev.RateLimitsUpdated(()), "event_1"))
    assert wire.check(event)["rate_limits"] == []
