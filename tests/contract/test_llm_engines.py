"""What every language model provider must do. Each line of ENGINES is run through all of it.

The providers with an API talk to it on loopback; the fake behind the port is held to the
same. The offline responder is asked what it can answer, so the replies the others are told
to give are the ones it gives by itself.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from pkgutil import resolve_name

import pytest

from llm_orchestrator.config import Config
from llm_orchestrator.engine import (
    Done,
    Finish,
    Image,
    Message,
    News,
    Request,
    Role,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
    ToolMode,
    Usage,
)
from llm_orchestrator.engines import ENGINES
from mesh.errors import MeshError, NotInstalled, Overloaded, Rejected, Unavailable
from tests.contract.llm_rig import (
    ANSWER,
    CALL,
    QUESTION,
    SECRET,
    WEATHER,
    WITH_A_SERVER,
    Rig,
    heard,
    rigged,
    text_of,
)
from tests.fakes.llm import Fault, Reply
from tests.fakes.provider_server import ProviderServer

CALL_ID = re.compile(r"[a-zA-Z0-9_-]{1,32}")


@pytest.fixture(params=[*ENGINES, "fake"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    async for rig in rigged(request.param):
        yield rig


@pytest.fixture(params=[*WITH_A_SERVER, "fake"])
async def frail(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    """Only what can fail."""
    async for rig in rigged(request.param):
        yield rig


@pytest.fixture(params=WITH_A_SERVER)
async def remote(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Rig, ProviderServer]]:
    async for rig in rigged(request.param):
        assert rig.server is not None
        yield rig, rig.server


def asking(text: str = QUESTION, **more: object) -> Request:
    return Request(messages=(Message(role=Role.USER, text=text),), **more)  # type: ignore[arg-type]


def calls_of(news: list[News]) -> list[ToolCall]:
    return [piece for piece in news if isinstance(piece, ToolCall)]


async def test_streams_its_answer_and_ends_with_the_usage(rig: Rig) -> None:
    *news, done = await heard(rig.engine, asking())
    assert len(news) > 1
    assert text_of(news) == ANSWER
    assert isinstance(done, Done)
    assert done.finish is Finish.STOP
    assert done.usage.input_tokens > 0
    assert done.usage.output_tokens > 0


async def test_calls_the_tool_that_fits(rig: Rig) -> None:
    rig.model.reply = Reply(calls=(CALL,))
    news = await heard(rig.engine, asking("what is the weather in paris", tools=(WEATHER,)))
    [call] = calls_of(news)
    assert (call.name, json.loads(call.arguments_json)) == ("get_weather", {"location": "paris"})
    assert CALL_ID.fullmatch(call.call_id)
    assert news[-1].finish is Finish.STOP  # type: ignore[union-attr]


async def test_the_deltas_of_a_call_make_the_call(rig: Rig) -> None:
    rig.model.reply = Reply(calls=(CALL,))
    news = await heard(rig.engine, asking("what is the weather in paris", tools=(WEATHER,)))
    [call] = calls_of(news)
    deltas = [piece for piece in news if isinstance(piece, ToolCallDelta)]
    assert "".join(delta.arguments_json for delta in deltas) == call.arguments_json
    assert [delta.name for delta in deltas] == ["get_weather"] + [""] * (len(deltas) - 1)
    assert {delta.call_id for delta in deltas} == {call.call_id}
    assert news.index(call) > news.index(deltas[-1])


async def test_calls_no_tool_when_none_may_be_called(rig: Rig) -> None:
    rig.model.reply = Reply("You said: no.", calls=(CALL,))
    request = asking(
        "what is the weather in paris", tools=(WEATHER,), tool_choice=ToolChoice(ToolMode.NONE)
    )
    news = await heard(rig.engine, request)
    assert not calls_of(news)
    assert text_of(news)


@pytest.mark.parametrize(
    "choice", [ToolChoice(ToolMode.REQUIRED), ToolChoice(ToolMode.FUNCTION, "get_weather")]
)
async def test_calls_a_tool_when_one_must_be_called(rig: Rig, choice: ToolChoice) -> None:
    rig.model.reply = Reply("Hello.", calls=(CALL,), reluctant=True)
    news = await heard(rig.engine, asking("hello", tools=(WEATHER,), tool_choice=choice))
    assert [call.name for call in calls_of(news)] == ["get_weather"]


async def test_answers_from_the_result_of_a_call(rig: Rig) -> None:
    rig.model.reply = Reply("The weather in paris: sunny.")
    messages = (
        Message(role=Role.USER, text="what is the weather in paris"),
        Message(role=Role.ASSISTANT, tool_calls=(CALL,)),
        Message(role=Role.TOOL, text="sunny", call_id=CALL.call_id),
    )
    news = await heard(rig.engine, Request(messages=messages, tools=(WEATHER,)))
    assert text_of(news) == "The weather in paris: sunny."


async def test_a_new_call_never_has_the_id_of_an_earlier_one(rig: Rig) -> None:
    rig.model.reply = Reply(calls=(CALL,))
    messages = (
        Message(role=Role.ASSISTANT, tool_calls=(CALL,)),
        Message(role=Role.TOOL, text="sunny", call_id=CALL.call_id),
        Message(role=Role.USER, text="what is the weather in paris"),
    )
    news = await heard(rig.engine, Request(messages=messages, tools=(WEATHER,)))
    [call] = calls_of(news)
    assert call.call_id != CALL.call_id


async def test_stops_at_the_token_limit(rig: Rig) -> None:
    *news, done = await heard(rig.engine, asking(max_output_tokens=3))
    assert text_of(news) == "Seven times eight"
    assert isinstance(done, Done)
    assert done.finish is Finish.LENGTH


async def test_lists_its_configured_model_first(rig: Rig) -> None:
    assert rig.engine.available
    assert (await rig.engine.models())[0] == rig.engine.model != ""


async def test_takes_a_conversation_with_loose_ends(rig: Rig) -> None:
    messages = (
        Message(role=Role.TOOL, text="lost", call_id="call_unknown"),
        Message(role=Role.USER, text=""),
        Message(role=Role.USER, text="and the weather"),
        Message(role=Role.ASSISTANT, tool_calls=(CALL,)),
        Message(role=Role.USER, text=QUESTION),
    )
    news = await heard(rig.engine, Request(messages=messages, instructions="Be brief."))
    assert text_of(news) == ANSWER


async def test_closing_the_answer_closes_the_call_to_the_provider(frail: Rig) -> None:
    frail.model.reply = Reply(ANSWER, fault=Fault.STALL, pieces_first=2)
    async with asyncio.timeout(10):
        async with aclosing(frail.engine.generate(asking())) as stream:
            assert await anext(stream) == TextDelta("Seven")
        await frail.model.hung_up.wait()


async def test_cancelling_the_wait_closes_the_call_to_the_provider(frail: Rig) -> None:
    frail.model.reply = Reply(ANSWER, fault=Fault.STALL)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(heard(frail.engine, asking()), name="wait")
        await frail.model.stalled.wait()
        waiting.cancel()
        await frail.model.hung_up.wait()


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.LIMITED, Overloaded),
        (Fault.BROKEN, Unavailable),
        (Fault.BAD_KEY, Unavailable),
        (Fault.BAD_REQUEST, Rejected),
        (Fault.CUT, Unavailable),
        (Fault.HALF, Unavailable),
        (Fault.GARBAGE, Unavailable),
    ],
)
async def test_a_failure_before_the_first_token_is_one_of_ours(
    frail: Rig, fault: Fault, kind: type[MeshError]
) -> None:
    frail.model.reply = Reply(ANSWER, fault=fault)
    with pytest.raises(kind):
        await heard(frail.engine, asking())
    assert frail.model.asked == 1  # the orchestration retries, not the SDK


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.HALF, Fault.GARBAGE])
async def test_a_failure_after_the_first_token_is_one_of_ours(frail: Rig, fault: Fault) -> None:
    frail.model.reply = Reply(ANSWER, fault=fault, pieces_first=2)
    news: list[News] = []
    with pytest.raises(Unavailable):
        await heard(frail.engine, asking(), into=news)
    # aborting a connection may throw away what was on its way
    assert "Seven times".startswith(text_of(news))


@pytest.mark.parametrize("name", ["openai", "groq"])  # Ollama's SDK keeps the headers
async def test_a_rate_limit_says_how_long_to_wait(name: str) -> None:
    async for rig in rigged(name):
        rig.model.reply = Reply(fault=Fault.LIMITED)
        with pytest.raises(Overloaded) as caught:
            await heard(rig.engine, asking())
        assert caught.value.retry_after_s == 7.0
        assert caught.value.code == "rate_limit_exceeded"


@pytest.mark.parametrize("name", ["openai", "groq"])
async def test_a_quota_that_is_used_up_has_its_own_code(name: str) -> None:
    async for rig in rigged(name):
        assert rig.server is not None
        wrong = {"message": "pay", "code": "insufficient_quota", "status": 429}
        rig.server.refuse = lambda body, wrong=wrong: wrong  # type: ignore[misc]
        with pytest.raises(Overloaded) as caught:
            await heard(rig.engine, asking())
        assert caught.value.code == "insufficient_quota"


async def test_a_request_that_is_too_long_has_its_own_code(
    remote: tuple[Rig, ProviderServer],
) -> None:
    rig, server = remote
    server.refuse = lambda body: {"message": "maximum context length is 9 tokens"}
    with pytest.raises(Rejected) as caught:
        await heard(rig.engine, asking())
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "truncation")


async def test_takes_a_conversation_with_pictures(rig: Rig) -> None:
    picture = Image("data:image/png;base64,iVBORw0KGgo=")
    message = Message(role=Role.USER, text=QUESTION, images=(picture, Image("")))
    request = Request(messages=(message,), reasoning_effort="low", parallel_tool_calls=True)
    assert text_of(await heard(rig.engine, request)) == ANSWER
    assert rig.engine.context_tokens > 1000


@pytest.mark.parametrize("fault", [Fault.BROKEN, Fault.BAD_REQUEST, Fault.BAD_KEY])
async def test_errors_hold_no_content_and_no_key(
    remote: tuple[Rig, ProviderServer], fault: Fault
) -> None:
    rig, _ = remote
    rig.model.reply = Reply(fault=fault)  # the server quotes the request in its message
    with pytest.raises(MeshError) as caught:
        await heard(rig.engine, asking("a very private question"))
    assert "private" not in str(caught.value)
    assert SECRET not in str(caught.value)


async def test_calls_made_side_by_side_are_told_apart(remote: tuple[Rig, ProviderServer]) -> None:
    rig, _ = remote
    long_id = "chatcmpl-tool-0123456789abcdef0123456789abcdef"
    rome = ToolCall(long_id, "get_weather", '{"location": "rome"}')
    rig.model.reply = Reply(calls=(CALL, rome))
    news = await heard(rig.engine, asking(tools=(WEATHER,)))
    calls = calls_of(news)
    assert [json.loads(call.arguments_json)["location"] for call in calls] == ["paris", "rome"]
    assert len({call.call_id for call in calls}) == 2
    assert all(CALL_ID.fullmatch(call.call_id) for call in calls)


async def test_passes_on_what_the_request_says(remote: tuple[Rig, ProviderServer]) -> None:
    rig, server = remote
    await heard(
        rig.engine,
        asking(instructions="Be brief.", temperature=0.5, model="beta", max_output_tokens=50),
    )
    [body] = server.bodies
    assert body["model"] == "beta"
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": QUESTION},
    ]
    options = body.get("options", body)
    limits = [options.get(k) for k in ("max_tokens", "max_completion_tokens", "num_predict")]
    assert (options["temperature"], max(n or 0 for n in limits)) == (0.5, 50)


async def test_counts_tokens_as_the_provider_does(remote: tuple[Rig, ProviderServer]) -> None:
    rig, _ = remote
    rig.model.reply = Reply(ANSWER, usage=Usage(100, 0, 9))
    *_, done = await heard(rig.engine, asking())
    assert done == Done(Finish.STOP, Usage(100, 0, 9))


async def test_a_server_that_is_not_there_is_unavailable(
    remote: tuple[Rig, ProviderServer],
) -> None:
    rig, server = remote
    await server.__aexit__(None, None, None)
    with pytest.raises(Unavailable):
        await heard(rig.engine, asking())


@pytest.mark.parametrize("name", ["openai", "groq"])
def test_takes_no_part_without_a_key(name: str) -> None:
    with pytest.raises(NotInstalled, match="_API_KEY"):
        resolve_name(ENGINES[name])(Config())


@pytest.mark.parametrize("name", ENGINES)
def test_importing_an_engine_imports_no_library(name: str) -> None:
    module = resolve_name(ENGINES[name].partition(":")[0])
    assert not {"openai", "groq", "ollama", "httpx", "httpx2"} & vars(module).keys()
