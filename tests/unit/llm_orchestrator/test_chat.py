import asyncio
from contextlib import aclosing
from types import SimpleNamespace as Made

import pytest

from llm_orchestrator import chat
from llm_orchestrator.engine import (
    Done,
    Finish,
    Message,
    Request,
    Role,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from mesh.errors import Unavailable

REQUEST = Request(messages=(Message(role=Role.USER, text="hi"),))


def chunk(finish=None, usage=None, **delta):
    choice = Made(delta=Made(**delta), finish_reason=finish)
    return Made(choices=[choice], usage=usage)


def call(index, call_id=None, name=None, arguments=None):
    return Made(index=index, id=call_id, function=Made(name=name, arguments=arguments))


def read(*chunks):
    reader = chat.Reader("openai", REQUEST)
    return [news for chunk in chunks for news in reader.read(chunk)] + [reader.end()]


def test_text_and_usage():
    usage = Made(prompt_tokens=9, completion_tokens=2, prompt_tokens_details=Made(cached_tokens=4))
    assert read(
        chunk(content=""), chunk(content="Hi"), chunk("stop"), Made(choices=[], usage=usage)
    ) == [TextDelta("Hi"), Done(Finish.STOP, Usage(9, 4, 2))]


def test_a_refusal_is_heard():
    assert read(chunk(content=None, refusal="No."), chunk("stop"))[0] == TextDelta("No.")


def test_finish_reasons():
    for reason, finish in (
        ("stop", Finish.STOP),
        ("tool_calls", Finish.STOP),
        ("length", Finish.LENGTH),
        ("content_filter", Finish.CONTENT_FILTER),
    ):
        assert read(chunk(reason)) == [Done(finish, Usage())]


def test_calls_that_are_told_side_by_side():
    assert read(
        chunk(tool_calls=[call(0, "a", "f", ""), call(1, "b", "g", "")]),
        chunk(tool_calls=[call(1, arguments='{"x"')]),
        chunk(tool_calls=[call(0, arguments="{}"), call(1, arguments=": 1}")]),
        chunk("tool_calls"),
    ) == [
        ToolCallDelta("a", "f", ""),
        ToolCallDelta("b", "g", ""),
        ToolCallDelta("b", "", '{"x"'),
        ToolCallDelta("a", "", "{}"),
        ToolCallDelta("b", "", ": 1}"),
        ToolCall("a", "f", "{}"),
        ToolCall("b", "g", '{"x": 1}'),
        Done(Finish.STOP, Usage()),
    ]


def test_servers_that_give_every_call_the_same_index():
    news = read(
        chunk(tool_calls=[call(0, "a", "f", "{}")]),
        chunk(tool_calls=[call(0, "b", "g", "{}")]),
        chunk("stop"),
    )
    assert [n for n in news if isinstance(n, ToolCall)] == [
        ToolCall("a", "f", "{}"),
        ToolCall("b", "g", "{}"),
    ]


def test_a_name_that_comes_after_arguments_began():
    assert read(
        chunk(tool_calls=[call(0, "a", None, "{")]),
        chunk(tool_calls=[call(0, None, "f", "}")]),
        chunk("stop"),
    )[:2] == [ToolCallDelta("a", "f", "{}"), ToolCall("a", "f", "{}")]


def test_a_call_without_arguments_has_empty_ones():
    assert ToolCall("a", "f", "{}") in read(
        chunk(tool_calls=[call(0, "a", "f", "")]), chunk("stop")
    )


def test_half_a_call_at_the_token_limit_is_no_call():
    news = read(chunk(tool_calls=[call(0, "a", "f", '{"x": ')]), chunk("length"))
    assert not [n for n in news if isinstance(n, ToolCall)]


def test_an_answer_without_an_end_broke_off():
    with pytest.raises(Unavailable, match="broke off"):
        read(chunk(content="Hi"))


@pytest.mark.parametrize(
    "nonsense", [None, "text", 7, [], Made(choices=None), Made(choices="x"), Made(choices={})]
)
def test_nonsense_is_an_outage(nonsense):
    with pytest.raises(Unavailable):
        read(nonsense)


@pytest.mark.parametrize(
    "odd",
    [
        Made(choices=[None]),
        Made(choices=[Made(delta=None, finish_reason=None)]),
        chunk(content=7),
        chunk(tool_calls=[Made()]),
        chunk(tool_calls=[call(None)]),
        chunk(usage=Made(prompt_tokens="x", completion_tokens=-1, prompt_tokens_details=None)),
    ],
)
def test_odd_chunks_say_nothing(odd):
    assert read(odd, chunk("stop")) == [Done(Finish.STOP, Usage())]


def test_groq_gives_usage_and_errors_in_a_field_of_its_own():
    usage = Made(prompt_tokens=3, completion_tokens=1)
    last = Made(choices=[], usage=None, x_groq=Made(usage=usage, error=None))
    assert read(chunk("stop"), last) == [Done(Finish.STOP, Usage(3, 0, 1))]
    with pytest.raises(Unavailable):
        read(Made(choices=[], usage=None, x_groq=Made(usage=None, error="over capacity")))


def test_only_models_to_talk_with_are_listed_the_configured_one_first():
    listed = ["gpt-4.1-mini", "whisper-1", "gpt-4.1", "text-embedding-3-small", None, 7]
    assert chat.models("gpt-4.1-mini", listed) == ("gpt-4.1-mini", "gpt-4.1")
    assert chat.models("", ["b", "a"]) == ("a", "b")


class Lost(Exception):
    """What an SDK raises."""


class Provider(chat.ChatCompletions):
    """Its SDK streams what it is told to: an error is raised, an event waited for."""

    def __init__(self, *chunks):
        completions = Made(create=self.create)
        client = Made(chat=Made(completions=completions))
        super().__init__("one", client, (Lost,), "m", context_tokens=9, sees=False)
        self.chunks, self.closed = chunks, False

    async def particulars(self, request):
        return {"model": "m"}

    async def create(self, **body):
        return self

    async def __aiter__(self):
        for piece in self.chunks:
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, asyncio.Event):
                await piece.wait()
            yield piece

    async def close(self):
        self.closed = True


async def hear(provider):
    async with asyncio.timeout(30), aclosing(provider.generate(REQUEST)) as stream:
        return [news async for news in stream]


@pytest.mark.parametrize("trouble", [Lost("cut"), asyncio.Event()], ids=["cut", "stall"])
async def test_an_answer_that_is_whole_is_one_whatever_comes_behind_it(monkeypatch, trouble):
    monkeypatch.setattr(chat, "USAGE_S", 0.05)
    provider = Provider(chunk(content="Hi"), chunk("stop"), trouble)
    assert await hear(provider) == [TextDelta("Hi"), Done(Finish.STOP, Usage())]
    assert provider.closed


async def test_one_that_is_not_whole_is_none():
    provider = Provider(chunk(content="Hi"), Lost("cut"), chunk("stop"))
    with pytest.raises(Unavailable):
        await hear(provider)
