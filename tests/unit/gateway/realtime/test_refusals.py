from __future__ import annotations

import pytest

from gateway.realtime import refusals
from gateway.realtime.refusals import Refusal


def test_a_refusal_keeps_its_words_under_a_clients_event_id():
    refusal = Refusal("invalid_value", "No.", "x").of("evt_1")
    assert refusal == Refusal("invalid_value", "No.", "x", "evt_1")
    assert refusal.type == "invalid_request_error"


@pytest.mark.parametrize(
    ("supported", "end"),
    [
        (["a"], "Value must be 'a'."),
        (["a", "b"], "Supported values are: 'a' and 'b'."),
        (["a", "b", "c"], "Supported values are: 'a', 'b', and 'c'."),
    ],
)
def test_supported_values_are_listed_as_the_live_service_lists_them(supported, end):
    message = refusals.wrong_value("x", "z", supported).refusal.message
    assert message == f"Invalid value: 'z'. {end}"


def test_items_that_do_not_exist_have_one_code_a_verb():
    refusal = refusals.no_item("deleting", "delete", "yo").refusal
    assert refusal.code == "item_delete_invalid_item_id"
    assert refusal.message == "Error deleting item: the item with id 'yo' does not exist."
    assert refusal.param is None


def test_what_is_not_served_says_where_and_what():
    refusal = refusals.not_here("session.tools[0].connector_id", "A connector").refusal
    assert refusal.param == "session.tools[0].connector_id"
    assert refusal.message == "A connector is not available on this server."


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (True, "a boolean"),
        (1, "an integer"),
        (1.5, "a decimal"),
        ("", "a string"),
        ([], "an array"),
        ({}, "an object"),
        (None, "null"),
        (b"", "an unknown value"),
    ],
)
def test_json_types_have_english_names(value, name):
    assert refusals.kind(value) == name
