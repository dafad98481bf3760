from contextlib import aclosing

from llm_orchestrator.config import Config
from llm_orchestrator.engine import Message, Request, Role
from llm_orchestrator.engines.groq import GroqEngine
from tests.fakes.llm import Model
from tests.fakes.provider_server import ProviderServer


async def test_usage_comes_in_groqs_own_field():
    request = Request(messages=(Message(role=Role.USER, text="hi"),))
    async with ProviderServer(Model()) as server:
        engine = GroqEngine(Config(groq_api_key="gsk-1", groq_base_url=server.url))
        async with aclosing(engine.generate(request)) as stream:
            *_, done = [news async for news in stream]
        assert done.usage == server.model.reply.usage
        await engine.close()
