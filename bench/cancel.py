"""Answers are cancelled at random moments: how long until nothing comes and nobody works on them?

    python -m bench.cancel
    python -m bench.cancel --cancels 40 --sessions 2

Starts a gateway and a language tier as processes of their own, on a Redis of its own. The
provider behind the language tier writes slowly, and the voice takes its time, as models do; both
are in this process, so it is known to the millisecond when they stop. It fails when more than one
in a hundred cancels takes longer than R6.5 says: to the last frame of audio that the client reads,
to the engine's end, or to the end of the provider's call.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import secrets
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from bench.one_answer import OneAnswer
from bench.slow_voice import SlowVoice
from bench.talkers import percentile
from mesh.chain import Chain
from mesh.keys import Key, KeyFile, hash_key
from tts_service import app as tts
from tts_service.config import Config as TtsConfig
from voicemesh.ports import several
from voicemesh.servers import EmbeddedRedis

MOST_MS = 50.0  # R6.5
VOICES = ("alloy", "ash", "ballad", "cedar", "coral", "echo", "marin", "sage", "shimmer", "verse")
FIRST_S, TOKEN_S = 0.4, 0.04  # of the model
SHARE = 0.5  # of real time: what the voice takes to make a sound
LATEST_S = 3.5  # of an answer: when it is cancelled
LATE_S = 0.3  # after the end: what comes late is still seen
READY_S = 60.0
ENDS_S = 30.0
NAP_S = 0.01

STAGES = (
    "before the first word",
    "before the first sound",
    "while it is made",
    "while it is heard",
)


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What came of one cancel, in milliseconds from when it was sent."""

    stage: str
    frame_ms: float
    engine_ms: float
    provider_ms: float


Found = tuple[list[Cancelled], list[float]]
"""Cancels, and how late this process was with what it had to do meanwhile, in milliseconds."""


@dataclass(slots=True)
class World:
    """Where the answers come from."""

    llm: OneAnswer
    voice: SlowVoice

    def engine_ended_s(self, voice: str) -> float | None:
        """When the last work for a voice ended; what goes on has not ended before now."""
        return time.monotonic() if voice in self.voice.at_work else self.voice.ended_s.get(voice)

    def provider_ended_s(self, question: str) -> float | None:
        return time.monotonic() if question in self.llm.open else self.llm.ended_s.get(question)


class Session:
    """One client, whose answers are cancelled one after the other."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse, world: World, voice: str) -> None:
        self._ws, self._world, self._voice = ws, world, voice
        self._has_text = self._is_over = False
        self._frame_s: float | None = None

    async def begin(self) -> None:
        session = {"type": "realtime", "audio": {"output": {"voice": self._voice}}}
        await self._ws.send_json({"type": "session.update", "session": session})

    async def cancel(self, question: str, after_s: float) -> Cancelled | None:
        """Ask, and cancel the answer; None if it was over by then."""
        self._has_text = self._is_over = False
        self._frame_s = None
        content = [{"type": "input_text", "text": question}]
        item = {"type": "message", "role": "user", "content": content}
        ask = {"type": "response.create", "response": {"input": [item]}}
        await self._ws.send_json(ask)
        await self._read(after_s)
        if self._is_over:
            return None
        stage, began_s = self._stage(), time.monotonic()
        self._frame_s = None
        await self._ws.send_json({"type": "response.cancel"})
        async with asyncio.timeout(ENDS_S):
            while not self._is_over:
                await self._read(ENDS_S)
        await self._read(LATE_S)  # all has long ended by then, or is reported as it is
        return Cancelled(
            stage,
            _ms_since(began_s, self._frame_s),
            _ms_since(began_s, self._world.engine_ended_s(self._voice)),
            _ms_since(began_s, self._world.provider_ended_s(question)),
        )

    def _stage(self) -> str:
        if not self._has_text:
            return STAGES[0]
        if self._frame_s is None:
            return STAGES[1]
        return STAGES[2] if self._voice in self._world.voice.at_work else STAGES[3]

    async def _read(self, for_s: float) -> None:
        """Take what comes, until the answer is over or for so long."""
        was_over = self._is_over
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(for_s):
                while was_over or not self._is_over:
                    self._take(await self._ws.receive_json())

    def _take(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "response.output_audio_transcript.delta":
                self._has_text = True
            case "response.output_audio.delta":
                self._frame_s = time.monotonic()
            case "response.done":
                self._is_over = True
            case "error" if event["error"]["code"] != "response_cancel_not_active":
                raise RuntimeError(event["error"]["message"])


def _ms_since(began_s: float, ended_s: float | None) -> float:
    """0 if it has ended before."""
    return max(0.0, ended_s - began_s) * 1000 if ended_s is not None else 0.0


async def lateness(late_ms: list[float]) -> None:
    """How late this machine is with everything: no figure can be better. Until cancelled."""
    while True:
        due_s = time.monotonic() + NAP_S
        await asyncio.sleep(NAP_S)
        late_ms.append((time.monotonic() - due_s) * 1000)


async def bench(url: str, key: str, world: World, asked: argparse.Namespace) -> Found:
    late_ms: list[float] = []
    found: list[Cancelled] = []
    left = iter(range(10 * asked.cancels))
    chance = random.Random(asked.seed)

    async def talk(web: aiohttp.ClientSession, voice: str) -> None:
        async with web.ws_connect(f"{url}/v1/realtime?model=gpt-realtime") as ws:
            session = Session(ws, world, voice)
            await session.begin()
            await session.cancel(f"{voice}, to begin with", LATEST_S)  # processes load things, once
            while len(found) < asked.cancels:
                question = f"{voice}, question {next(left)}"
                one = await session.cancel(question, chance.uniform(0, LATEST_S))
                if one is not None:
                    found.append(one)

    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(headers=headers) as web, asyncio.TaskGroup() as tasks:
        napping = tasks.create_task(lateness(late_ms), name="lateness")
        talking = [
            tasks.create_task(talk(web, voice), name=voice) for voice in VOICES[: asked.sessions]
        ]
        await asyncio.wait(talking)
        napping.cancel()
    return found[: asked.cancels], late_ms


def report(found: list[Cancelled], late_ms: list[float]) -> tuple[str, bool]:
    """The figures, and whether they are as promised."""
    stages = Counter(one.stage for one in found)
    lines = [f"{len(found)} cancels: " + ", ".join(f"{stages[s]} {s}" for s in STAGES)]
    is_well = True
    for name, values in (
        ("last frame", [one.frame_ms for one in found]),
        ("engine idle", [one.engine_ms for one in found]),
        ("provider's call closed", [one.provider_ms for one in found]),
    ):
        p50, p99 = percentile(values, 0.5), percentile(values, 0.99)
        is_well = is_well and p99 <= MOST_MS
        lines.append(f"{name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms, most {max(values):.1f} ms")
    p50, p99 = percentile(late_ms, 0.5), percentile(late_ms, 0.99)
    lines.append(f"this process came late: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    return "\n".join(lines), is_well


@asynccontextmanager
async def _process(module: str, log: Path, **env: str) -> AsyncIterator[None]:
    inherited = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}  # noqa: TID251 - what the child inherits
    with log.open("w") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, env=inherited | env, stdout=DEVNULL, stderr=out
        )
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


async def _ready(url: str) -> None:
    """Wait until answers can be spoken; nobody listens here."""
    async with aiohttp.ClientSession() as web, asyncio.timeout(READY_S):
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with web.get(f"{url}/readyz") as answer:
                    parts = await answer.json()
                    if parts["tts"] and parts["llm"] and parts["redis"]:
                        return
            await asyncio.sleep(0.1)


def _key(file: Path) -> str:
    """A new key, which the file lets in."""
    key, pepper = secrets.token_urlsafe(32), secrets.token_hex(16)
    known = Key(hash=hash_key(pepper, key), tenant="bench")
    file.write_bytes(msgspec.json.encode(KeyFile(pepper=pepper, keys=(known,))))
    return key


async def _main(folder: Path, redis_url: str, asked: argparse.Namespace) -> Found:
    key = _key(folder / "keys.json")
    port, metrics, llm, llm_metrics = several(4)
    voice = SlowVoice(SHARE)
    async with AsyncExitStack() as started:
        enter = started.enter_async_context
        provider = await enter(OneAnswer(TOKEN_S, first_s=FIRST_S))
        config = TtsConfig(port=0, threads=len(VOICES), drain_s=1)
        spoken = await enter(tts.running(config, Chain({"slow": voice})))
        await enter(
            _process(
                "llm_orchestrator",
                folder / "llm.log",
                LLM_PORT=str(llm),
                LLM_METRICS_PORT=str(llm_metrics),
                LLM_PROVIDERS="openai",
                LLM_OPENAI_BASE_URL=f"{provider.url}/v1",
                LLM_OPENAI_MODEL="alpha",
                OPENAI_API_KEY="sk-bench",
            )
        )
        await enter(
            _process(
                "gateway",
                folder / "gateway.log",
                PORT=str(port),
                GATEWAY_METRICS_PORT=str(metrics),
                GATEWAY_PROCESSES="1",
                GATEWAY_KEYS_FILE=str(folder / "keys.json"),
                GATEWAY_TTS_TARGET=f"127.0.0.1:{spoken.port}",
                GATEWAY_LLM_TARGET=f"127.0.0.1:{llm}",
                GATEWAY_REQUESTS_PER_MINUTE="0",
                GATEWAY_TOKENS_PER_MINUTE="0",
                GATEWAY_DRAIN_S="0",
                REDIS_URL=redis_url,
            )
        )
        url = f"http://127.0.0.1:{port}"
        await _ready(url)
        return await bench(url, key, World(provider, voice), asked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cancels", type=int, default=200)
    parser.add_argument("--sessions", type=int, default=4, choices=range(1, len(VOICES) + 1))
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder) / "redis") as redis:
        text, is_well = report(*asyncio.run(_main(Path(folder), redis.url, asked)))
    print(text)
    if not is_well:
        raise SystemExit(f"a cancel may take {MOST_MS:.0f} ms")


if __name__ == "__main__":
    main()
