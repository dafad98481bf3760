"""How soon speech begins: for a polite tenant beside one that floods, for a new reply beside
others, and from memory.

    python -m bench.tts
    python -m bench.tts --streams 100 --replies 200

A tier with eSpeak in a process of its own, over gRPC on loopback. From the text being sent to
its first audio being there, of replies one after the other:

    alone      nobody else asks for anything
    opener     the same, but every reply begins alike: it comes from memory
    flooded    another tenant keeps so many replies going, each with a text of its own; it
               takes audio as a gateway does, four seconds ahead of what is heard
    greedy     the same, but it takes audio as fast as it comes and asks for more at once

Then one model thread, with an engine that takes as long as Kokoro on two cores (it sleeps),
and replies of one tenant: how soon the first clause of a new one is made while others are in
their later sentences, first come first served and in the order of the tier.

It fails when p95 beside the flood that a gateway lets through is over twice that alone, or
says that the machine is too busy to tell. All rows take turns, several times over, since it is
not ours alone.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TypeVar

import uvloop

from bench.speech_crowd import GREEDY, PACED, QUIET, RATE_HZ, TEXT, Client, Flood, flood, tier
from mesh.chain import Chain
from mesh.fair_queue import Turn
from mesh.threads import ANY_TURN, ModelThreads
from tts_service.config import Config
from tts_service.engine import Halt, Manner, Piece
from tts_service.engines.espeak import Espeak
from tts_service.loudness import Levels
from tts_service.worker import Worker

T = TypeVar("T")

MOST_RATIO = 2.0
BETWEEN_S = 0.02
OPENER = "One moment, please."


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked."""

    replies: int
    """Of each row."""

    streams: int
    """Of the tenant that floods."""

    others: int = 4
    """Replies beside the new one, on the one thread."""

    char_s: float = 0.013
    """Work of the slow engine: a 15th of a second of speech at a fifth of real time."""

    rounds: int = 4
    settle_s: float = 5.0
    """Until a flood has what it is owed at once."""


@dataclass(slots=True)
class Row:
    """How soon the first audio was there, in milliseconds."""

    name: str
    took_ms: list[float] = field(default_factory=list)

    def ms(self, quantile: float) -> float:
        ordered = sorted(self.took_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * quantile))]

    def text(self) -> str:
        figures = " ".join(f"{self.ms(q):8.1f}" for q in (0.5, 0.95, 1.0))
        return f"{self.name:28} {len(self.took_ms):6} {figures}"


@dataclass(slots=True)
class Report:
    alone: Row = field(default_factory=lambda: Row("alone"))
    opener: Row = field(default_factory=lambda: Row("opener"))
    flooded: Row = field(default_factory=lambda: Row("flooded"))
    greedy: Row = field(default_factory=lambda: Row("greedy"))
    first_come: Row = field(default_factory=lambda: Row("new reply, first come"))
    turns: Row = field(default_factory=lambda: Row("new reply, in turn"))
    late: Row = field(default_factory=lambda: Row("timers are late"))
    flood_replies: int = 0

    def ratio(self, row: Row) -> float:
        return row.ms(0.95) / self.alone.ms(0.95)

    def wrong(self) -> list[str]:
        found = self.ratio(self.flooded)
        if found <= MOST_RATIO:
            return []
        if (late_ms := self.late.ms(0.95)) > self.alone.ms(0.5) / 2:
            return [f"the machine is too busy to tell: p95 of a timer is {late_ms:.1f} ms late"]
        return [f"p95 beside the flood is {found:.2f} × that alone, and may be {MOST_RATIO} ×"]

    def text(self) -> str:
        measured = (self.alone, self.opener, self.flooded, self.greedy, self.late)
        rows = (*measured, self.first_come, self.turns)
        lines = [f"{'':28} {'n':>6} {'p50':>8} {'p95':>8} {'most':>8} ms"]
        lines += [row.text() for row in rows if row.took_ms]
        lines += [
            f"{row.name}: p95 {self.ratio(row):.2f} × alone"
            for row in (self.opener, self.flooded, self.greedy)
        ]
        return "\n".join([*lines, f"the flood has had {self.flood_replies} replies"])


async def over_grpc(report: Report, port: int, crowd: Flood, load: Load) -> None:
    polite, numbers = Client(port, "polite"), itertools.count()

    async def measure(row: Row, text: Callable[[], str]) -> None:
        for _ in range(load.replies // load.rounds):
            row.took_ms.append(await polite.first_audio_ms(text()))
            began_s = time.perf_counter()
            await asyncio.sleep(BETWEEN_S)
            report.late.took_ms.append(1000 * (time.perf_counter() - began_s - BETWEEN_S))

    def new() -> str:
        return f"That is question {next(numbers)}, I think."

    await polite.first_audio_ms(OPENER)
    for _ in range(load.rounds):
        await measure(report.alone, new)
        await measure(report.opener, lambda: OPENER)
        for row, mood in ((report.flooded, PACED), (report.greedy, GREEDY)):
            await crowd.becomes(mood)
            await asyncio.sleep(load.settle_s)
            await measure(row, new)
            report.flood_replies += await crowd.becomes(QUIET)
    await polite.close()


class Slow(Espeak):
    """As long at work as a neural engine on a few cores, and given as much at a time."""

    most_chars = 80

    def __init__(self, char_s: float) -> None:
        super().__init__(Config())
        self._char_s = char_s

    def synthesize(self, text: str, manner: Manner, halt: Halt) -> Iterator[Piece]:
        stopped = threading.Event()
        halt.calls(stopped.set)
        stopped.wait(self._char_s * len(text))
        halt.calls(None)
        yield from super().synthesize(text, manner, halt)


class FirstCome(ModelThreads):
    """Whoever asks first is served first."""

    def stream(
        self, make: Callable[[], Iterator[T]], *, turn: Turn = ANY_TURN
    ) -> AsyncGenerator[T]:
        return super().stream(make)


async def beside_others(row: Row, threads: ModelThreads, load: Load) -> None:
    part_s = load.char_s * Slow.most_chars
    worker = Worker(Chain({"slow": Slow(load.char_s)}), threads, Levels())
    when = random.Random(1)

    async def speak(texts: Iterator[str]) -> None:
        speaker = worker.speaker(Manner(), RATE_HZ, "tenant")
        for text in texts:
            async for _ in speaker.speak(text):
                pass

    async with asyncio.TaskGroup() as tasks:
        others = [tasks.create_task(speak(itertools.repeat(TEXT))) for _ in range(load.others)]
        await asyncio.sleep(load.others * part_s)  # all have something to hear
        for n in range(max(2, load.replies // 20)):
            await asyncio.sleep(part_s * when.random())
            began_s = time.perf_counter()
            speaker = worker.speaker(Manner(), RATE_HZ, "tenant")
            async with aclosing(speaker.speak(f"That is question {n},")) as sounds:
                await anext(sounds)
            row.took_ms.append(1000 * (time.perf_counter() - began_s))
        for task in others:
            task.cancel()
    await threads.close()


async def bench(load: Load) -> Report:
    report = Report()
    config = Config(port=0, engines=("espeak",), max_streams=max(20, load.streams))
    with tier(config) as port, flood(port, load.streams) as crowd:
        await over_grpc(report, port, crowd, load)
    await beside_others(report.first_come, FirstCome("tts"), load)
    await beside_others(report.turns, ModelThreads("tts"), load)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replies", type=int, default=200, help="of each row")
    parser.add_argument("--streams", type=int, default=100, help="of the tenant that floods")
    args = parser.parse_args()
    report = uvloop.run(bench(Load(replies=args.replies, streams=args.streams)))
    print(report.text())
    if wrong := report.wrong():
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
