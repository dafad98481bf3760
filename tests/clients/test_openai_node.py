"""The stock `openai` package for Node, over wss. Its program is node/openai.mjs.

It ships types and no parser: `wall` parses what it delivered with those of the Python package,
which are made from the same description.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.clients import wall
from tests.clients.conftest import Seen


@pytest.fixture(scope="module")
def seen(node: Callable[[str], Callable[[str], Seen]]) -> Callable[[str], Seen]:
    return node("openai.mjs")


@pytest.mark.parametrize(
    ("scenario", "judge"),
    [
        ("text", wall.a_text_turn),
        ("spoken", wall.a_spoken_turn),
        ("barge_in", wall.a_barge_in),
        ("tool", wall.a_tool_call),
        ("transcription", wall.a_transcription),
    ],
)
def test_what_goes_well_goes_well(seen, scenario, judge):
    judge(seen(scenario).events)
    assert not seen(scenario).of("error")
    assert [close["code"] for close in seen(scenario).of("close")] == [1000]


def test_cancel_stops_the_answer_and_then_there_is_nothing_to_cancel(seen):
    wall.a_cancel(seen("cancel").events, errors=["response_cancel_not_active"])
    [told] = seen("cancel").of("error")
    assert told["error"]["event_id"] == "mine"


def test_a_bad_event_is_an_error_that_names_it_and_no_more(seen):
    wall.a_bad_event(seen("bad_event").events)
    [told] = seen("bad_event").of("error")
    assert told["error"]["event_id"] == "mine"


@pytest.mark.parametrize(
    ("scenario", "code", "close"),
    [("unknown_model", "invalid_model", 4000), ("wrong_key", "invalid_api_key", 3000)],
)
def test_who_is_not_let_in_is_told_why(seen, scenario, code, close):
    wall.a_refusal(seen(scenario).events, code)
    [told] = seen(scenario).of("error")
    assert told["error"]["code"] == code
    assert [closed["code"] for closed in seen(scenario).of("close")] == [close]
