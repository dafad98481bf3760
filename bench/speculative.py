"""What it gains to ask the model before the user has ended, and what it wastes.

    python -m bench.speculative
    python -m bench.speculative --look-ms 100 --silence-ms 500 --wrong 0.3

Sessions speak sentences of known words, once as usual and once as with `GATEWAY_SPECULATIVE`. The
session, its guesses, its reply and the pacing are the gateway's own, in this process; the engines
are clocks: recognition looks at the words every 250 ms and calls those stable that it saw twice,
speech ends after 200 ms of silence, its final words come 100 ms later (and are, for some turns,
others than they seemed), the model takes 300 ms to its first word and the voice 50 ms. Time runs
from the end of speech to the first audio. It fails when an answer is not the one that was due.

Nothing is gained where silence ends speech before the last word has been seen twice. Every word
that is seen twice before the next one comes is a question, and all but the last are wasted.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import uvloop

from bench.talkers import percentile
from gateway.backends import Backends, Sound, Thought
from gateway.pacer import Wheel
from gateway.realtime import client_events as ce
from gateway.realtime import effects as do
from gateway.realtime import signals as sig
from gateway.realtime.client_events import ClientEvent
from gateway.realtime.identity import Identity
from gateway.realtime.session import Session
from gateway.reply import Stage
from gateway.speaking import Replies

FINAL_S, THINK_S, VOICE_S = 0.1, 0.3, 0.05
WORD_S = (0.15, 0.45)  # how long a word takes
PAUSE_S = 0.6  # in the middle of some sentences
FRAME = bytes(960)
SENTENCE = "tell me please what the weather will be like in the harbour tomorrow"


@dataclass(frozen=True, slots=True)
class Load:
    sessions: int = 20
    wrong: float = 0.1
    """The share of turns whose final words are not what they seemed."""
    look_s: float = 0.25
    silence_s: float = 0.2
    pace: float = 1.0
    """How long everybody takes to speak; 1 is ordinary."""


class Clocks:
    """Engines that take their time, and do nothing. What the model says is what it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    @asynccontextmanager
    async def think(self, start: do.StartReply) -> AsyncIterator[AsyncIterator[Thought]]:
        self.asked += 1
        yield self._thoughts(start)

    async def _thoughts(self, start: do.StartReply) -> AsyncIterator[Thought]:
        await asyncio.sleep(THINK_S)
        yield sig.ReplyText(start.response_id, start.context[-1].text)
        yield sig.ReplyEnded(start.response_id, sig.Tokens(10, 0, 10))

    @asynccontextmanager
    async def speak(self, start: do.StartReply) -> AsyncIterator[_Voice]:
        yield _Voice(start.response_id)


class _Voice:
    def __init__(self, response_id: str) -> None:
        self._id, self._said = response_id, asyncio.Event()

    async def say(self, text: str) -> None:
        self._said.set()

    async def finish(self) -> None:
        self._said.set()

    async def __aiter__(self) -> AsyncIterator[Sound]:
        await self._said.wait()
        await asyncio.sleep(VOICE_S)
        yield sig.ReplyAudio(self._id, FRAME)


@dataclass(slots=True)
class Result:
    waits_ms: list[float] = field(default_factory=list)
    """From the end of speech to the first audio."""
    asked: int = 0
    """Questions to the model."""
    faults: int = 0


class Caller:
    """One turn: an audience of its reply as well."""

    def __init__(self, stage: Stage, tasks: asyncio.TaskGroup, chance: random.Random) -> None:
        numbers = itertools.count(1)
        identity = Identity("sess_1", "gpt-realtime", 1, "realtime")
        self._session = Session(identity, new_id=lambda prefix: f"{prefix}_{next(numbers)}")
        self._replies, self._tasks, self._chance = Replies(stage), tasks, chance
        self.answer, self.first_audio_s = "", 0.0
        self._is_over = asyncio.Event()

    def take(self, news: sig.Signal | ClientEvent) -> None:
        """As a connection does."""
        if not isinstance(news, ClientEvent):
            self._replies.see(news, self._session, self._tasks)
        if isinstance(news, sig.ReplyText):
            self.answer += news.delta
        elif isinstance(news, sig.ReplyAudio) and not self.first_audio_s:
            self.first_audio_s = time.monotonic()
        elif isinstance(news, sig.ReplyEnded | sig.ReplyFailed):
            self._is_over.set()
        self._replies.start(self._session.receive(news), self._tasks, self)

    async def room(self) -> None:
        return

    async def turn(self, result: Result, load: Load) -> None:
        words = SENTENCE.split()
        words = words[: self._chance.randint(4, len(words))]
        self.take(ce.AppendAudio(FRAME * 50))
        self.take(sig.SpeechStarted("u1", 0))
        async with asyncio.TaskGroup() as tasks:
            spoken: list[str] = []
            looking = tasks.create_task(self._look(spoken, load.look_s), name="look")
            for n, word in enumerate(words):
                pause_s = PAUSE_S if n == len(words) // 2 else 0.0
                await asyncio.sleep((self._chance.uniform(*WORD_S) + pause_s) * load.pace)
                spoken.append(word)
            await asyncio.sleep(load.silence_s)
            looking.cancel()
        stopped_s = time.monotonic()
        self.take(sig.SpeechStopped("u1", 900))
        await asyncio.sleep(FINAL_S)
        seemed = self._chance.random() >= load.wrong
        final = " ".join(words if seemed else [*words[:-1], "else"]).capitalize() + "."
        self.take(sig.Transcribed("u1", final, 900))
        await self._is_over.wait()
        result.waits_ms.append((self.first_audio_s - stopped_s) * 1000)
        said = self.answer.rstrip(".").lower()
        result.faults += said != final.rstrip(".").lower()

    async def _look(self, spoken: list[str], every_s: float) -> None:
        """Recognition sees the words now and then, until cancelled."""
        before: list[str] = []
        while True:
            await asyncio.sleep(every_s)
            stable = [a for a, b in zip(before, spoken, strict=False) if a == b]
            before = list(spoken)
            if spoken:
                text = " ".join(spoken)
                self.take(sig.Hypothesis("u1", text, len(" ".join(stable))))


async def measure(load: Load, *, speculates: bool, seed: int = 1) -> Result:
    result, engines, chance = Result(), Clocks(), random.Random(seed)
    async with asyncio.TaskGroup() as tasks:
        wheel = Wheel()
        turning = tasks.create_task(wheel.run(), name="wheel")
        backends = cast(Backends, cast(Any, engines))
        stage = Stage(backends, wheel, 0.4, speculates=speculates)
        async with asyncio.TaskGroup() as turns:
            for n in range(load.sessions):
                caller = Caller(stage, turns, random.Random(chance.random()))
                turns.create_task(caller.turn(result, load), name=f"caller {n}")
        turning.cancel()
    result.asked = engines.asked
    return result


def line(name: str, result: Result) -> str:
    n = len(result.waits_ms)
    p50, p95 = (percentile(result.waits_ms, share) for share in (0.5, 0.95))
    return (
        f"{name}: {n} turns, end of speech to first audio p50 {p50:.0f} ms, p95 {p95:.0f} ms; "
        f"{result.asked / n:.2f} questions a turn"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--wrong", type=float, default=0.1, help="share of wrong guesses")
    parser.add_argument("--look-ms", type=float, default=250.0, help="between two guesses")
    parser.add_argument("--silence-ms", type=float, default=200.0, help="that ends speech")
    asked = parser.parse_args()
    load = Load(asked.sessions, asked.wrong, asked.look_ms / 1000, asked.silence_ms / 1000)
    faults = 0
    for name, speculates in (("as usual", False), ("asked early", True)):
        result = uvloop.run(measure(load, speculates=speculates))
        print(line(name, result), flush=True)
        faults += result.faults
    if faults:
        raise SystemExit(f"{faults} answers were not the ones that were due")


if __name__ == "__main__":
    main()
