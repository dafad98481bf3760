import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_orchestrator import tokens
from llm_orchestrator.engine import (
    Message,
    Request,
    Role,
    ToolCall,
    Truncation,
    TruncationMode,
)
from llm_orchestrator.truncation import ANSWER_TOKENS, CUT, fitted
from mesh.errors import Rejected

WINDOW = 8000
ROOM = WINDOW - ANSWER_TOKENS
HUNDRED = "word " * 77  # 96 tokens and 4 for the message


def user(text=HUNDRED):
    return Message(role=Role.USER, text=text)


def assistant(text=HUNDRED, *calls):
    return Message(role=Role.ASSISTANT, text=text, tool_calls=calls)


def result(call_id, text=HUNDRED):
    return Message(role=Role.TOOL, text=text, call_id=call_id)


def turns(n):
    """n turns of 200 tokens."""
    return tuple(part for i in range(n) for part in (user(f"{HUNDRED}{i}"), assistant()))


def request(*messages, mode=TruncationMode.AUTO, ratio=1.0, most=0, **more):
    rule = Truncation(mode=mode, retention_ratio=ratio, max_message_tokens=most)
    return Request(messages=messages, truncation=rule, **more)


def held(messages):
    return sum(map(tokens.of_message, messages))


@pytest.mark.parametrize("mode", TruncationMode)
def test_what_fits_stays_as_it_is(mode):
    asked = request(*turns(10), mode=mode, ratio=0.5)
    assert fitted(asked, WINDOW) is asked


def test_the_oldest_messages_go_until_the_rest_fits():
    asked = request(*turns(100))
    kept = fitted(asked, WINDOW).messages
    assert kept == asked.messages[-len(kept) :]
    assert ROOM - 250 < held(kept) <= ROOM


def test_room_is_left_for_instructions_tools_and_the_answer():
    plain = fitted(request(*turns(100)), WINDOW).messages
    for more in (
        {"instructions": "Be brief. " * 1000},
        {"max_output_tokens": 2000},
    ):
        assert len(fitted(request(*turns(100), **more), WINDOW).messages) < len(plain)
    limited = fitted(request(*turns(100), max_output_tokens=100), WINDOW).messages
    assert len(limited) > len(plain)


def test_what_was_already_written_takes_of_the_room_for_the_answer():
    plain = fitted(request(*turns(100)), WINDOW).messages
    some = fitted(request(*turns(100), already_written="word " * 300), WINDOW).messages
    assert some == plain
    much = fitted(request(*turns(100), already_written="word " * 3000), WINDOW).messages
    assert 0 < len(much) < len(plain)
    assert held(much) + tokens.of_text("word " * 3000) < WINDOW


def test_a_limit_of_the_caller_counts_only_messages():
    instructions = "Be brief. " * 500
    asked = request(*turns(10), most=1000, instructions=instructions)
    assert 750 < held(fitted(asked, WINDOW).messages) <= 1000


def test_system_messages_and_the_last_question_are_kept_whatever_they_cost():
    system = Message(role=Role.SYSTEM, text=HUNDRED * 40)
    last = user(HUNDRED * 60)
    made, returned = assistant("", ToolCall("c", "f", "{}")), result("c")
    asked = request(system, *turns(5), last, made, returned)
    assert fitted(asked, WINDOW).messages == (system, last, made, returned)


def test_a_call_and_its_result_go_together():
    call = assistant("", ToolCall("c", "f", "{}"))
    late = (user(), call, *turns(2), result("c"), *turns(40))
    kept = fitted(request(*late), WINDOW).messages
    assert (call in kept) == (late[6] in kept) is False
    early = fitted(request(*turns(33), call, user(), result("c"), user()), WINDOW).messages
    assert call in early
    assert result("c") in early


def test_without_truncation_too_much_is_refused_with_numbers():
    asked = request(*turns(100), mode=TruncationMode.DISABLED, instructions="Be brief.")
    with pytest.raises(Rejected) as caught:
        fitted(asked, WINDOW)
    error = caught.value
    assert (error.param, error.code) == ("truncation", "context_length_exceeded")
    total = tokens.of_request(asked)
    assert error.detail == (
        f"The conversation is too long for the model: {total} tokens of at most {ROOM}"
    )


def test_a_ratio_is_kept_once_the_limit_is_passed():
    asked = request(*turns(100), mode=TruncationMode.RETENTION_RATIO, ratio=0.5)
    kept = held(fitted(asked, WINDOW).messages)
    assert ROOM * 0.5 - 250 < kept <= ROOM
    at_once = request(*turns(36), mode=TruncationMode.RETENTION_RATIO, ratio=0.5)
    assert held(fitted(at_once, WINDOW).messages) <= ROOM * 0.6


def test_the_cut_stays_where_it_is_for_many_turns():
    """So that the provider finds the beginning in its cache."""

    def cuts(ratio):
        firsts = []
        for n in range(30, 80):
            asked = request(*turns(n), mode=TruncationMode.RETENTION_RATIO, ratio=ratio)
            firsts.append(fitted(asked, WINDOW).messages[0])
        return len(set(map(repr, firsts)))

    assert cuts(0.5) <= 5
    assert cuts(1.0) > 30


def test_nothing_kept_is_the_question_alone():
    asked = request(*turns(100), user("?"), mode=TruncationMode.RETENTION_RATIO, ratio=0.0)
    assert fitted(asked, WINDOW).messages[-1] == user("?")
    assert fitted(request(*turns(3), user("?")), 10).messages == (user("?"),)
    assert fitted(request(), 10).messages == ()


PARTS = st.lists(
    st.one_of(
        st.builds(user, st.sampled_from(["", "hi", HUNDRED])),
        st.builds(assistant, st.sampled_from(["hi", HUNDRED])),
        st.integers(0, 3).map(lambda n: assistant("", ToolCall(f"c{n}", "f", "{}"))),
        st.integers(0, 3).map(lambda n: result(f"c{n}", "hi")),
        st.just(Message(role=Role.SYSTEM, text="rule")),
    ),
    max_size=40,
)


@given(PARTS, st.integers(0, 3000), st.floats(0, 1))
def test_whatever_comes_order_and_what_is_needed_are_kept(messages, window, ratio):
    asked = request(*messages, mode=TruncationMode.RETENTION_RATIO, ratio=ratio)
    kept = fitted(asked, window).messages
    places = iter(messages)
    assert all(any(message is place for place in places) for message in kept)
    last = max((i for i, m in enumerate(messages) if m.role is Role.USER), default=0)
    assert [m for m in messages[last:] if not any(m is k for k in kept)] == []
    systems = [m for m in messages if m.role is Role.SYSTEM]
    assert [m for m in kept if m.role is Role.SYSTEM] == systems


def test_results_that_are_too_long_even_so_are_cut_to_one_length():
    calls = [ToolCall(f"c{i}", "look", "{}") for i in range(3)]
    long, longer, short = "word " * 4000, "word " * 9000, HUNDRED
    asked = request(
        *turns(5),
        user("Look it up."),
        assistant("", *calls),
        result("c0", long),
        result("c1", longer),
        result("c2", short),
    )
    kept = fitted(asked, WINDOW).messages
    assert held(kept) <= ROOM
    question, made, *results = kept
    assert (question.text, made.tool_calls) == ("Look it up.", tuple(calls))
    assert all(text.endswith(CUT) for text in (results[0].text, results[1].text))
    assert results[2].text == short
    assert results[0].text.startswith("word word")
    one = request(user(), assistant("", calls[0], calls[1]), result("c0", long), result("c1"))
    fits = fitted(one, WINDOW).messages
    assert fits == one.messages
    cut = fitted(one, 4000).messages
    assert held(cut) <= 4000 - 1000
    assert cut[-1] == one.messages[-1]


def test_what_the_person_said_is_never_cut():
    asked = request(user("word " * 9000), result("c0"))
    assert fitted(asked, WINDOW).messages == asked.messages


def test_results_are_not_cut_without_leave():
    call = ToolCall("c0", "look", "{}")
    asked = request(
        user(), assistant("", call), result("c0", "word " * 9000), mode=TruncationMode.DISABLED
    )
    with pytest.raises(Rejected):
        fitted(asked, WINDOW)
