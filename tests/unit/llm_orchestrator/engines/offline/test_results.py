import pytest

from llm_orchestrator.engine import Message, Role, ToolCall
from llm_orchestrator.engines.offline.results import MAX_FACTS, answer

PARIS = ToolCall("call_1", "get_weather", '{"location": "paris"}')


def after(output, call=PARIS):
    return answer(
        [
            Message(role=Role.USER, text="?"),
            Message(role=Role.ASSISTANT, tool_calls=(call,)),
            Message(role=Role.TOOL, text=output, call_id=call.call_id),
        ]
    )


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (
            '{"temperature": 21, "condition": "sunny"}',
            "The weather in paris: temperature twenty one, condition sunny.",
        ),
        ("21°C and sunny", "Twenty one degrees celsius and sunny."),
        ('"It is 21 degrees."', "It is twenty one degrees."),
        ("sunny", "The weather in paris: sunny."),
        ('{"error": "no such city"}', "The weather in paris failed: no such city."),
        ("", "The weather in paris: done."),
        ("null", "The weather in paris: done."),
        ("[1, 2, 3.5]", "The weather in paris: one, two, three point five."),
        ('{"isOpen": true, "n": null}', "The weather in paris: is open yes."),
        ('{"a": {"rain_mm": [0.5]}}', "The weather in paris: rain mm zero point five."),
    ],
)
def test_results_become_sentences(output, said):
    assert after(output) == said


def test_the_subject_is_what_was_called_with_what():
    assert after("fine", ToolCall("c", "checkStock", '{"symbol": "acme"}')) == (
        "The stock for acme: fine."
    )
    assert after("fine", ToolCall("c", "get", "nonsense")) == "The get: fine."


def test_long_results_are_cut():
    said = after(str(list(range(MAX_FACTS + 3))))
    assert said.endswith(", eleven, and three more.")


def test_results_of_calls_side_by_side_are_all_said():
    rome = ToolCall("call_2", "get_weather", '{"location": "rome"}')
    messages = [
        Message(role=Role.ASSISTANT, tool_calls=(PARIS, rome)),
        Message(role=Role.TOOL, text="sunny", call_id="call_1"),
        Message(role=Role.TOOL, text="rainy", call_id="call_2"),
    ]
    assert answer(messages) == "The weather in paris: sunny. The weather in rome: rainy."


def test_a_result_without_its_call_is_said_too():
    assert answer([Message(role=Role.TOOL, text="sunny", call_id="x")]) == "The result: sunny."


def test_only_results_at_the_end_are_answered():
    messages = [Message(role=Role.TOOL, text="1", call_id="x"), Message(role=Role.USER, text="?")]
    assert answer(messages) is None
    assert answer([]) is None


@pytest.mark.parametrize("output", ["NaN", "Infinity", "1e400", "9" * 40, "\x00", "{}", "[]"])
def test_odd_results_are_survived(output):
    assert after(output)
