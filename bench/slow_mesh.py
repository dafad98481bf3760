"""A gateway and a language tier in processes of their own. The provider behind the language tier
and the voice are in this one: they take their time, as models do, and it is known when they stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from bench.one_answer import OneAnswer
from bench.slow_voice import SlowVoice
from mesh import config
from mesh.chain import Chain
from tts_service import app as tts
from tts_service.config import Config as TtsConfig
from voicemesh import keys
from voicemesh.ports import several
from voicemesh.servers import EmbeddedRedis

FIRST_S, TOKEN_S = 0.4, 0.04  # of the model
SHARE = 0.5  # of real time: what the voice takes to make a sound
MOST_VOICES = 10  # at work at a time
READY_S = 60.0


@dataclass(slots=True)
class World:
    """Where the answers come from."""

    llm: OneAnswer
    voice: SlowVoice
    url: str = ""
    """Of the gateway."""
    key: str = ""

    def engine_ended_s(self, voice: str) -> float | None:
        """When the last work for a voice ended; what goes on has not ended before now."""
        return time.monotonic() if voice in self.voice.at_work else self.voice.ended_s.get(voice)

    def provider_ended_s(self, question: str) -> float | None:
        """The same of the provider's call for a question."""
        return time.monotonic() if question in self.llm.open else self.llm.ended_s.get(question)


@asynccontextmanager
async def running() -> AsyncIterator[World]:
    async with AsyncExitStack() as started:
        folder = Path(started.enter_context(tempfile.TemporaryDirectory()))
        redis = started.enter_context(EmbeddedRedis(folder / "redis"))
        world = World(OneAnswer(TOKEN_S, first_s=FIRST_S), SlowVoice(SHARE))
        await started.enter_async_context(world.llm)
        serving = tts.running(
            TtsConfig(port=0, threads=MOST_VOICES, drain_s=1), Chain({"slow": world.voice})
        )
        spoken = await started.enter_async_context(serving)
        port, llm = several(2)
        world.url = f"http://127.0.0.1:{port}"
        world.key = keys.add(folder / "keys.json", "bench")
        variables = {
            "llm_orchestrator": {
                "LLM_PORT": str(llm),
                "LLM_METRICS_PORT": "0",
                "LLM_PROVIDERS": "openai",
                "LLM_OPENAI_BASE_URL": f"{world.llm.url}/v1",
                "LLM_OPENAI_MODEL": "alpha",
                "OPENAI_API_KEY": "sk-bench",
            },
            "gateway": {
                "PORT": str(port),
                "GATEWAY_METRICS_PORT": "0",
                "GATEWAY_PROCESSES": "1",
                "GATEWAY_KEYS_FILE": str(folder / "keys.json"),
                "GATEWAY_TTS_TARGET": f"127.0.0.1:{spoken.port}",
                "GATEWAY_LLM_TARGET": f"127.0.0.1:{llm}",
                "GATEWAY_REQUESTS_PER_MINUTE": "0",
                "GATEWAY_TOKENS_PER_MINUTE": "0",
                "GATEWAY_DRAIN_S": "0",
                "REDIS_URL": redis.url,
            },
        }
        for module, own in variables.items():
            process = _process(module, folder / f"{module}.log", {**config.environment(), **own})
            await started.enter_async_context(process)
        await _ready(world.url)
        yield world


@asynccontextmanager
async def _process(module: str, log: Path, env: dict[str, str]) -> AsyncIterator[None]:
    with log.open("w") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, env=env, stdout=DEVNULL, stderr=out
        )
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


async def _ready(url: str) -> None:
    """Wait until answers can be spoken; nobody listens here.

    Raises:
        TimeoutError: they cannot.
    """
    async with aiohttp.ClientSession() as web, asyncio.timeout(READY_S):
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with web.get(f"{url}/readyz") as answer:
                    parts = await answer.json()
                    if parts["tts"] and parts["llm"] and parts["redis"]:
                        return
            await asyncio.sleep(0.1)
