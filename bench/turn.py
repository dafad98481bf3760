"""The latency ledger of spoken turns: what the platform adds to its engines.

    python -m bench.turn                  # 20 callers
    python -m bench.turn --sessions 100
    python -m bench.turn --embedded       # one caller, with PocketSphinx and eSpeak

The mesh is real and has processes of its own, gateway, tiers and Redis; its engines take as long
as they are told and compute nothing (`bench/fixed_engines.py`). The callers are this process, and
speak recordings in real time; end of speech is found by the real voice activity detection.

Time is counted from the moment the audio was sent in which the end of speech was found (as
`audio_end_ms` of speech_stopped says), to the moment the first audio came. What is over the
engines' delays is the platform's. Audio comes in frames of 20 ms, and the filter in front of
voice activity needs to hear 3 ms ahead: one turn in five therefore waits for one more frame.

With `--embedded` nothing is subtracted: the language model alone has fixed delays. It fails when
anything takes too long, or an answer went wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from dataclasses import dataclass, field

import uvloop

from bench import embedded as embedded_mesh
from bench import fixed_mesh
from bench.fixed_engines import fixed_s
from bench.talkers import percentile
from bench.turns import Caller, Turn, stages_ms


@dataclass(frozen=True, slots=True)
class Limits:
    fixed_ms: float
    """What is taken off each turn."""

    most_ms: dict[float, float] = field(default_factory=dict)
    """What is left: the most, by share of the turns."""


FIXED = Limits(fixed_s() * 1000, {0.5: 10.0, 0.99: 40.0})
NONE = Limits(fixed_s() * 1000)
EMBEDDED = Limits(0.0, {0.95: 200.0})
GATED = 20  # sessions, up to which the limits hold
_NAMES = ("end of speech told", "transcript", "first text", "first audio")
MOST_LOGGED = 10  # lines that are shown
_SPREAD_S = 5.0  # the first words of the callers are spread over so long


async def measure(mesh: fixed_mesh.Mesh, n: int, n_turns: int, think_s: float) -> list[Caller]:
    callers = [Caller(number, n_turns, think_s) for number in range(n)]

    async def call(caller: Caller, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await caller.call(mesh.url, mesh.key)

    chance = random.Random(n)  # even steps would be so many frames at the same moment
    async with asyncio.TaskGroup() as tasks:
        for number, caller in enumerate(callers):
            tasks.create_task(call(caller, chance.uniform(0, _SPREAD_S)), name=f"caller {number}")
    return callers


def overheads_ms(turns: list[Turn], fixed_ms: float) -> tuple[list[float], list[float]]:
    """From the audio sent; and from the event that told the end of speech."""
    strict = [1000 * (turn.came_s[-1] - turn.sent_s) - fixed_ms for turn in turns]
    told = [1000 * (turn.came_s[-1] - turn.came_s[0]) - fixed_ms for turn in turns]
    return strict, told


def figures(values: list[float]) -> str:
    shares = [percentile(values, share) for share in (0.5, 0.95, 0.99)]
    return " ".join(f"{ms:8.1f}" for ms in (*shares, max(values)))


def report(turns: list[Turn], fixed_ms: float) -> str:
    strict, told = overheads_ms(turns, fixed_ms)
    rows = [(f"→ {name}", ms) for name, ms in zip(_NAMES, stages_ms(turns), strict=True)]
    what = "overhead" if fixed_ms else "all"
    rows += [(what, strict), (f"{what}, from the event", told)]
    lines = [f"{'ms':26} {'p50':>8} {'p95':>8} {'p99':>8} {'most':>8}"]
    lines += [f"{name:26} {figures(ms)}" for name, ms in rows]
    lines.append(f"{len(turns)} turns, of each {fixed_ms:.0f} ms taken off for engines")
    return "\n".join(lines)


def wrong(callers: list[Caller], n_turns: int, limits: Limits) -> list[str]:
    """What must not be."""
    turns = [turn for caller in callers for turn in caller.turns]
    found = [f"caller {n}: {what}" for n, caller in enumerate(callers) for what in caller.strange]
    if len(turns) < len(callers) * n_turns:
        found.append(f"{len(turns)} turns instead of {len(callers) * n_turns}")
    strict, _ = overheads_ms(turns, limits.fixed_ms)
    for share, most_ms in limits.most_ms.items() if turns else ():
        if (ms := percentile(strict, share)) > most_ms:
            found.append(f"p{share * 100:.0f} is {ms:.1f} ms, and may be {most_ms:.0f} ms")
    return found


async def _run(sessions: int, n_turns: int, think_s: float, *, embedded: bool) -> list[str]:
    limits = EMBEDDED if embedded else FIXED if sessions <= GATED else NONE
    async with (embedded_mesh if embedded else fixed_mesh).running() as mesh:
        await measure(mesh, 1, 1, 0.5)  # whatever is made when it is first needed
        before, began_s = mesh.cpu_s(), time.perf_counter()
        callers = await measure(mesh, sessions, n_turns, think_s)
        after, took_s = mesh.cpu_s(), time.perf_counter() - began_s
        logged = mesh.log.read_text().splitlines() if mesh.log else []
    turns = [turn for caller in callers for turn in caller.turns]
    print(f"{sessions} sessions")
    if turns:
        print(report(turns, limits.fixed_ms))
    used = ", ".join(f"{name} {(after[name] - before[name]) / took_s:.0%}" for name in after)
    print(f"of a core: {used}", flush=True)
    return [*wrong(callers, n_turns, limits), *logged[:MOST_LOGGED]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=0, help="20; 1 with --embedded")
    parser.add_argument("--turns", type=int, default=10, help="of each session")
    parser.add_argument("--think", type=float, default=1.0, help="seconds between turns")
    parser.add_argument("--embedded", action="store_true", help="engines that compute")
    given = parser.parse_args()
    n = given.sessions or (1 if given.embedded else GATED)
    mistakes = uvloop.run(_run(n, given.turns, given.think, embedded=given.embedded))
    if mistakes:
        raise SystemExit("\n".join(mistakes))


if __name__ == "__main__":
    main()
