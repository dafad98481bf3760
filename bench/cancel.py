"""Answers are cancelled at random moments: how long until nothing comes and nobody works on them?

    python -m bench.cancel
    python -m bench.cancel --cancels 40 --sessions 2

Starts a mesh of its own, see `slow_mesh.py`. It fails when more than one
in a hundred cancels takes longer than R6.5 says: to the last frame of audio that the client reads,
to the engine's end, or to the end of the provider's call.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import aiohttp

from bench import slow_mesh
from bench.slow_mesh import World
from bench.talkers import percentile

MOST_MS = 50.0  # R6.5
VOICES = ("alloy", "ash", "ballad", "cedar", "coral", "echo", "marin", "sage", "shimmer", "verse")
LATEST_S = 3.5  # of an answer: when it is cancelled
LATE_S = 0.3  # after the end: what comes late is still seen
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


async def bench(world: World, asked: argparse.Namespace) -> Found:
    late_ms: list[float] = []
    found: list[Cancelled] = []
    left = iter(range(10 * asked.cancels))
    chance = random.Random(asked.seed)

    async def talk(web: aiohttp.ClientSession, voice: str) -> None:
        async with web.ws_connect(f"{world.url}/v1/realtime?model=gpt-realtime") as ws:
            session = Session(ws, world, voice)
            await session.begin()
            await session.cancel(f"{voice}, to begin with", LATEST_S)  # processes load things, once
            while len(found) < asked.cancels:
                question = f"{voice}, question {next(left)}"
                one = await session.cancel(question, chance.uniform(0, LATEST_S))
                if one is not None:
                    found.append(one)

    headers = {"Authorization": f"Bearer {world.key}"}
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


async def _main(asked: argparse.Namespace) -> Found:
    async with slow_mesh.running() as world:
        return await bench(world, asked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cancels", type=int, default=200)
    parser.add_argument("--sessions", type=int, default=4, choices=range(1, len(VOICES) + 1))
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    text, is_well = report(*asyncio.run(_main(asked)))
    print(text)
    if not is_well:
        raise SystemExit(f"a cancel may take {MOST_MS:.0f} ms")


if __name__ == "__main__":
    main()
