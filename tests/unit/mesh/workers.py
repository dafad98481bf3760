"""Workers on loopback that a test makes full, moody or silent, and pools of them."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager

import grpc

from mesh.errors import answering
from mesh.health import Load
from mesh.pool import Pool

CALL = "/test.Test/Call"


class House:
    """A worker on loopback: how full it is, what its calls fail with, who has been there."""

    def __init__(self, name):
        self.name, self.active, self.most = name, 0, 10
        self.mood, self.calls = None, 0
        self.server = None

    @property
    def address(self):
        return f"127.0.0.1:{self.server.port}"

    async def answer(self, request, context):
        async with answering(context):
            self.calls += 1
            if self.mood is not None:
                raise self.mood
        return self.name.encode()


async def opened(serve, name, **about):
    """
    Args:
        serve: The fixture.
        about: What it is like.
    """
    made = House(name)
    vars(made).update(about)
    handlers = {"Call": grpc.unary_unary_rpc_method_handler(made.answer)}
    made.server = await serve(handlers=handlers, load=lambda: Load(made.active, made.most))
    await made.server.ready()
    return made


@asynccontextmanager
async def pool_of(*targets, registry=None):
    pool = Pool("stt", targets, registry, every_s=0.1, chance=random.Random(7))
    try:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(pool.run(), name="pool")
            yield pool
            running.cancel()
    finally:
        await pool.close()


async def ask(worker):
    return await worker.channel.unary_unary(CALL)(b"", timeout=30)


def loaded(pool, *loads):
    """Whether the workers say to be so full."""
    return sorted(worker.load for worker in pool.workers if worker.serving) == sorted(loads)
