"""How soon a model thread is free after a cancel, at every stage of a reply (R6.5).

    python -m bench.halt                            # eSpeak
    python -m bench.halt --models-dir .local/models # and what else is there

One reply at a time is cancelled at a random moment of the time that its text takes:

    waiting    behind another reply's piece, on the queue
    at work    while the engine makes it, at every speed that engines are asked for
    told       between its pieces, when some of it was taken

and the time is measured until the thread takes other work. It fails when 1 in 100 takes over
50 ms, on a machine whose threads wake up in time: a row shows how long that takes.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import uvloop

from bench.speech_crowd import RATE_HZ, TEXT
from bench.tts import Row
from mesh.chain import Chain
from mesh.threads import LOCK_S, ModelThreads
from tts_service.app import load
from tts_service.config import Config
from tts_service.engine import Engine, Manner
from tts_service.engines import ENGINES
from tts_service.loudness import Levels
from tts_service.speaker import Speaker
from tts_service.worker import Worker

MOST_MS = 50.0
SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0)
_SEED = 7


class Stage:
    """One engine and its thread."""

    def __init__(self, name: str, engine: Engine, threads: ModelThreads) -> None:
        self.name, self._threads = name, threads
        self._worker = Worker(Chain({name: engine}), threads, Levels())
        self._random = random.Random(_SEED)

    def _speaker(self, speed: float) -> Speaker:
        return self._worker.speaker(Manner(speed=speed), RATE_HZ, "tenant")

    async def free_ms(self, since_s: float) -> float:
        return 1000 * (await self._threads.run(time.perf_counter) - since_s)

    async def idle(self) -> float:
        """How long it takes a thread that has nothing to do to begin."""
        return await self.free_ms(time.perf_counter())

    async def takes_s(self, speed: float) -> float:
        began_s = time.perf_counter()
        async with aclosing(self._speaker(speed).speak(TEXT)) as sounds:
            async for _ in sounds:
                pass
        return time.perf_counter() - began_s

    async def at_work(self, speed: float, takes_s: float) -> float:
        speaking = asyncio.Event()

        async def speak() -> None:
            speaking.set()
            async with aclosing(self._speaker(speed).speak(TEXT)) as sounds:
                async for _ in sounds:
                    pass

        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(speak())
            await speaking.wait()
            await asyncio.sleep(self._random.random() * takes_s)
            since_s = time.perf_counter()
            task.cancel()
            await asyncio.wait({task})
            return await self.free_ms(since_s)

    async def told(self, speed: float) -> float:
        async with aclosing(self._speaker(speed).speak(TEXT)) as sounds:
            for _ in range(self._random.randint(1, 20)):
                await anext(sounds)
            since_s = time.perf_counter()
        return await self.free_ms(since_s)

    async def waiting(self, speed: float) -> float:
        """Until neither is at work: both are cancelled, first the one that waits."""
        async with asyncio.TaskGroup() as tasks:
            both = [tasks.create_task(self.takes_s(speed)) for _ in range(2)]
            await asyncio.sleep(self._random.random() * 0.005)
            since_s = time.perf_counter()
            for task in reversed(both):
                task.cancel()
            await asyncio.wait(both)
            return await self.free_ms(since_s)


@asynccontextmanager
async def stage(name: str, engine: Engine) -> AsyncIterator[Stage]:
    threads = ModelThreads("bench")
    try:
        yield Stage(name, engine, threads)
    finally:
        await threads.close()


async def measure(name: str, engine: Engine, cancels: int) -> list[Row]:
    """
    Args:
        cancels: Of each stage.
    """
    rows = {kind: Row(f"{name}, {kind}") for kind in ("thread wakes", "waiting", "at work", "told")}

    async with stage(name, engine) as on:
        takes_s = {speed: await on.takes_s(speed) for speed in SPEEDS}
        for n in range(cancels):
            speed = SPEEDS[n % len(SPEEDS)]
            rows["thread wakes"].took_ms.append(await on.idle())
            rows["waiting"].took_ms.append(await on.waiting(speed))
            rows["at work"].took_ms.append(await on.at_work(speed, takes_s[speed]))
            rows["told"].took_ms.append(await on.told(speed))
    return list(rows.values())


def wrong(rows: list[Row]) -> list[str]:
    slow = [row for row in rows if row.ms(0.99) > MOST_MS]
    return [f"{row.name}: p99 is {row.ms(0.99):.1f} ms, and may be {MOST_MS:g} ms" for row in slow]


def text(rows: list[Row]) -> str:
    lines = [f"{'':28} {'n':>6} {'p50':>8} {'p95':>8} {'most':>8} ms"]
    return "\n".join(lines + [row.text() for row in rows])


async def bench(models_dir: Path, engines: tuple[str, ...], cancels: int) -> list[Row]:
    rows = []
    chain = load(Config(models_dir=models_dir, engines=engines), Levels())
    for name, engine in chain.engines.items():
        rows += await measure(name, engine, cancels)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cancels", type=int, default=200, help="of each stage")
    parser.add_argument("--models-dir", type=Path, default=Path(".local/models"))
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=list(ENGINES))
    args = parser.parse_args()
    sys.setswitchinterval(LOCK_S)
    rows = uvloop.run(bench(args.models_dir, tuple(args.engines), args.cancels))
    print(text(rows))
    if found := wrong(rows):
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
