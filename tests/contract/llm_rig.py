"""Engines of the LLM tier for the contract suites, with a model that says what it is told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pkgutil import resolve_name

from llm_orchestrator.config import Config
from llm_orchestrator.engine import Engine, News, Request, TextDelta, Tool, ToolCall
from llm_orchestrator.engines import ENGINES
from tests.fakes.llm import FakeEngine, Model, Reply
from tests.fakes.provider_server import ProviderServer

WITH_A_SERVER = [name for name in ENGINES if name != "offline"]

QUESTION = "what is seven times eight"
ANSWER = "Seven times eight is fifty six."
SECRET = "sk-not-to-be-seen"

WEATHER = Tool(
    "get_weather",
    "Get the weather in a place",
    json.dumps(
        {
            "type": "object",
            "properties": {"location": {"type": "string"}},
            "required": ["location"],
        }
    ),
)
CALL = ToolCall("call_0", "get_weather", '{"location": "paris"}')


@dataclass
class Rig:
    """An engine, and the model that it reaches."""

    engine: Engine
    model: Model
    server: ProviderServer | None


def config_for(url: str) -> Config:
    return Config(
        openai_base_url=f"{url}/v1",
        openai_api_key=SECRET,
        openai_model="alpha",
        groq_base_url=url,
        groq_api_key=SECRET,
        groq_model="alpha",
        ollama_host=url,
    )


async def rigged(name: str) -> AsyncIterator[Rig]:
    model = Model(Reply(ANSWER))
    async with ProviderServer(model) as server:
        engine: Engine
        if name == "fake":
            engine = FakeEngine(model, "alpha")
        else:
            engine = resolve_name(ENGINES[name])(config_for(server.url))
        await engine.refresh()
        yield Rig(engine, model, server if name in WITH_A_SERVER else None)
        model.go_on.set()
        await engine.close()


async def heard(engine: Engine, request: Request, into: list[News] | None = None) -> list[News]:
    """
    Args:
        into: Takes the news as they come, for when they do not end well.
    """
    news: list[News] = [] if into is None else into
    async with asyncio.timeout(10), aclosing(engine.generate(request)) as stream:
        async for piece in stream:
            news.append(piece)
    return news


def text_of(news: list[News]) -> str:
    return "".join(piece.text for piece in news if isinstance(piece, TextDelta))
