import asyncio
from contextlib import aclosing

import pytest

from llm_orchestrator.config import Config
from llm_orchestrator.engine import (
    Image,
    Message,
    Request,
    Role,
    Tool,
    ToolCall,
    ToolChoice,
    ToolMode,
)
from llm_orchestrator.engines.ollama import MUST_CALL, OllamaEngine
from llm_orchestrator.prompt import PICTURE
from tests.fakes.llm import Model
from tests.fakes.provider_server import ProviderServer

USER = Message(role=Role.USER, text="hi")
TOOLS = (Tool("one", "", '{"type": "object"}'), Tool("two", "", '{"type": "object"}'))


async def hear(engine, **request):
    request.setdefault("messages", (USER,))
    async with aclosing(engine.generate(Request(**request))) as stream:
        return [news async for news in stream]


@pytest.fixture
async def server():
    async with ProviderServer(Model()) as server:
        yield server


@pytest.fixture
async def engine(server):
    engine = OllamaEngine(Config(ollama_host=server.url))
    await engine.refresh()
    yield engine
    await engine.close()


async def test_it_joins_when_its_server_comes_and_leaves_when_that_goes():
    async with ProviderServer(Model()) as server:
        engine = OllamaEngine(Config(ollama_host=server.url))
        assert not engine.available
        await engine.refresh()
        assert engine.available
        assert engine.model == "alpha"
    await engine.refresh()
    assert not engine.available
    await engine.close()


async def test_a_server_without_models_takes_no_part():
    async with ProviderServer(Model(), models=()) as server:
        engine = OllamaEngine(Config(ollama_host=server.url))
        await engine.refresh()
        assert not engine.available
        await engine.close()


async def hang_up(reader, writer):
    writer.close()


async def test_something_else_on_the_port_takes_no_part():
    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        engine = OllamaEngine(Config(ollama_host=f"127.0.0.1:{port}"))
        await engine.refresh()
        assert not engine.available
        await engine.close()


@pytest.mark.parametrize("host", ["", "http://", "box:port", "ftp://127.0.0.1:1"])
async def test_an_address_that_is_none_takes_no_part(host):
    engine = OllamaEngine(Config(ollama_host=host))
    await engine.refresh()
    assert not engine.available
    await engine.close()


async def test_the_configured_model_wins_over_the_first_installed(server):
    engine = OllamaEngine(Config(ollama_host=server.url, ollama_model="beta"))
    await engine.refresh()
    assert await engine.models() == ("beta", "alpha")
    await hear(engine)
    assert server.bodies[0]["model"] == "beta"
    await engine.close()


@pytest.mark.parametrize(
    ("choice", "offered", "asked"),
    [
        (ToolChoice(), ["one", "two"], False),
        (ToolChoice(ToolMode.NONE), [], False),
        (ToolChoice(ToolMode.REQUIRED), ["one", "two"], True),
        (ToolChoice(ToolMode.FUNCTION, "two"), ["two"], True),
    ],
)
async def test_a_tool_choice_is_what_is_offered_and_asked_for(
    server, engine, choice, offered, asked
):
    await hear(engine, tools=TOOLS, tool_choice=choice)
    [body] = server.bodies
    assert [tool["function"]["name"] for tool in body["tools"]] == offered
    assert (body["messages"][-1]["content"] == MUST_CALL) is asked


async def test_calls_and_results_in_its_own_format(server, engine):
    await hear(
        engine,
        messages=(
            USER,
            Message(role=Role.ASSISTANT, tool_calls=(ToolCall("c", "one", '{"n": 1}'),)),
            Message(role=Role.TOOL, text="2", call_id="c"),
        ),
    )
    call, result = server.bodies[0]["messages"][1:]
    assert call["tool_calls"] == [{"function": {"name": "one", "arguments": {"n": 1}}}]
    assert (result["tool_name"], result["content"]) == ("one", "2")


SHOWN = Message(role=Role.USER, text="look", images=(Image("data:image/png;base64,AAAA"),))


async def test_a_model_that_sees_is_given_pictures_and_is_asked_once_whether_it_does(
    server, engine
):
    server.capabilities = ("completion", "vision")
    for _ in range(2):
        await hear(engine, messages=(SHOWN,))
    assert [body["messages"][0]["images"] for body in server.bodies] == [["AAAA"]] * 2
    assert server.shown == 1


async def test_a_model_that_does_not_see_is_told_of_pictures(server, engine):
    await hear(engine, messages=(SHOWN,))
    await hear(engine)
    first, second = (body["messages"][0] for body in server.bodies)
    assert first["content"] == f"look\n{PICTURE}"
    assert "images" not in first
    assert server.shown == 1
    assert second["content"] == "hi"


async def test_a_server_that_cannot_tell_is_given_no_pictures(server, engine):
    server.capabilities = ()
    await hear(engine, messages=(SHOWN,))
    assert "images" not in server.bodies[0]["messages"][0]


async def test_the_server_reads_as_much_as_we_think_it_does(server, engine):
    await hear(engine)
    assert server.bodies[0]["options"]["num_ctx"] == engine.context_tokens == 8192
