from __future__ import annotations

import asyncio

import aiohttp
import pytest

from bench.one_answer import ANSWER, OneAnswer
from llm_orchestrator.config import Config
from llm_orchestrator.engine import Message, Request, Role, TextDelta
from llm_orchestrator.engines.openai import OpenAiEngine


async def said(llm, already=""):
    """What our own engine for OpenAI's API makes of it."""
    engine = OpenAiEngine(Config(openai_base_url=f"{llm.url}/v1", openai_model="alpha"))
    messages = (Message(role=Role.USER, text="Tell me."),)
    request = Request(messages=messages, already_written=already)
    try:
        return "".join([n.text async for n in engine.generate(request) if isinstance(n, TextDelta)])
    finally:
        await engine.close()


async def test_gives_its_answer():
    async with OneAnswer() as llm:
        assert await said(llm) == ANSWER


@pytest.mark.parametrize("n_chars", [1, 7, 60, 200, len(ANSWER) - 1])
async def test_goes_on_behind_what_is_written(n_chars):
    async with OneAnswer() as llm:
        already = ANSWER[:n_chars]
        assert already + await said(llm, already) == ANSWER
        assert llm.continued == 1


async def test_has_a_model():
    async with (
        OneAnswer() as llm,
        aiohttp.ClientSession() as web,
        web.get(f"{llm.url}/v1/models") as response,
    ):
        assert [m["id"] for m in (await response.json())["data"]] == ["alpha"]


async def test_tells_when_an_answer_ended():
    async with OneAnswer() as llm:
        await said(llm)
        assert llm.open == set()
        assert list(llm.ended_s) == ["Tell me."]


async def test_tells_what_is_being_answered():
    async with OneAnswer(first_s=3600) as llm, asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(said(llm))
        async with asyncio.timeout(20):
            while not llm.open:
                await asyncio.sleep(0.001)
            assert (llm.open, llm.ended_s) == ({"Tell me."}, {})
            asking.cancel()
            while llm.open:
                await asyncio.sleep(0.001)
        assert list(llm.ended_s) == ["Tell me."]
