"""What open connections cost a gateway instance, and what they cost those that talk.

    python -m bench.connections --connections 15000 --talking 20
    python -m bench.connections --connections 50000 --processes 4

Starts a mesh of its own and ends it. Idle clients come from processes of their own; a bare
aiohttp server holds as many in the same run, so that figures of two machines can be compared
by their ratio. It fails when a connection is refused or lost.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import re
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench.fuzz import loud
from bench.talkers import Heard, row, talk

A_PROCESS = 12_000  # clients: each needs a file descriptor, and some machines allow 20,000
WARM_UP = 100  # connections that open and close before anything is measured
SETTLE_S = 3.0
PATIENCE_S = 600.0  # until all are open
MOST_LOGGED = 5  # kinds of errors that are shown

SETTINGS = {
    "GATEWAY_CONNECTS_PER_S": "0",
    "GATEWAY_REQUESTS_PER_MINUTE": "0",
    "GATEWAY_TOKENS_PER_MINUTE": "0",
    "GATEWAY_MAX_SESSIONS": "60000",
    "GATEWAY_CHECK_EVENTS": "false",
}
"""Of the mesh: nothing is refused because it is much."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of all connections to one server, however many processes it has."""

    connections: int
    kib: float
    """Memory of one connection, of the server's processes alone."""
    opened_per_s: float
    refused: int
    lost: int
    answers_ms: list[float]
    """Of those that asked now and then."""
    unanswered: int
    heard: Heard | None = None
    """By those that talked meanwhile."""


@dataclass(frozen=True, slots=True)
class Server:
    """Who is measured."""

    ports: Sequence[int]
    pids: Sequence[int]
    key: str = ""

    def private_kib(self) -> int:
        """Memory that nobody else has a part in, of all processes."""
        return sum(private_kib(pid) for pid in self.pids)


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of a server."""

    connections: int
    asking: float = 0.0
    """Share of the idle clients that ask something each second."""
    talking: int = 0
    seconds: float = 30.0


def private_kib(pid: int) -> int:
    page = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(kib) for kib in re.findall(r"Private_\w+:\s+(\d+) kB", page))


async def measure(server: Server, load: Load) -> Cost:
    """Open the connections, let those talk who do, and close all."""
    await _hold(server, Load(WARM_UP))
    return await _hold(server, load)


async def _hold(server: Server, load: Load) -> Cost:
    before_kib = server.private_kib()
    async with AsyncExitStack() as started:
        crowds = [
            await started.enter_async_context(_Crowd(server, *place, load.asking))
            for place in shares(server.ports, load.connections)
        ]
        async with asyncio.timeout(PATIENCE_S):
            opened = [await crowd.said() for crowd in crowds]
        await asyncio.sleep(SETTLE_S)  # the greetings' buffers are given back
        after_kib = server.private_kib()
        heard = await _talkers(server, load)
        ended = [await crowd.end() for crowd in crowds]
    n_open = sum(tally["opened"] for tally in opened)
    took_s = max(t["last_s"] for t in opened) - min(t["first_s"] for t in opened)
    return Cost(
        n_open,
        (after_kib - before_kib) / max(1, n_open),
        n_open / took_s,
        sum(tally["refused"] for tally in opened),
        sum(tally["lost"] for tally in ended),
        list(itertools.chain(*(tally["answers_ms"] for tally in ended))),
        sum(tally["unanswered"] for tally in ended),
        heard,
    )


async def _talkers(server: Server, load: Load) -> Heard | None:
    if load.talking:
        url = f"http://127.0.0.1:{server.ports[0]}"
        return await talk(url, server.key, load.talking, load.seconds)
    if load.asking:
        await asyncio.sleep(load.seconds)
    return None


def shares(ports: Sequence[int], n: int) -> list[tuple[int, int, str]]:
    """Who opens what: port, connections and the address they come from, of each process."""
    places: list[tuple[int, int, str]] = []
    for index, port in enumerate(ports):
        left = n * (index + 1) // len(ports) - n * index // len(ports)
        while left:
            size = min(left, A_PROCESS)
            places.append((port, size, f"127.0.{len(places) // 200}.{2 + len(places) % 200}"))
            left -= size
    return places


class _Crowd:
    """A process of idle clients."""

    def __init__(self, server: Server, port: int, n: int, source: str, asking: float) -> None:
        self._arguments = (
            *("--port", str(port), "--connections", str(n), "--source", source),
            *("--asking", str(asking), "--key", server.key),
        )
        self._process: Process

    async def __aenter__(self) -> _Crowd:
        self._process = await start("bench.crowd", *self._arguments)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def said(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        found: dict[str, Any] = json.loads(line)
        return found

    async def end(self) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.close()
        tally = await self.said()
        await self._process.wait()
        return tally


async def start(module: str, *arguments: str) -> Process:
    most = 64 << 20  # bytes of one line: every answer's time is in it
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, stdin=PIPE, stdout=PIPE, limit=most
    )


async def bare(connections: int, n_processes: int = 1) -> Cost:
    """The same held by a server that does nothing, in as many processes: each may have only so
    many file descriptors."""
    processes = [await start("bench.bare_server") for _ in range(n_processes)]
    try:
        ports = [int(await p.stdout.readline()) for p in processes if p.stdout is not None]
        return await measure(Server(ports, [p.pid for p in processes]), Load(connections))
    finally:
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()


def report(cost: Cost, base: Cost, n_processes: int) -> str:
    ratio = cost.kib / base.kib if base.kib else float("nan")
    lines = [
        f"{cost.connections} connections, {n_processes} process(es): {cost.kib:.1f} KiB each,"
        f" {ratio:.2f} times a bare server's {base.kib:.1f} KiB",
        f"opened: {cost.opened_per_s:.0f} a second (bare: {base.opened_per_s:.0f}),"
        f" {cost.refused} refused, {cost.lost} lost",
    ]
    if cost.answers_ms:
        lines.append(f"answers to the idle: {row(cost.answers_ms)}, {cost.unanswered} unanswered")
    if heard := cost.heard:
        said = ", ".join(f"{status} {n}" for status, n in heard.statuses.items())
        lines.append(
            f"answers to those that talk: {row(heard.answers_ms)}, {heard.unanswered} unanswered"
        )
        lines.append(f"their responses: {said or 'none'}")
    return "\n".join(lines)


def wrong(cost: Cost, asked: Load) -> list[str]:
    """What must not be."""
    found = []
    if cost.connections < asked.connections:
        found.append(f"{asked.connections - cost.connections} connections were not opened")
    if cost.lost:
        found.append(f"{cost.lost} connections were lost")
    if cost.unanswered or (cost.heard and cost.heard.unanswered):
        found.append("questions were not answered")
    if cost.heard and cost.heard.events["closed"]:
        found.append("sessions that talked were closed")
    return found


def _ended(line: str) -> str:
    """A logged error without what differs: where its traceback ends, or what it says."""
    said = msgspec.json.decode(line) if line.startswith("{") else {}
    return str(said.get("exc_info", said.get("event", line))).rstrip()[-300:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=1, help="of the gateway instance")
    parser.add_argument("--talking", type=int, default=0, help="sessions that talk meanwhile")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long they talk")
    parser.add_argument("--idle-probe", type=float, default=0.0, help="share that asks each second")
    given = parser.parse_args()
    if sys.platform != "linux":
        parser.error("this needs Linux: what a process took for itself is read from /proc")
    load = Load(given.connections, given.idle_probe, given.talking, given.seconds)
    from tests.stack import running  # only here: it needs pytest

    arguments = ("--gateways", str(given.processes))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)  # root's PostgreSQL runs as nobody and must get in
        base = asyncio.run(bare(load.connections, given.processes))
        with running(Path(folder), arguments=arguments, **SETTINGS) as stack:
            ports = [int(url.rpartition(":")[2]) for url in stack.gateways]
            pids = [stack.gateway_pid(n) for n in range(len(ports))]
            found = [pid for pid in pids if pid is not None]
            assert len(found) == given.processes, "a gateway is not running"
            cost = asyncio.run(measure(Server(ports, found, stack.key), load))
        logged = Counter(_ended(line) for line in loud(Path(folder) / "logs"))
        mistakes = wrong(cost, load)
        mistakes += [f"logged {n} times: {line}" for line, n in logged.most_common(MOST_LOGGED)]
    print(report(cost, base, given.processes))
    if mistakes:
        raise SystemExit("\n".join(mistakes))


if __name__ == "__main__":
    main()
