from contextlib import aclosing

import pytest

from llm_orchestrator.config import Config
from llm_orchestrator.engine import Done, Image, Message, Request, Role
from llm_orchestrator.engines.openai import DEFAULT_MODEL, OpenAiEngine
from llm_orchestrator.prompt import PICTURE
from mesh.errors import Rejected, Unavailable
from tests.fakes.llm import Model
from tests.fakes.provider_server import ProviderServer

REQUEST = Request(messages=(Message(role=Role.USER, text="hi"),), max_output_tokens=9)


async def hear(engine, request=REQUEST):
    async with aclosing(engine.generate(request)) as stream:
        return [news async for news in stream]


@pytest.fixture
async def server():
    async with ProviderServer(Model()) as server:
        yield server


async def test_a_compatible_server_needs_no_key_and_no_model_name(server):
    engine = OpenAiEngine(Config(openai_sdk_base_url=f"{server.url}/v1"))
    assert engine.model == ""
    await hear(engine)
    assert engine.model == server.bodies[0]["model"] == "alpha"
    assert server.bodies[0]["max_tokens"] == 9  # the name that all of them know
    await engine.close()


async def test_our_own_variable_for_the_address_wins(server):
    config = Config(openai_base_url=f"{server.url}/v1", openai_sdk_base_url="http://127.0.0.1:1")
    engine = OpenAiEngine(config)
    await hear(engine)
    await engine.close()


async def test_a_server_without_a_model_is_unavailable():
    async with ProviderServer(Model(), models=()) as server:
        engine = OpenAiEngine(Config(openai_base_url=f"{server.url}/v1"))
        with pytest.raises(Unavailable):
            await hear(engine)
        await engine.close()


async def test_openai_itself_has_a_default_model_and_its_own_name_for_the_limit():
    engine = OpenAiEngine(Config(openai_api_key="sk-1"))
    assert engine.model == DEFAULT_MODEL
    body = await engine.particulars(REQUEST)
    assert body["max_completion_tokens"] == 9
    assert body["stream_options"] == {"include_usage": True}
    await engine.close()


async def test_usage_counts_what_was_cached(server):
    engine = OpenAiEngine(Config(openai_base_url=f"{server.url}/v1"))
    *_, done = await hear(engine)
    assert done.usage.cached_input_tokens == server.model.reply.usage.cached_input_tokens == 3
    await engine.close()


CAT = "data:image/png;base64,AAAA"
SHOWN = Request(
    messages=(Message(role=Role.USER, text="look", images=(Image(CAT),)),),
    model="o3",
    reasoning_effort="xhigh",
    temperature=0.8,
)


async def test_what_the_model_refuses_is_left_out_and_the_answer_comes(server):
    engine = OpenAiEngine(Config(openai_base_url=f"{server.url}/v1"))
    for field, wrong in (
        ("messages", lambda body: isinstance(body["messages"][0]["content"], list)),
        ("reasoning_effort", lambda body: "reasoning_effort" in body),
        ("temperature", lambda body: "temperature" in body),
    ):
        server.bodies.clear()
        server.refuse = lambda body, wrong=wrong, field=field: (
            {"message": f"no {field}"} if wrong(body) else None
        )
        *_, done = await hear(engine, SHOWN)
        assert isinstance(done, Done)
        [full, plain] = server.bodies
        assert full["messages"][0]["content"][1]["image_url"] == {"url": CAT, "detail": "auto"}
        assert full["reasoning_effort"] == "xhigh"
        assert plain["messages"][0]["content"] == f"look\n{PICTURE}"
    await engine.close()


async def test_it_is_asked_once_more_at_most_and_not_for_what_is_too_long(server):
    engine = OpenAiEngine(Config(openai_base_url=f"{server.url}/v1"))
    server.refuse = lambda body: {"message": "no"}
    with pytest.raises(Rejected):
        await hear(engine, SHOWN)
    assert len(server.bodies) == 2
    server.refuse = lambda body: {"message": "no", "code": "context_length_exceeded"}
    with pytest.raises(Rejected) as caught:
        await hear(engine, SHOWN)
    assert (len(server.bodies), caught.value.code) == (3, "context_length_exceeded")
    await engine.close()


async def test_a_model_that_is_said_not_to_see_gets_no_pictures(server):
    engine = OpenAiEngine(Config(openai_base_url=f"{server.url}/v1", openai_sees=False))
    await hear(engine, SHOWN)
    assert server.bodies[0]["messages"][0]["content"] == f"look\n{PICTURE}"
    await engine.close()
