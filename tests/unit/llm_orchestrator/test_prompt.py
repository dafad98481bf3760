from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from llm_orchestrator.engine import Image, Message, Request, Role, ToolCall
from llm_orchestrator.prompt import INAUDIBLE, NO_RESULT, PICTURE, arguments, conversation

A = ToolCall("call_a", "get_weather", '{"location": "paris"}')
B = ToolCall("call_b", "get_weather", '{"location": "rome"}')


def user(text):
    return Message(role=Role.USER, text=text)


def said(text="", *calls):
    return Message(role=Role.ASSISTANT, text=text, tool_calls=calls)


def result(call_id, text):
    return Message(role=Role.TOOL, text=text, call_id=call_id)


def repaired(*messages, instructions=""):
    return conversation(Request(messages=messages, instructions=instructions))


def test_instructions_come_first():
    assert repaired(user("hi"), instructions="Be brief.") == [
        Message(role=Role.SYSTEM, text="Be brief."),
        user("hi"),
    ]


def test_a_conversation_in_order_is_left_alone():
    messages = [user("weather?"), said("", A), result("call_a", "sunny"), said("Sunny."), user("?")]
    assert repaired(*messages) == messages


def test_calls_in_messages_of_their_own_become_one_message():
    assert repaired(
        said("One moment."), said("", A), said("", B), result("call_b", "2"), result("call_a", "1")
    ) == [said("One moment.", A, B), result("call_a", "1"), result("call_b", "2")]


def test_calls_made_one_after_the_other_stay_apart():
    messages = [said("", A), result("call_a", "1"), said("", B), result("call_b", "2")]
    assert repaired(*messages) == messages


def test_a_late_result_moves_to_its_call():
    assert repaired(said("", A), user("hello?"), result("call_a", "1")) == [
        said("", A),
        result("call_a", "1"),
        user("hello?"),
    ]


def test_a_call_without_a_result_gets_one_that_says_so():
    assert repaired(said("", A), user("hello?")) == [
        said("", A),
        result("call_a", NO_RESULT),
        user("hello?"),
    ]


def test_the_last_of_two_results_counts():
    assert repaired(said("", A), result("call_a", "1"), result("call_a", "2")) == [
        said("", A),
        result("call_a", "2"),
    ]


def test_a_result_nobody_asked_for_becomes_text_without_authority():
    [message] = repaired(result("call_x", "sunny"))
    assert message.role is Role.USER
    assert "sunny" in message.text


def test_neighbours_of_one_role_are_put_together():
    assert repaired(user("one"), user("two"), said("a"), said("b")) == [
        user("one\ntwo"),
        said("a\nb"),
    ]


def test_speech_that_was_not_understood_is_said_to_be_so():
    assert repaired(said("Yes?"), user(" ")) == [said("Yes?"), user(INAUDIBLE)]


def test_empty_messages_of_others_are_left_out():
    assert repaired(Message(role=Role.SYSTEM), said(""), user("hi")) == [user("hi")]


CAT, DOG = Image("data:image/png;base64,AAAA"), Image("data:image/png;base64,BBBB", "low")


def test_pictures_stay_with_the_words_they_came_with():
    request = Request(messages=(user("a"), Message(role=Role.USER, text="b", images=(CAT, DOG))))
    [message] = conversation(request, sees=True)
    assert (message.text, message.images) == ("a\nb", (CAT, DOG))


def test_a_line_stands_for_a_picture_that_cannot_be_seen_or_is_gone():
    shown = Message(role=Role.USER, images=(CAT, Image("")))
    [blind] = conversation(Request(messages=(shown,)))
    assert (blind.text, blind.images) == (f"{PICTURE}\n{PICTURE}", ())
    [seeing] = conversation(Request(messages=(shown,)), sees=True)
    assert (seeing.text, seeing.images) == (PICTURE, (CAT,))


def test_a_picture_without_words_is_not_inaudible():
    [message] = conversation(Request(messages=(replace(user(""), images=(CAT,)),)), sees=True)
    assert message.text == ""


def test_what_was_already_written_comes_last():
    request = Request(messages=(user("hi"),), already_written="Hello ")
    assert conversation(request) == [user("hi"), said("Hello ")]
    request = Request(messages=(user("hi"), said("Well.")), already_written="Hello")
    assert conversation(request) == [user("hi"), said("Well.\nHello")]
    assert conversation(Request(messages=(user("hi"),), already_written=" ")) == [user("hi")]


def test_arguments_that_are_no_object_are_none():
    assert arguments('{"a": 1}') == {"a": 1}
    assert arguments("[1]") == arguments('{"a": ') == arguments("") == {}


CALLS = st.lists(st.sampled_from([A, B]), max_size=2, unique=True).map(tuple)
MESSAGES = st.one_of(
    st.builds(user, st.sampled_from(["", "x"])),
    st.builds(lambda text, calls: said(text, *calls), st.sampled_from(["", "y"]), CALLS),
    st.builds(result, st.sampled_from(["call_a", "call_b", "call_x"]), st.just("r")),
    st.builds(lambda: Message(role=Role.SYSTEM, text="s")),
)


@given(st.lists(MESSAGES, max_size=8))
def test_every_call_has_its_result_right_after_it_whatever_came(messages):
    made = repaired(*messages)
    expected = []
    for message in made:
        if message.role is Role.TOOL:
            assert message.call_id == expected.pop(0)
            continue
        assert not expected
        expected = [call.call_id for call in message.tool_calls]
        assert message.text or message.tool_calls
    assert not expected
