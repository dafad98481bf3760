"""The stock `@openai/agents-realtime`, over wss. Its program is node/agents.mjs.

The SDK parses every frame with schemas of its own and passes on what fits none as a generic
event, which it then ignores: here nothing may be generic.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.clients import wall
from tests.clients.conftest import Seen


@pytest.fixture(scope="module")
def seen(node: Callable[[str], Callable[[str], Seen]]) -> Callable[[str], Seen]:
    return node("agents.mjs")


def messages(seen: Seen) -> list[tuple[str, str]]:
    """The SDK's own history in the end: role and words of each message."""
    found = []
    for item in seen.of("history")[-1]:
        if item["type"] == "message":
            [part] = item["content"]
            found.append((item["role"], part.get("text") or part.get("transcript") or ""))
    return found


def fine(seen: Seen) -> Seen:
    assert not seen.of("error")
    assert not seen.of("not understood")
    return seen


def test_a_text_turn(seen):
    turn = fine(seen("text"))
    wall.a_text_turn(turn.events)
    [answer] = turn.of("agent_end")
    assert messages(turn) == [("user", wall.SUM), ("assistant", answer)]


def test_a_spoken_turn(seen):
    turn = fine(seen("spoken"))
    wall.a_spoken_turn(turn.events)
    assert turn.of("agent_end") == [wall.said(turn.events)]
    assert sum(turn.of("audio")) == len(wall.audio(turn.events))


def test_speaking_over_the_answer_interrupts_it(seen):
    turn = fine(seen("barge_in"))
    wall.a_barge_in(turn.events)
    assert len(turn.of("audio_interrupted")) == 1
    assert [role for role, _ in messages(turn)] == ["user", "assistant", "user", "assistant"]


def test_its_tool_runs_and_the_result_is_spoken(seen):
    turn = fine(seen("tool"))
    wall.a_tool_call(turn.events)
    assert turn.of("call") == [{"name": "get_weather", "arguments": {"location": "paris"}}]
    [call] = [item for item in turn.of("history")[-1] if item["type"] == "function_call"]
    assert (call["status"], call["output"]) == ("completed", '{"sky":"sunny"}')


def test_interrupting_cancels_the_answer_and_cuts_it(seen):
    turn = fine(seen("cancel"))
    wall.a_cancel(turn.events)
    assert len(turn.of("audio_interrupted")) == 1
    assert len(wall.of(turn.events, "conversation.item.truncated")) == 1


def test_what_was_said_is_in_its_history(seen):
    turn = fine(seen("transcription"))
    wall.check(turn.events)
    assert messages(turn)[0] == ("user", wall.HEARD)


def test_a_bad_event_is_an_error_that_names_it_and_no_more(seen):
    turn = seen("bad_event")
    wall.a_bad_event(turn.events)
    [error] = turn.of("error")
    assert error["event_id"] == "mine"


@pytest.mark.parametrize(
    ("scenario", "code"),
    [("unknown_model", "invalid_model"), ("wrong_key", "invalid_api_key")],
)
def test_who_is_not_let_in_is_told_why(seen, scenario, code):
    wall.a_refusal(seen(scenario).events, code)
    [told] = [error for error in seen(scenario).of("error") if isinstance(error, dict)]
    assert told["code"] == code
