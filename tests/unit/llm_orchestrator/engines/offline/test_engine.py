from datetime import UTC, datetime, timedelta

import pytest

from llm_orchestrator.engine import Done, Finish, Message, Request, Role, TextDelta, ToolCall, Usage
from llm_orchestrator.engines.offline.engine import OfflineEngine

NOW = datetime(2026, 11, 23, 15, 45, tzinfo=UTC)


async def hear(engine, text, **request):
    message = Message(role=Role.USER, text=text)
    return [news async for news in engine.generate(Request(messages=(message,), **request))]


async def test_the_time_is_the_one_it_is_given():
    news = await hear(OfflineEngine(now=lambda: NOW), "what time is it")
    assert "".join(n.text for n in news[:-1]) == "It is three forty five in the afternoon."


async def test_without_one_it_is_the_time_of_the_machine():
    *news, done = await hear(OfflineEngine(), "what time is it")
    assert "".join(n.text for n in news).startswith("It is ")
    assert done.finish is Finish.STOP


async def test_it_speaks_and_counts_word_by_word():
    news = await hear(OfflineEngine(), "Hello", instructions="Be very brief.")
    assert news == [
        TextDelta("Hello."),
        TextDelta(" How"),
        TextDelta(" can"),
        TextDelta(" I"),
        TextDelta(" help"),
        TextDelta(" you?"),
        Done(Finish.STOP, Usage(input_tokens=4, output_tokens=6)),
    ]


async def test_it_goes_on_where_an_answer_broke_and_counts_what_is_new():
    assert await hear(OfflineEngine(), "Hello", already_written="Hello. How can I h") == [
        TextDelta("elp"),
        TextDelta(" you?"),
        Done(Finish.STOP, Usage(input_tokens=6, output_tokens=2)),
    ]


@pytest.mark.parametrize(
    ("written", "rest", "finish"),
    [
        ("Hello. How", " can", Finish.LENGTH),
        ("Hello. How c", "an", Finish.LENGTH),
        ("Hello. How can", "", Finish.LENGTH),
        ("Hello. How can I help", "", Finish.LENGTH),
        ("Hello. How can I help you?", "", Finish.STOP),
    ],
)
async def test_the_limit_is_of_the_whole_answer(written, rest, finish):
    engine = OfflineEngine()
    *news, done = await hear(engine, "Hello", already_written=written, max_output_tokens=3)
    assert "".join(n.text for n in news) == rest
    assert done.finish is finish


async def test_the_time_is_the_one_when_the_answer_began():
    minute = OfflineEngine(now=lambda: NOW + timedelta(minutes=1))
    for written, rest in (("It is three forty", " six "), ("It is three forty f", "ive ")):
        *news, _ = await hear(minute, "what time is it", already_written=written)
        assert "".join(n.text for n in news) == f"{rest}in the afternoon."


async def test_behind_a_call_that_was_made_there_is_nothing_to_say():
    call = ToolCall("c", "get_weather", "{}")
    messages = (
        Message(role=Role.USER, text="what is the weather"),
        Message(role=Role.ASSISTANT, tool_calls=(call,)),
    )
    request = Request(messages=messages, already_written="One moment.")
    [done] = [news async for news in OfflineEngine().generate(request)]
    assert done.finish is Finish.STOP
