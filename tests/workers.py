"""The workers of one tier of a running mesh, as they are listed in Redis, for tests and benches."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Self

import grpc

from mesh.redis import connect
from mesh.registry import Registry
from ovos.worker.v1 import worker_pb2 as pb
from ovos.worker.v1 import worker_pb2_grpc


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

    async def the_busy_one(self) -> Worker:
        """Wait until exactly one of them has a stream."""
        async with asyncio.timeout(30):
            while True:
                found = await self.workers()
                busy = [worker for worker in found if await streams(worker)]
                if len(busy) == 1:
                    return busy[0]
                await asyncio.sleep(0.02)


async def streams(worker: Worker) -> int | None:
    """How many are open there, as it says itself; None if it does not answer."""
    async with grpc.aio.insecure_channel(worker.address) as channel:
        stub = worker_pb2_grpc.WorkerServiceStub(channel)
        try:
            answer = await stub.GetStatus(pb.GetStatusRequest(), timeout=0.5)
        except grpc.aio.AioRpcError:
            return None
        return int(answer.status.active_streams)
