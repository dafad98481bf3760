from datetime import UTC, datetime

from llm_orchestrator.engine import Done, Finish, Message, Request, Role, TextDelta, Usage
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
