"""How evenly audio leaves one gateway process that speaks many replies at a time (R4.5).

    python -m bench.pacing                   # 200 replies
    python -m bench.pacing --replies 50

Each reply's frames are due every 20 ms. What is measured is how far from that each one came, at
clients in a process of their own, which adds to it: against the grid that fits the reply best,
over some seconds in which all replies are spoken. The mesh is the one of `bench.turn`.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from dataclasses import dataclass, field

import uvloop

from bench import fixed_mesh
from bench.raw_client import RawClient
from bench.talkers import percentile
from bench.turns import PATH

FRAME_S = 0.02
MOST_P99_MS = 5.0
START_S = 10.0  # the replies' beginnings are spread over so long
SETTLE_S = 2.0  # what comes ahead of real time at a beginning has left by then
REPEATS = 14  # of the answer: half a minute, longer than it takes to start and to measure
_ASK = (
    b'{"type":"conversation.item.create","item":{"type":"message","role":"user",'
    b'"content":[{"type":"input_text","text":"Speak."}]}}',
    b'{"type":"response.create"}',
)
_FRAME, _DONE = b'"type":"response.output_audio.delta"', b'"type":"response.done"'
_HEAD = 120  # bytes of a message in which its type is, however many there were before


@dataclass(slots=True)
class Reply:
    """When its frames came."""

    came_s: list[float] = field(default_factory=list)
    done_s: float | None = None

    def hear(self, now_s: float, message: bytes) -> None:
        if message.find(_FRAME, 0, _HEAD) > 0:
            self.came_s.append(now_s)
        elif message.find(_DONE, 0, _HEAD) > 0:
            self.done_s = now_s


def off_grid_ms(came_s: list[float]) -> list[float]:
    """How far each frame is from the 20 ms grid that fits them best."""
    phases = [at_s - n * FRAME_S for n, at_s in enumerate(came_s)]
    middle = statistics.median(phases)
    return [abs(phase - middle) * 1000 for phase in phases]


async def measure(
    mesh: fixed_mesh.Mesh, n: int, seconds: float
) -> tuple[list[Reply], dict[str, float]]:
    """
    Returns:
        The replies, each with the frames of the time in which all were spoken; and how many
        seconds each process computed in it.
    """
    replies = [Reply() for _ in range(n)]
    clients = [await RawClient.to(mesh.url, PATH, mesh.key, reply.hear) for reply in replies]
    chance = random.Random(n)
    began_s = time.perf_counter()
    try:
        for after_s, client in zip(
            sorted(chance.uniform(0, START_S) for _ in clients), clients, strict=True
        ):
            await asyncio.sleep(began_s + after_s - time.perf_counter())
            for message in _ASK:
                client.text(message)
        await asyncio.sleep(began_s + START_S + SETTLE_S - time.perf_counter())
        from_s, before = time.perf_counter(), mesh.cpu_s()
        await asyncio.sleep(seconds)
        until_s, after = time.perf_counter(), mesh.cpu_s()
    finally:
        for client in clients:
            client.close()
    for reply in replies:
        reply.came_s = [at_s for at_s in reply.came_s if from_s <= at_s < until_s]
    return replies, {name: after[name] - before[name] for name in after}


def wrong(replies: list[Reply], seconds: float) -> list[str]:
    """What must not be."""
    found = []
    due = seconds / FRAME_S
    if late := sum(len(reply.came_s) < 0.98 * due for reply in replies):
        found.append(f"{late} replies had less audio than they should")
    if ended := sum(reply.done_s is not None for reply in replies):
        found.append(f"{ended} replies ended too early")
    p99_ms = percentile([ms for reply in replies for ms in off_grid_ms(reply.came_s)] or [0], 0.99)
    if p99_ms > MOST_P99_MS:
        found.append(f"jitter: p99 is {p99_ms:.1f} ms, and may be {MOST_P99_MS} ms")
    return found


async def _run(n: int, seconds: float) -> list[str]:
    async with fixed_mesh.running(answer_repeats=REPEATS) as mesh:
        replies, used_s = await measure(mesh, n, seconds)
        logged = mesh.log.read_text().splitlines() if mesh.log else []
    off_ms = [ms for reply in replies for ms in off_grid_ms(reply.came_s)]
    if off_ms:
        shares = ", ".join(f"p{100 * p:g} {percentile(off_ms, p):.2f}" for p in (0.5, 0.99, 0.999))
        print(f"{n} replies, {len(off_ms)} frames in {seconds:g} s")
        print(f"ms from the 20 ms grid: {shares}, most {max(off_ms):.2f}")
        print(
            f"of a core: {', '.join(f'{k} {v / seconds:.0%}' for k, v in used_s.items())};", end=" "
        )
        print(f"{used_s['gateway'] / len(off_ms) * 1e6:.0f} µs of the gateway a frame", flush=True)
    return [*wrong(replies, seconds), *logged[:10]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replies", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    if mistakes := uvloop.run(_run(given.replies, given.seconds)):
        raise SystemExit("\n".join(mistakes))


if __name__ == "__main__":
    main()
