"""Sessions move between real gateways while their callers talk.

    python -m bench.moves restart --sessions 50     # all gateways are restarted, one by one
    python -m bench.moves sleep --runs 50           # the owner sleeps, its session moves, it wakes

`restart` fails when a turn fails or a word is lost or comes twice. `sleep` fails when a gateway
that woke up writes anything, says anything, or keeps its client's connection.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import tempfile
import time
import traceback
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

SETTINGS = {
    "GATEWAY_REQUESTS_PER_MINUTE": "0",
    "GATEWAY_TOKENS_PER_MINUTE": "0",
    "GATEWAY_CONNECTS_PER_S": "0",
    "HAPROXY_SLOWSTART": "1s",
}
QUESTION = "What time is it in London?"
AGAIN_S = 90.0  # until a gateway that drains is there again


class Crowd:
    """Callers who talk until they are told to stop."""

    def __init__(self, callers: list[Any], think_s: float) -> None:
        """
        Args:
            think_s: How long a caller is silent between two turns.
        """
        self.callers, self._think_s = callers, think_s
        self.is_over = asyncio.Event()
        self.turns = 0
        self.failed: list[str] = []

    async def talk(self, caller: Any) -> None:
        while not self.is_over.is_set():
            await caller.ask(QUESTION)
            status = await caller.hear()
            if status != "completed" or caller.text != caller.whole or not caller.audio:
                self.failed.append(f"{status}: {caller.text!r}, {caller.whole!r}")
            self.turns += 1
            await asyncio.sleep(self._think_s)

    def report(self) -> bool:
        gaps_ms = [1000 * gap for caller in self.callers for gap in caller.gaps_s]
        moves = sum(caller.connections - 1 for caller in self.callers)
        n_failed = len(self.failed)
        print(f"{len(self.callers)} sessions, {self.turns} turns, {n_failed} failed; {moves} moves")
        if gaps_ms:
            print(f"in mid-answer: {len(gaps_ms)}, longest silence {max(gaps_ms):.0f} ms")
        for line in self.failed[:10]:
            print(line)
        return not self.failed and moves >= len(self.callers)


async def restart(mesh: Any, n_sessions: int, think_s: float) -> bool:
    """
    Args:
        mesh: As `tests.stack` starts it.
    """
    from tests.caller import Caller

    async with AsyncExitStack() as entered, asyncio.TaskGroup() as tasks:
        callers = [await entered.enter_async_context(Caller(mesh)) for _ in range(n_sessions)]
        crowd = Crowd(callers, think_s)
        for caller in callers:
            tasks.create_task(crowd.talk(caller))
        for n in range(len(mesh.gateways)):
            began_s = time.monotonic()
            pid = await asyncio.to_thread(mesh.signal_gateway, n, signal.SIGTERM)
            async with asyncio.timeout(AGAIN_S):
                await replaced(mesh, n, pid)
            print(f"gateway {n + 1} restarted in {time.monotonic() - began_s:.1f} s", flush=True)
        crowd.is_over.set()
    return crowd.report()


async def replaced(mesh: Any, n: int, pid: int) -> None:
    """Wait until another process serves in the place of this one."""
    while await asyncio.to_thread(mesh.gateway_pid, n) in (pid, None):  # noqa: ASYNC110
        await asyncio.sleep(0.2)
    await ready(mesh.gateways[n])


async def sleep(mesh: Any, n_runs: int) -> bool:
    """
    Args:
        mesh: As `tests.stack` starts it.
    """
    from tests.moves import the_owner_sleeps

    whole = 0
    for n in range(n_runs):
        try:
            await the_owner_sleeps(mesh)
        except (AssertionError, TimeoutError) as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            print(f"run {n + 1}: {type(error).__name__}: {str(error)[:300] or where.line}")
        else:
            whole += 1
        print(f"\r{n + 1} of {n_runs}", end="", flush=True)
    print(f"\n{whole} of {n_runs} owners that slept wrote nothing, said nothing and hung up")
    return whole == n_runs


async def ready(url: str) -> None:
    import aiohttp

    async with aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(f"{url}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="what", required=True)
    restarting = commands.add_parser("restart", help="restart all gateways under load")
    restarting.add_argument("--sessions", type=int, default=50)
    restarting.add_argument("--think", type=float, default=1.0, help="seconds between two turns")
    sleeping = commands.add_parser("sleep", help="owners that sleep and wake too late")
    sleeping.add_argument("--runs", type=int, default=50)
    return parser.parse_args()


def main() -> int:
    from tests.stack import running  # only here: it needs pytest

    given = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)  # root's PostgreSQL runs as nobody and must get in
        settings = {**SETTINGS, "GATEWAY_DRAIN_S": "30"}
        with running(Path(folder), arguments=("--gateways", "3", "--haproxy"), **settings) as mesh:
            if given.what == "restart":
                fine = asyncio.run(restart(mesh, given.sessions, given.think))
            else:
                fine = asyncio.run(sleep(mesh, given.runs))
    return 0 if fine else 1


if __name__ == "__main__":
    raise SystemExit(main())
