"""A mesh in processes of its own, with engines of fixed delay: gateway, tiers, Redis."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import aiohttp

from mesh import config
from voicemesh import keys, ports
from voicemesh.servers import EmbeddedRedis

READY_S = 60.0
STOP_S = 20.0
_PATH = os.pathsep.join(str(Path(__file__).parents[1] / part) for part in ("", "proto"))
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Mesh:
    url: str
    key: str
    pids: dict[str, int] = field(default_factory=dict)
    """Of its processes, by name."""
    log: Path = Path()
    """What they all warn of."""

    def cpu_s(self) -> dict[str, float]:
        """What each process has computed so far."""
        return {name: cpu_s(pid) for name, pid in {**self.pids, "clients": os.getpid()}.items()}


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@asynccontextmanager
async def running(
    *, answer_repeats: int = 1, settings: dict[str, str] | None = None
) -> AsyncIterator[Mesh]:
    """
    Args:
        answer_repeats: How many times an answer says what it says.
        settings: Of the gateway, besides what it must have here.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        log = stack.enter_context((folder / "log").open("a"))
        redis = stack.enter_context(EmbeddedRedis(folder / "redis"))
        mesh = Mesh(f"http://127.0.0.1:{ports.free()}", keys.add(folder / "keys.json", "bench"))
        mesh.log = folder / "log"
        targets = {}
        for name, *arguments in (("stt",), ("tts",), ("llm", "--repeats", str(answer_repeats))):
            tier = await _started(stack, log, "bench.fixed_tiers", (name, *arguments), {})
            assert tier.stdout is not None
            async with asyncio.timeout(READY_S):
                port = int(await tier.stdout.readline())
            targets[f"GATEWAY_{name.upper()}_TARGET"] = f"127.0.0.1:{port}"
            mesh.pids[name] = tier.pid
        own = {
            "PORT": mesh.url.rpartition(":")[2], "GATEWAY_METRICS_PORT": "0",
            "GATEWAY_PROCESSES": "1", "GATEWAY_KEYS_FILE": str(folder / "keys.json"),
            "REDIS_URL": redis.url, "GATEWAY_LOG_LEVEL": "WARNING",
            # High enough, and not 0: what counting costs is the platform's.
            "GATEWAY_REQUESTS_PER_MINUTE": "1000000", "GATEWAY_TOKENS_PER_MINUTE": "1000000000",
            "GATEWAY_DRAIN_S": "0",
        }  # fmt: skip
        variables = own | targets | (settings or {})
        mesh.pids["gateway"] = (await _started(stack, log, "gateway", (), variables)).pid
        await _ready(mesh)
        yield mesh


async def _started(
    stack: AsyncExitStack,
    log: IO[str],
    module: str,
    arguments: tuple[str, ...],
    variables: dict[str, str],
) -> Process:
    """It ends with the stack."""
    env = {**config.environment(), "PYTHONPATH": _PATH, **variables}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, stdin=PIPE, stdout=PIPE, stderr=log, env=env
    )
    stack.push_async_callback(_end, process)
    return process


async def _end(process: Process) -> None:
    if process.returncode is None:
        assert process.stdin is not None
        process.stdin.close()
        process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def _ready(mesh: Mesh) -> None:
    """
    Raises:
        SystemExit: it did not get ready.
    """
    until_s = time.monotonic() + READY_S
    async with aiohttp.ClientSession() as http:
        while time.monotonic() < until_s:
            try:
                async with http.get(f"{mesh.url}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass  # it does not listen yet
            await asyncio.sleep(0.05)
    raise SystemExit(f"the mesh did not get ready:\n{mesh.log.read_text()}")
