from __future__ import annotations

import pytest

from gateway.realtime.beta_items import item_from_beta, item_to_beta, items_from_beta
from gateway.realtime.new_items import new_item
from gateway.realtime.refusals import Refused


def said(*parts, role="assistant"):
    return {"type": "message", "role": role, "content": list(parts)}


def refusal(item, only_beta=True):
    with pytest.raises(Refused) as refused:
        new_item(item_from_beta(item, "item", only_beta), "item")
    return refused.value.refusal


def test_a_text_of_the_assistant_is_an_output_text():
    item = item_from_beta(said({"type": "text", "text": "Hi"}), "item", True)
    assert item == said({"type": "output_text", "text": "Hi"})


@pytest.mark.parametrize("audio", [{}, {"audio": None}, {"audio": "AAAA"}])
def test_what_the_assistant_spoke_comes_back_as_its_words(audio):
    spoken = said({"type": "audio", "transcript": "Hello!", **audio})
    item = item_from_beta(spoken, "item", True)
    assert item == said({"type": "output_text", "text": "Hello!"})


def test_speech_without_its_words_is_refused():
    assert refusal(said({"type": "audio"})).param == "item.content[0].transcript"
    wrong = refusal(said({"type": "audio", "transcript": None}))
    assert (wrong.code, wrong.param) == ("invalid_type", "item.content[0].transcript")


@pytest.mark.parametrize("type_", ["output_text", "input_text", "nope"])
def test_other_parts_of_the_assistant_are_refused_in_the_words_of_the_beta(type_):
    wrong = refusal(said({"type": "text", "text": "a"}, {"type": type_, "text": "b"}))
    assert wrong.param == "item.content[1].type"
    assert wrong.message == (f"Invalid value: '{type_}'. Supported values are: 'text' and 'audio'.")


def test_where_both_are_understood_the_rest_is_left_to_ga():
    given = said({"type": "text", "text": "a"}, {"type": "output_text", "text": "b"})
    parts = item_from_beta(given, "item", False)["content"]
    assert [part["type"] for part in parts] == ["output_text", "output_text"]
    wrong = refusal(said({"type": "input_text", "text": "a"}), only_beta=False)
    assert wrong.message == "Invalid value: 'input_text'. Value must be 'output_text'."


@pytest.mark.parametrize("role", ["user", "system"])
def test_nobody_else_has_texts(role):
    assert refusal(said({"type": "text", "text": "a"}, role=role)).param == "item.content[0].type"


@pytest.mark.parametrize(
    "item",
    [
        None,
        [],
        "item",
        {},
        {"role": "assistant"},
        {"role": "assistant", "content": "text"},
        said({"type": "input_text", "text": "Hi"}, role="user"),
        {"type": "function_call_output", "call_id": "c", "output": "{}"},
    ],
)
def test_what_is_the_same_in_both_is_left_as_it_is(item):
    assert item_from_beta(item, "item", True) == item


def test_a_part_that_is_no_object_is_left_to_ga():
    assert refusal(said("text")).code == "invalid_type"


def test_a_response_names_the_item_that_is_wrong():
    with pytest.raises(Refused) as refused:
        items_from_beta([said(), said({"type": "nope"})], "response.input", True)
    assert refused.value.refusal.param == "response.input[1].content[0].type"


def test_items_are_told_with_the_parts_and_the_object_of_the_beta():
    ga = said({"type": "output_text", "text": "a"}, {"type": "output_audio", "transcript": "b"})
    assert item_to_beta({"id": "item_1", **ga}) == {
        "id": "item_1",
        "object": "realtime.item",
        **said({"type": "text", "text": "a"}, {"type": "audio", "transcript": "b"}),
    }
    user = said({"type": "input_audio", "transcript": None}, role="user")
    assert item_to_beta(user) == {"object": "realtime.item", **user}
