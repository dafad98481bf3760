from __future__ import annotations

import base64

import pytest

from gateway.realtime.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    McpApprovalResponse,
    Message,
    OutputText,
)
from gateway.realtime.new_items import (
    MAX_IMAGE,
    NewItem,
    Reference,
    audio_bytes,
    input_item,
    new_item,
)
from gateway.realtime.refusals import Refusal, Refused

AUDIO = base64.b64encode(b"\1\0").decode()


def refusal(value: object) -> Refusal:
    with pytest.raises(Refused) as refused:
        new_item(value, "item")
    return refused.value.refusal


def message(role: str, *content: object, **fields: object) -> dict[str, object]:
    return {"type": "message", "role": role, "content": list(content), **fields}


def text(words: str, type_: str = "input_text") -> dict[str, str]:
    return {"type": type_, "text": words}


def test_written_items_of_every_role_are_read():
    assert new_item(message("user", text("a"), id="i"), "item") == NewItem(
        Message("i", "user", (InputText("a"),))
    )
    assert new_item(message("system", text("b")), "item").item == Message(
        "", "system", (InputText("b"),)
    )
    assert new_item(message("assistant", text("c", "output_text")), "item").item == Message(
        "", "assistant", (OutputText("c"),)
    )


def test_a_recording_comes_apart_from_its_item():
    part = {"type": "input_audio", "audio": AUDIO}
    assert new_item(message("user", part), "item") == NewItem(
        Message("", "user", (InputAudio(None),)), b"\1\0"
    )
    known = new_item(message("user", {**part, "transcript": "hi"}), "item")
    assert known == NewItem(Message("", "user", (InputAudio("hi"),)), b"\1\0", "hi")


def test_a_second_recording_in_one_item_is_refused():
    part = {"type": "input_audio", "audio": AUDIO}
    assert refusal(message("user", part, part)).message == (
        "Invalid 'item.content[1]': one audio part per item."
    )


def test_function_calls_and_their_outputs_are_read():
    call = {"type": "function_call", "name": "f", "arguments": "{}"}
    assert new_item(call, "item").item == FunctionCall("", "f", "", "{}")
    assert new_item({**call, "call_id": "c-1_A"}, "item").item == FunctionCall(
        "", "f", "c-1_A", "{}"
    )
    output = {"type": "function_call_output", "call_id": "c", "output": "1"}
    assert new_item(output, "item").item == FunctionCallOutput("", "c", "1")


def test_status_and_object_are_ignored():
    given = message("user", text("a"), status="incomplete", object="realtime.item")
    assert new_item(given, "item").item.status == "completed"


@pytest.mark.parametrize(
    ("role", "type_", "message_"),
    [
        ("user", "text", "Invalid value: 'text'. Supported values are: 'input_text', 'input_aud"),
        ("system", "text", "Invalid value: 'text'. Value must be 'input_text'."),
        ("assistant", "text", "Invalid value: 'text'. Value must be 'output_text'."),
        ("assistant", "output_audio", "Invalid value: 'output_audio'. Value must be 'output_te"),
        ("system", "input_image", "Invalid value: 'input_image'."),
    ],
)
def test_content_that_a_role_may_not_have_is_refused(role, type_, message_):
    refused = refusal(message(role, text("a", type_)))
    assert refused.message.startswith(message_)
    assert (refused.code, refused.param) == ("invalid_value", "item.content[0].type")


@pytest.mark.parametrize(
    ("value", "param", "code"),
    [
        (1, "item", "invalid_type"),
        ({}, "item.type", "missing_required_parameter"),
        ({"type": ["message"]}, "item.type", "invalid_type"),
        ({"type": "mcp_call"}, "item.type", "invalid_value"),
        ({"type": "mcp_approval_response"}, "item.approval_request_id", "missing_required_par"),
        ({"type": "item_reference", "id": "i"}, "item.type", "invalid_value"),
        ({"type": "message"}, "item.role", "missing_required_parameter"),
        ({"type": "message", "role": "user"}, "item.content", "missing_required_parameter"),
        (message("user", text("a"), id="x" * 33), "item.id", "string_above_max_length"),
        (message("user", text("a"), id=5), "item.id", "invalid_type"),
        (message("user", {"type": "input_text"}), "item.content[0].text", "missing_required_p"),
        (message("user", {"type": "input_audio", "audio": "@"}), "item.content[0].audio", "invali"),
        (
            {"type": "function_call_output", "call_id": "a b", "output": ""},
            "item.call_id",
            "invalid_value",
        ),
        (
            {"type": "function_call_output", "call_id": "c" * 33, "output": ""},
            "item.call_id",
            "string_above_max_length",
        ),
    ],
)
def test_what_is_wrong_with_an_item_is_named(value, param, code):
    refused = refusal(value)
    assert refused.param == param
    assert (refused.code or "").startswith(code)


@pytest.mark.parametrize("value", ["@@@", "AAA", "AA==\n", "AA-_", "é", 5, None])
def test_audio_that_is_no_base64_is_refused(value):
    with pytest.raises(Refused, match="but got an invalid value"):
        audio_bytes(value, "audio")


def test_audio_without_a_byte_is_refused():
    with pytest.raises(Refused, match="but got empty bytes"):
        audio_bytes("", "audio")


PNG = "data:image/png;base64,iVBORw0KGgo="


def test_pictures_are_read():
    part = {"type": "input_image", "image_url": PNG, "detail": "low"}
    assert new_item(message("user", text("what?"), part), "item").item == Message(
        "", "user", (InputText("what?"), InputImage(PNG, "low"))
    )


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/cat.png",
        "data:image/gif;base64,iVBORw0KGgo=",
        "data:image/png;base64,",
        "data:image/png;base64,@@",
        "data:image/png,iVBORw0KGgo=",
        "",
    ],
)
def test_what_is_no_picture_is_refused(url):
    refused = refusal(message("user", {"type": "input_image", "image_url": url}))
    assert (refused.code, refused.param) == ("invalid_value", "item.content[0].image_url")


def test_a_picture_is_bounded():
    huge = "data:image/png;base64," + "A" * MAX_IMAGE
    refused = refusal(message("user", {"type": "input_image", "image_url": huge}))
    assert refused.code == "string_above_max_length"


def test_an_approval_is_read():
    given = {"type": "mcp_approval_response", "approval_request_id": "r", "approve": False}
    assert new_item(given, "item").item == McpApprovalResponse("", "r", False)
    with_reason = new_item({**given, "reason": "no"}, "item").item
    assert with_reason == McpApprovalResponse("", "r", False, "no")


def test_nothing_is_approved_in_passing():
    given = {"type": "mcp_approval_response", "approval_request_id": "r", "approve": True}
    with pytest.raises(Refused) as raised:
        input_item(given, "response.input[0]")
    assert raised.value.refusal.param == "response.input[0].type"


def test_input_may_refer_to_items():
    assert input_item({"type": "item_reference", "id": "i"}, "response.input[0]") == Reference(
        "i", "response.input[0].id"
    )
    new = input_item(message("user", text("a")), "response.input[0]")
    assert isinstance(new, NewItem)


def test_a_recording_may_come_with_nothing_but_its_words():
    part = {"type": "input_audio", "transcript": "hi"}
    assert new_item(message("user", part), "item") == NewItem(
        Message("", "user", (InputAudio("hi"),)), b"", "hi"
    )
    assert refusal(message("user", {"type": "input_audio"})).param == "item.content[0].audio"
