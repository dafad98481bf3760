"""A tier as a process of its own, and what it logs."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

import grpc
import msgspec
from grpc_health.v1 import health_pb2, health_pb2_grpc

ROOT = Path(__file__).parents[1]
WAIT_S = 30.0  # far above what anything takes


async def start(module: str, **env: str) -> Process:
    """Start `python -m module` with these variables and no others."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "proto")])
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, env={"PYTHONPATH": path} | env, stderr=PIPE
    )


async def until(process: Process, event: str) -> dict[str, Any]:
    """The log line of an event; those before it are gone."""
    assert process.stderr is not None
    async with asyncio.timeout(WAIT_S):
        while line := await process.stderr.readline():
            entry: dict[str, Any] = msgspec.json.decode(line)
            if entry["event"] == event:
                return entry
    raise AssertionError(f"the process ended before {event!r}")


async def until_it_answers(port: int) -> None:
    """Whoever answers has gone back to its loop, and listens to signals."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        await health.Check(health_pb2.HealthCheckRequest(), timeout=30)
