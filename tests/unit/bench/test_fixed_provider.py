from __future__ import annotations

import json

from bench.fixed_engines import ANSWER
from bench.fixed_provider import MODEL, app
from llm_orchestrator.config import Config
from llm_orchestrator.engine import Done, Message, Request, Role, TextDelta
from llm_orchestrator.engines.openai import OpenAiEngine


async def test_the_engine_for_openai_takes_it_for_one(aiohttp_server):
    server = await aiohttp_server(app())
    engine = OpenAiEngine(Config(openai_base_url=f"{server.make_url('/v1')}"))
    try:
        await engine.refresh()
        request = Request(messages=(Message(role=Role.USER, text="Speak."),))
        news = [piece async for piece in engine.generate(request)]
    finally:
        await engine.close()
    said = [piece.text for piece in news if isinstance(piece, TextDelta)]
    assert len(said) == len(ANSWER)
    assert said[0] == ANSWER[0]
    assert isinstance(news[-1], Done)


async def test_it_lists_its_model(aiohttp_client):
    client = await aiohttp_client(app())
    listed = json.loads(await (await client.get("/v1/models")).text())
    assert [model["id"] for model in listed["data"]] == [MODEL]
