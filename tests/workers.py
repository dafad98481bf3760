"""The workers of one tier of a running mesh, as they are listed in Redis, for tests and benches."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Self

import aiohttp
import grpc

from mesh.redis import connect
from mesh.registry import Registry
from ovos.worker.v1 import worker_pb2 as pb
from ovos.worker.v1 import worker_pb2_grpc
from tests.stack import Stack, environment
from voicemesh.ports import several


@dataclass(frozen=True, slots=True)
class Worker:
    id: str
    pid: int
    address: str


class Fleet:
    def __init__(self, redis_url: str, tier: str) -> None:
        self._redis = connect(redis_url, timeout_s=2)
        self._registry = Registry(self._redis, tier)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._redis.aclose()

    async def workers(self) -> list[Worker]:
        listed = await self._registry.list()
        return [Worker(id_, int(w["pid"]), w["address"]) for id_, w in listed.items()]

    async def until_there_are(self, n: int) -> list[Worker]:
        """Wait until so many are listed and answer."""
        async with asyncio.timeout(60):
            while True:
                found = await self.workers()
                if len(found) == n and None not in [await streams(worker) for worker in found]:
                    return found
                await asyncio.sleep(0.1)

    async def until_idle(self) -> None:
        """Wait until nobody has a stream."""
        async with asyncio.timeout(60):
            while any([await streams(worker) for worker in await self.workers()]):
                await asyncio.sleep(0.1)

    async def streams_of(self, worker: Worker) -> int | None:
        return await streams(worker)

    async def the_busy_one(self) -> Worker:
        """Wait until exactly one of them has a stream."""
        async with asyncio.timeout(30):
            while True:
                found = await self.workers()
                busy = [worker for worker in found if await streams(worker)]
                if len(busy) == 1:
                    return busy[0]
                await asyncio.sleep(0.02)


def started(stack: Stack, module: str, **settings: str) -> subprocess.Popen[bytes]:
    """One more worker of a running mesh, which nobody keeps; listed once it serves."""
    [port] = several(1)
    prefix = module.split("_")[0].upper()
    settings |= {f"{prefix}_PORT": str(port), f"{prefix}_METRICS_PORT": "0"}
    env = environment({}) | settings | {"REDIS_URL": stack.redis_url}
    return subprocess.Popen([sys.executable, "-P", "-m", module], env=env, cwd=stack.data_dir)


async def usable(stack: Stack, tier: str) -> int:
    """How many workers of a tier the first gateway can call."""
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{stack.gateways[0]}/metrics") as answer,
    ):
        page = await answer.text()
    found = re.search(rf'gateway_workers_usable{{tier="{tier}"}} (\d+)', page)
    return int(found[1]) if found else 0


async def until_usable(stack: Stack, tier: str, n: int) -> None:
    async with asyncio.timeout(60):
        while await usable(stack, tier) != n:
            await asyncio.sleep(0.1)


async def streams(worker: Worker) -> int | None:
    """How many are open there, as it says itself; None if it does not answer."""
    async with grpc.aio.insecure_channel(worker.address) as channel:
        stub = worker_pb2_grpc.WorkerServiceStub(channel)
        try:
            answer = await stub.GetStatus(pb.GetStatusRequest(), timeout=0.5)
        except grpc.aio.AioRpcError:
            return None
        return int(answer.status.active_streams)
