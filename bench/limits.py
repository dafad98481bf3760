"""What a check of a tenant's limits costs in Redis, with several gateways asking.

    python -m bench.limits
    python -m bench.limits --redis-url redis://127.0.0.1:6379/9     # emptied!

Two processes ask one real Redis: first at a modest rate, each check with a PING beside it, then
as fast as they can. Every tenant has a full minute behind it, which is the most that a check
can have to look through. It fails when a limit is not kept to the request, or when a check at
the modest rate takes longer than R3.4 says.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import itertools
import multiprocessing
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import uvloop
from redis.asyncio import Redis

from gateway.allowance import LocalAllowance, SameForAll
from gateway.redis_allowance import RedisAllowance
from mesh.redis import connect
from voicemesh.servers import EmbeddedRedis

PROCESSES = 2
LIMIT = 100  # requests a minute
AT_ONCE = 20  # checks of one process under way when it asks as fast as it can
MOST_MS = 5.0  # R3.4
_UNREACHED = SameForAll(10**9, 10**12)
_SOON_S = 0.5  # until all processes are there


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked, of each process."""

    url: str
    seconds: float
    rate: float
    """Checks a second, of all processes together, when they are modest."""
    tenants: int


@dataclass(frozen=True, slots=True)
class Row:
    """How long something took, in milliseconds, in order."""

    name: str
    took_ms: list[float]
    seconds: float

    @property
    def per_s(self) -> float:
        return len(self.took_ms) / self.seconds

    def ms(self, quantile: float) -> float:
        return self.took_ms[min(len(self.took_ms) - 1, int(len(self.took_ms) * quantile))]


@dataclass(frozen=True, slots=True)
class Report:
    """What one run has found."""

    checks: Row
    pings: Row
    fast_checks: Row
    fast_pings: Row
    accepted: int
    asked: int

    def wrong(self) -> list[str]:
        found = []
        if self.accepted != LIMIT:
            found.append(f"{self.accepted} of {self.asked} requests accepted instead of {LIMIT}")
        p99_ms, ping_ms = self.checks.ms(0.99), self.pings.ms(0.99)
        if p99_ms > MOST_MS and ping_ms > MOST_MS / 2:
            found.append(f"the machine is too busy to tell: p99 of a PING is {ping_ms:.2f} ms")
        elif p99_ms > MOST_MS:
            found.append(f"p99 of a check is {p99_ms:.2f} ms, and may be {MOST_MS} ms")
        return found

    def text(self) -> str:
        lines = [f"{'':16} {'/s':>7} {'p50':>7} {'p99':>7} {'p99.9':>7} ms"]
        for row, base in (
            (self.checks, self.pings),
            (self.pings, self.pings),
            (self.fast_checks, self.fast_pings),
            (self.fast_pings, self.fast_pings),
        ):
            figures = " ".join(f"{row.ms(q):7.2f}" for q in (0.5, 0.99, 0.999))
            ratio = row.ms(0.5) / base.ms(0.5)
            lines.append(f"{row.name:16} {row.per_s:7.0f} {figures}    {ratio:.2f}× PING")
        lines.append(f"{self.accepted} of {self.asked} requests of one tenant at once accepted")
        return "\n".join(lines)


def bench(load: Load) -> Report:
    """Measure in processes of their own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:

        def everywhere(work: Callable[[Load, int, float], list[float]]) -> list[list[float]]:
            at_s = time.time() + _SOON_S
            began = [pool.submit(work, load, n, at_s) for n in range(PROCESSES)]
            return [process.result() for process in began]

        everywhere(_fill)
        beside = list(itertools.chain(*everywhere(_modest)))
        fast, pings = everywhere(_fast), everywhere(_fast_pings)
        accepted = sum(sum(waits) for waits in everywhere(_exact))
    checks, bare = sorted(beside[::2]), sorted(beside[1::2])
    return Report(
        Row("check", checks, load.seconds),
        Row("PING", bare, load.seconds),
        Row("check, saturated", sorted(itertools.chain(*fast)), load.seconds),
        Row("PING, saturated", sorted(itertools.chain(*pings)), load.seconds),
        int(accepted),
        PROCESSES * LIMIT * 2,
    )


def _allowance(redis: Redis, limits: SameForAll = _UNREACHED) -> RedisAllowance:
    return RedisAllowance(redis, limits, LocalAllowance(limits, time.monotonic))


def _run(load: Load, at_s: float, work: Callable[[Redis], Awaitable[list[float]]]) -> list[float]:
    async def run() -> list[float]:
        redis = connect(load.url)
        try:
            await redis.ping()
            await asyncio.sleep(max(0.0, at_s - time.time()))
            return await work(redis)
        finally:
            await redis.aclose()

    return uvloop.run(run())


def _fill(load: Load, number: int, at_s: float) -> list[float]:
    """Give each tenant a minute of which every second counts."""

    async def fill(redis: Redis) -> list[float]:
        now_s = time.time()
        local = LocalAllowance(_UNREACHED, time.monotonic)
        for ago_s in range(58, 0, -1):
            then = RedisAllowance(
                redis,
                _UNREACHED,
                local,
                server_time=lambda ago_s=ago_s: now_s - ago_s,  # type: ignore[misc]
            )
            for n in range(number, load.tenants, PROCESSES):
                await then.count_request(f"tenant {n}")
        return []

    return _run(load, at_s, fill)


def _modest(load: Load, number: int, at_s: float) -> list[float]:
    """Checks at a steady rate with a PING beside each: milliseconds of both in turn."""

    async def ask(redis: Redis) -> list[float]:
        allowance, took_ms = _allowance(redis), []
        every_s = PROCESSES / load.rate
        began_s = time.perf_counter() + every_s * number / PROCESSES
        for turn in range(round(load.seconds / every_s)):
            await asyncio.sleep(max(0.0, began_s + turn * every_s - time.perf_counter()))
            check = functools.partial(allowance.take_request, f"tenant {turn % load.tenants}")
            # Whichever comes first wakes everything up, and pays for it.
            if turn % 2:
                took_ms += [await _timed(check()), await _timed(redis.ping())]
            else:
                took_ms += [await _timed(redis.ping()), await _timed(check())][::-1]
        return took_ms

    return _run(load, at_s, ask)


def _fast(load: Load, number: int, at_s: float) -> list[float]:
    async def ask(redis: Redis) -> list[float]:
        allowance, numbers = _allowance(redis), itertools.count(number * 17)

        def check() -> Awaitable[object]:
            return allowance.take_request(f"tenant {next(numbers) % load.tenants}")

        return await _saturated(load.seconds, check)

    return _run(load, at_s, ask)


def _fast_pings(load: Load, number: int, at_s: float) -> list[float]:
    return _run(load, at_s, lambda redis: _saturated(load.seconds, redis.ping))


async def _saturated(seconds: float, ask: Callable[[], Awaitable[object]]) -> list[float]:
    """Milliseconds of each of as many as fit in."""
    took_ms: list[float] = []
    end_s = time.perf_counter() + seconds

    async def work() -> None:
        while time.perf_counter() < end_s:
            took_ms.append(await _timed(ask()))

    async with asyncio.TaskGroup() as tasks:
        for n in range(AT_ONCE):
            tasks.create_task(work(), name=f"worker {n}")
    return took_ms


def _exact(load: Load, number: int, at_s: float) -> list[float]:
    """One tenant, all at once, twice its limit from each process: how many were accepted."""

    async def ask(redis: Redis) -> list[float]:
        allowance = _allowance(redis, SameForAll(LIMIT, 0))
        async with asyncio.TaskGroup() as tasks:
            asked = [
                tasks.create_task(allowance.take_request("crowded"), name=f"request {n}")
                for n in range(LIMIT * 2)
            ]
        return [sum(task.result() is None for task in asked)]

    return _run(load, at_s, ask)


async def _timed(asked: Awaitable[object]) -> float:
    began_s = time.perf_counter()
    await asked
    return (time.perf_counter() - began_s) * 1000


@contextlib.contextmanager
def _redis(url: str) -> Iterator[str]:
    """The Redis to ask: that one, emptied, or one of our own."""
    if not url:
        with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder)) as server:
            yield server.url
        return

    async def empty() -> None:
        async with connect(url) as redis:
            await redis.flushdb()

    asyncio.run(empty())
    yield url


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--redis-url", default="", help="the database is emptied")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each of three parts")
    parser.add_argument("--rate", type=float, default=200.0, help="checks a second, when modest")
    parser.add_argument("--tenants", type=int, default=100)
    asked = parser.parse_args()
    with _redis(asked.redis_url) as url:
        report = bench(Load(url, asked.seconds, asked.rate, asked.tenants))
    print(report.text())
    if wrong := report.wrong():
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()
