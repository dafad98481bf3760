"""A recognition worker is lost in mid-utterance: how much later do the same words come?

    python -m bench.failover --runs 10
    python -m bench.failover --runs 10 --loss SIGSTOP

Starts a mesh with two recognition workers. A caller says a sentence in real time; at some moment
of it the worker that hears it gets the signal. It fails when the words are not those that are
heard undisturbed, or the client is told of an error.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.talkers import percentile

LOSSES = ("SIGKILL", "SIGSTOP", "SIGTERM")
EARLIEST, LATEST = 0.2, 0.95  # of the sentence: when the worker is lost
WORDS_S = 60.0  # far above what recognition takes
FRAME_BYTES = 960  # 20 ms
BYTES_A_S = 48_000
PAUSE = bytes(BYTES_A_S)

SESSION: Any = {
    "type": "realtime",
    "audio": {
        "input": {
            "transcription": {"model": "whisper-1"},
            "turn_detection": {"type": "server_vad", "create_response": False},
        }
    },
}


@dataclass(frozen=True, slots=True)
class Run:
    """One sentence."""

    words: str
    delay_s: float
    """From the end of the sentence to its words."""
    lost_s: float | None = None
    """From the loss of the worker to the words; None if none was lost."""


async def say(mesh: Any, fleet: Any, sentence: bytes, share: float | None, loss: str) -> Run:
    """
    Args:
        share: When the worker is lost, of the length of the sentence; None: it lives.
    """
    from tests.caller import Caller

    lost_s = None
    cut = int(len(sentence) * (share or 0)) // FRAME_BYTES * FRAME_BYTES
    async with Caller(mesh) as caller:
        await caller.connection.session.update(session=SESSION)
        async with asyncio.TaskGroup() as tasks:
            speaking = tasks.create_task(caller.speak(sentence + PAUSE), name="speak")
            began_s = time.monotonic()
            hears = None
            if share is not None:
                hears = await fleet.the_busy_one()
                await asyncio.sleep(began_s + cut / BYTES_A_S - time.monotonic())
                lost_s = time.monotonic()
                os.kill(hears.pid, signal.Signals[loss])
            try:
                await caller.until(lambda: bool(caller.heard), WORDS_S)
                heard_s = time.monotonic()
                await speaking
            finally:
                if hears is not None and loss == "SIGSTOP":
                    os.kill(hears.pid, signal.SIGCONT)
        ended_s = began_s + len(sentence) / BYTES_A_S
        after_s = None if lost_s is None else heard_s - lost_s
        return Run(caller.heard[0], heard_s - ended_s, after_s)


async def bench(mesh: Any, sentence: bytes, n_runs: int, loss: str, seed: int) -> list[Run]:
    """Undisturbed and disturbed sentences in turn."""
    from tests.workers import Fleet, until_usable

    chance = random.Random(seed)
    runs = []
    async with Fleet(mesh.redis_url, "stt") as fleet:
        for n in range(2 * n_runs):
            await fleet.until_there_are(2)
            await fleet.until_idle()
            await until_usable(mesh, "stt", 2)
            share = chance.uniform(EARLIEST, LATEST) if n % 2 else None
            run = await say(mesh, fleet, sentence, share, loss)
            when = "undisturbed" if share is None else f"{loss} at {share:.0%}"
            print(f"{when}: {run.delay_s * 1000:.0f} ms, {run.words!r}", flush=True)
            runs.append(run)
    return runs


def faults(runs: Sequence[Run]) -> list[str]:
    """What is heard otherwise than undisturbed."""
    expected = {run.words for run in runs if run.lost_s is None}
    return [run.words for run in runs if run.lost_s is not None and run.words not in expected]


def summary(runs: Sequence[Run], page: str) -> str:
    """
    Args:
        page: The gateway's metrics.
    """
    whole = [run.delay_s * 1000 for run in runs if run.lost_s is None]
    lost = [run for run in runs if run.lost_s is not None]
    usual = percentile(whole, 0.5)
    later = [run.delay_s * 1000 - usual for run in lost]
    lines = [
        f"undisturbed: {row(whole)} from the end of the sentence to its words",
        f"lost: {row([run.delay_s * 1000 for run in lost])}",
        f"later than undisturbed: {row(later)}",
    ]
    n, total_s = (_number(page, f"gateway_failover_seconds_{what}") for what in ("count", "sum"))
    if n:
        lines.append(f"from failure to the next stream: {n:.0f}, mean {total_s / n * 1000:.1f} ms")
    return "\n".join(lines)


def row(values: Sequence[float]) -> str:
    if not values:
        return "none"
    return f"{len(values)}, p50 {percentile(list(values), 0.5):.0f} ms, most {max(values):.0f} ms"


def _number(page: str, name: str) -> float:
    found = re.search(rf'^{name}{{tier="stt"}} (\S+)$', page, re.MULTILINE)
    return float(found[1]) if found else 0.0


async def _main(mesh: Any, asked: argparse.Namespace) -> bool:
    import aiohttp

    from tests.e2e.speech import recording

    sentence = recording("what_time_is_it_in_london_today")
    runs = await bench(mesh, sentence, asked.runs, asked.loss, asked.seed)
    async with aiohttp.ClientSession() as http, http.get(f"{mesh.url}/metrics") as answer:
        print(summary(runs, await answer.text()))
    wrong = faults(runs)
    for words in wrong:
        print(f"heard otherwise: {words!r}")
    return not wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--loss", choices=LOSSES, default="SIGKILL")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    from tests.stack import running  # only here: it needs pytest

    settings = {"GATEWAY_REQUESTS_PER_MINUTE": "0"}
    with tempfile.TemporaryDirectory(prefix="failover") as folder:
        Path(folder).chmod(0o711)  # root's PostgreSQL runs as nobody and must get in
        with running(Path(folder), arguments=("--stt", "2"), **settings) as mesh:
            return 0 if asyncio.run(_main(mesh, asked)) else 1


if __name__ == "__main__":
    sys.exit(main())
