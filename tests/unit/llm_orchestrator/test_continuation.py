from contextlib import aclosing

import pytest

from llm_orchestrator import continuation
from llm_orchestrator.engine import (
    Done,
    Finish,
    Message,
    Repeated,
    Request,
    Role,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
    ToolMode,
    Usage,
)

USER = Message(role=Role.USER, text="what is the weather in London")
DONE = Done(Finish.STOP, Usage(1, 0, 1))
CALL = ToolCall("c_1", "get_weather", "{}")
CALLED = Message(role=Role.ASSISTANT, tool_calls=(CALL,))
RESULT = Message(role=Role.TOOL, text="sunny", call_id="c_1")
WEATHER, CLOCK = Tool("get_weather", "", "{}"), Tool("get_time", "", "{}")


class Asked:
    """A model that gives the news it is told to."""

    def __init__(self, *news):
        self.news, self.requests, self.closed = news, [], False

    async def __call__(self, request):
        self.requests.append(request)
        try:
            for piece in self.news:
                yield piece
        finally:
            self.closed = True


async def hear(asked, written="", **request):
    request = Request(messages=(USER,), already_written=written, **request)
    return [piece async for piece in continuation.news(request, asked)]


async def test_an_answer_from_its_beginning_is_left_alone():
    asked = Asked(TextDelta("Hi"), DONE)
    assert await hear(asked, max_output_tokens=5) == [TextDelta("Hi"), DONE]
    assert asked.requests[0].max_output_tokens == 5


async def test_what_repeats_is_a_sign_of_life_and_what_is_new_comes():
    asked = Asked(TextDelta("It is"), TextDelta(" hot"), TextDelta(" today."), DONE)
    assert await hear(asked, "It is hot") == [Repeated(), Repeated(), TextDelta(" today."), DONE]


async def test_what_was_held_back_comes_before_a_call_and_before_the_end():
    delta = ToolCallDelta("c", "get_time", "{}")
    asked = Asked(TextDelta("It"), delta, TextDelta("x"), DONE)
    assert await hear(asked, "It is") == [Repeated(), TextDelta(" It"), delta, TextDelta("x"), DONE]
    assert await hear(Asked(TextDelta("It"), DONE), "It is") == [Repeated(), TextDelta(" It"), DONE]


async def test_a_repetition_that_the_limit_cut_off_is_not_said():
    done = Done(Finish.LENGTH, Usage(1, 0, 1))
    assert await hear(Asked(TextDelta("It"), done), "It is") == [Repeated(), done]


async def test_the_conversation_knows_which_words_there_are():
    assert (await hear(Asked(TextDelta("don."), DONE), "in Lon"))[0] == TextDelta("don.")
    assert (await hear(Asked(TextDelta("the air."), DONE), "in"))[0] == TextDelta(" the air.")
    assert (await hear(Asked(TextDelta("be sunny."), DONE), "will", instructions="It will."))[
        0
    ] == TextDelta(" be sunny.")


async def test_what_was_written_counts_for_the_limit():
    asked = Asked(DONE)
    await hear(asked, "word " * 8, max_output_tokens=15)
    await hear(asked, "word " * 8)
    assert [request.max_output_tokens for request in asked.requests] == [5, 0]


async def test_when_the_limit_is_reached_nobody_is_asked():
    asked = Asked(DONE)
    assert await hear(asked, "word " * 8, max_output_tokens=10) == [Done(Finish.LENGTH, Usage())]
    assert asked.requests == []


async def test_closing_closes_the_call_to_the_model():
    asked = Asked(TextDelta("a"), DONE)
    request = Request(messages=(USER,), already_written="Well")
    async with aclosing(continuation.news(request, asked)) as news:
        await anext(news)
    assert asked.closed


def test_calls_without_a_result_since_the_person_spoke_are_unanswered():
    assert continuation.unanswered((USER, CALLED)) == [CALL]
    assert continuation.unanswered((USER, CALLED, RESULT)) == []
    assert continuation.unanswered((CALLED, USER)) == []


@pytest.mark.parametrize(
    ("written", "messages", "offered"),
    [
        ("Well", (USER, CALLED), [CLOCK]),
        ("Well", (USER, CALLED, RESULT), [WEATHER, CLOCK]),
        ("", (USER, CALLED), [WEATHER, CLOCK]),
    ],
)
def test_a_tool_that_this_response_has_called_is_not_offered_again(written, messages, offered):
    must = ToolChoice(ToolMode.FUNCTION, "get_weather")
    request = Request(
        messages=messages, tools=(WEATHER, CLOCK), tool_choice=must, already_written=written
    )
    resumed = continuation.resumed(request)
    assert list(resumed.tools) == offered
    assert resumed.tool_choice == (ToolChoice() if offered == [CLOCK] else must)
