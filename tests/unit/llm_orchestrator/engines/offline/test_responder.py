import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pocketsphinx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_orchestrator.engine import Image, Message, Request, Role, ToolCall, ToolChoice, ToolMode
from llm_orchestrator.engines.offline import places
from llm_orchestrator.engines.offline.responder import Call, Say, respond
from tests.unit.llm_orchestrator.engines.offline import offered as tools

NOW = datetime(2026, 11, 23, 15, 45, tzinfo=UTC)


def ask(*texts, now=NOW, **request):
    messages = tuple(Message(role=Role.USER, text=text) for text in texts)
    return respond(Request(messages=messages, **request), now)


def said(*texts, **request):
    reply = ask(*texts, **request)
    assert isinstance(reply, Say)
    return reply.text


def called(text, **request):
    request.setdefault("tools", tools.ALL)
    reply = ask(text, **request)
    assert isinstance(reply, Call)
    return reply.name, json.loads(reply.arguments_json)


def test_it_answers_what_it_knows():
    assert said("what time is it in london today") == (
        "It is three forty five in the afternoon in London."
    )
    assert said("seven times eight") == "Seven times eight is fifty six."
    assert said("good morning") == "Good morning. How can I help you?"


def test_it_says_back_the_rest():
    assert said("I like trains") == "You said: I like trains."
    assert said("Really?") == "You said: Really?"


@pytest.mark.parametrize("text", ["", "  ", "?!"])
def test_hearing_nothing_it_asks_to_repeat(text):
    assert "again" in said("hello", text)


def test_with_nobody_having_spoken_it_greets():
    assert said(instructions="Greet the caller.") == "Hello. How can I help you?"


def test_it_answers_the_last_that_was_said():
    assert said("seven times eight", "two plus two") == "Two plus two is four."


@pytest.mark.parametrize("choice", list(ToolMode)[:2])
def test_asked_who_it_is_it_says_so_whatever_it_was_told_and_offered(choice):
    text = said(
        "who are you",
        instructions="You are Bob, a pirate.",
        tools=tools.ALL,
        tool_choice=ToolChoice(choice),
    )
    assert "offline responder" in text
    assert "can not follow instructions" in text


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("what is the weather in paris", ("get_weather", {"location": "paris"})),
        ("set a timer for five minutes", ("set_timer", {"seconds": 300})),
        (
            "are there flights from boston to seattle on friday",
            ("search_flights", {"origin": "boston", "destination": "seattle", "date": "friday"}),
        ),
        ("remind me to call bob", ("create_reminder", {"task": "call bob"})),
        ("hang up", ("end_call", {})),
    ],
)
def test_it_calls_the_tool_that_fits(text, call):
    assert called(text) == call


@pytest.mark.parametrize(
    "text",
    ["i like trains", "what is the meaning of life", "the price is too high",
     "it is a good time to fly", "i read a book", "tell me a joke"],
)  # fmt: skip
def test_it_calls_no_tool_for_unrelated_words(text):
    assert said(text, tools=tools.ALL).startswith("You said:")


def test_what_it_knows_itself_needs_no_unrelated_tool():
    assert "three forty five" in said("what time is it in london", tools=tools.ALL)


def test_it_asks_for_what_a_tool_needs():
    assert said("how is the weather", tools=tools.ALL) == (
        "For that I need the location. What is it?"
    )


def test_no_tool_is_called_when_none_may_be():
    text = said(
        "what is the weather in paris", tools=tools.ALL, tool_choice=ToolChoice(ToolMode.NONE)
    )
    assert text.startswith("You said:")


def test_a_tool_is_called_when_one_must_be():
    choice = ToolChoice(ToolMode.REQUIRED)
    assert called("book a table", tool_choice=choice)[0] == "book_table"
    choice = ToolChoice(ToolMode.FUNCTION, "set_timer")
    assert called("i like trains", tool_choice=choice) == ("set_timer", {"seconds": 0})


def test_it_answers_from_a_result_even_if_a_call_must_be_made():
    messages = (
        Message(role=Role.USER, text="what is the weather in paris"),
        Message(
            role=Role.ASSISTANT,
            tool_calls=(ToolCall("c", "get_weather", '{"location": "paris"}'),),
        ),
        Message(role=Role.TOOL, text='{"condition": "sunny"}', call_id="c"),
    )
    request = Request(messages=messages, tools=tools.ALL, tool_choice=ToolChoice(ToolMode.REQUIRED))
    assert respond(request, NOW) == Say("The weather in paris: condition sunny.")


def dictionary():
    lines = Path(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict")).read_text()
    return {line.split(" ", 1)[0] for line in lines.splitlines()}


def words_of(text):
    return re.findall(r"[a-z']+", text.lower())


def test_its_own_answers_hold_only_words_that_can_be_aligned():
    """Forced alignment of the spoken answer needs every word in a pronouncing dictionary."""
    minutes = [NOW + timedelta(minutes=m) for m in range(24 * 60)]
    days = [NOW + timedelta(days=d) for d in range(366)]
    answers = [said("what time is it", now=moment) for moment in minutes]
    answers += [said("what day is it", now=day) for day in days]
    answers += [said(f"what time is it in {place.name}") for place in places.every()]
    answers += [said(f"{n} times {n}") for n in range(0, 2000, 7)]
    answers += [
        said(line)
        for line in (
            "hello", "good evening", "how are you", "thanks", "bye", "who are you", "", "10 / 3",
            "1 / 0", "2 ^ 99", "square root of -1", "20% of 7", "half of 9", "5 squared", "5 mod 2",
            "what year is it", "2 ^ 40",
        )
    ]  # fmt: skip
    known = dictionary()
    assert {word for text in answers for word in words_of(text)} <= known
    assert not [text for text in answers if re.search(r"\d", text)]


@given(st.text(max_size=60), st.sampled_from(list(ToolMode)[:3]))
def test_whatever_is_said_it_answers(text, mode):
    assert ask(text, tools=tools.ALL, tool_choice=ToolChoice(mode))


def shown(text, **request):
    message = Message(role=Role.USER, text=text, images=(Image("data:image/png;base64,AAAA"),))
    return respond(Request(messages=(message,), **request), NOW)


def test_it_says_that_it_cannot_see():
    for text in ("", "what is in this picture"):
        assert shown(text) == Say("I was shown a picture, but I can not see.")
    assert shown("what is seven times eight") == Say("Seven times eight is fifty six.")
    assert said("what is in this picture").startswith("You said")


def test_a_picture_does_not_keep_it_from_calling_a_tool():
    demanded = ToolChoice(ToolMode.REQUIRED)
    assert isinstance(shown("", tools=tools.ALL, tool_choice=demanded), Call)
