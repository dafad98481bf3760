"""Processes for `bench.tts`: a TTS tier, and a tenant that asks it for too much."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

import grpc
import uvloop

from mesh.threads import LOCK_S
from ovos.common.v1 import common_pb2
from ovos.tts.v1 import tts_pb2 as pb
from ovos.tts.v1 import tts_pb2_grpc
from tts_service.app import running
from tts_service.config import Config

if TYPE_CHECKING:  # generic to the type checker only
    Call = grpc.aio.StreamStreamCall[pb.StreamingSynthesizeRequest, pb.StreamingSynthesizeResponse]

RATE_HZ = 24_000
AHEAD_SAMPLES = 4 * RATE_HZ  # as the gateway's
GRANT_S = 0.5
PLENTY = 10**12
PACED, GREEDY, QUIET = "paced", "greedy", "quiet"
START_S = 3.0  # in which the streams of a flood begin
AGAIN_S = 1.0  # when a tier is full
END_S = 20.0

TEXT = (
    "the old harbour lies below the town, every morning the boats come back before the sun is"
    " up. The men carry their baskets to the market and talk about the weather. Behind the"
    " market there is a narrow street with seven small shops."
)


class Client:
    """A tenant of a tier."""

    def __init__(self, port: int, tenant: str) -> None:
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        self._stub = tts_pb2_grpc.TtsServiceStub(self._channel)
        self._metadata = (("x-tenant-id", tenant),)

    async def close(self) -> None:
        await self._channel.close()

    async def first_audio_ms(self, text: str) -> float:
        """From sending the text; the reply is taken to its end."""
        call = await self._open(PLENTY)
        began_s, first_s = time.perf_counter(), 0.0
        await _say(call, text)
        async for response in _rest(call):
            if response.WhichOneof("payload") == "audio" and not first_s:
                first_s = time.perf_counter()
        return 1000 * (first_s - began_s)

    async def reply(self, text: str, *, paced: bool) -> None:
        call = await self._open(AHEAD_SAMPLES if paced else PLENTY)
        try:
            async with asyncio.TaskGroup() as tasks:
                granting = tasks.create_task(_grant(call)) if paced else None
                await _say(call, text)
                async for _ in _rest(call):
                    pass
                if granting is not None:
                    granting.cancel()
        finally:
            call.cancel()

    async def _open(self, allowed_until: int) -> Call:
        call = self._stub.StreamingSynthesize(metadata=self._metadata)
        credit = common_pb2.FlowCredit(allowed_until_sample=allowed_until)
        audio_format = common_pb2.AudioFormat(
            encoding=common_pb2.AUDIO_ENCODING_PCM_S16LE, sample_rate_hz=RATE_HZ
        )
        config = pb.StreamingSynthesisConfig(audio_format=audio_format, credit=credit)
        await call.write(pb.StreamingSynthesizeRequest(config=config))
        await call.read()  # ready
        return call


async def _say(call: Call, text: str) -> None:
    await call.write(pb.StreamingSynthesizeRequest(text=pb.TextChunk(text=text, sequence=1)))
    await call.write(pb.StreamingSynthesizeRequest(finish=pb.FinishSynthesis()))


async def _rest(call: Call) -> AsyncIterator[pb.StreamingSynthesizeResponse]:
    while isinstance(response := await call.read(), pb.StreamingSynthesizeResponse):
        yield response


async def _grant(call: Call) -> None:
    """Credit for what was heard."""
    began_s = time.monotonic()
    while True:
        await asyncio.sleep(GRANT_S)
        until = AHEAD_SAMPLES + int((time.monotonic() - began_s) * RATE_HZ)
        credit = common_pb2.FlowCredit(allowed_until_sample=until)
        with suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):  # it has ended
            await call.write(pb.StreamingSynthesizeRequest(credit=credit))


class Flood:
    """Replies of one tenant, as many at a time as there are streams, from a process of its own."""

    def __init__(self, orders: Connection) -> None:
        self._orders = orders

    async def becomes(self, mood: str) -> int:
        """
        Args:
            mood: PACED takes audio as a gateway does, GREEDY as fast as it comes.

        Returns:
            How many replies the one before has had.
        """
        self._orders.send(mood)
        return int(await asyncio.to_thread(self._orders.recv))


@contextmanager
def tier(config: Config) -> Iterator[int]:
    """A tier. Gives its port."""
    with _process(_serve, config) as (_, ready):
        yield ready


@contextmanager
def flood(port: int, n_streams: int) -> Iterator[Flood]:
    with _process(_drown, port, n_streams) as (orders, _):
        yield Flood(orders)


@contextmanager
def _process(body: Callable[..., None], *args: object) -> Iterator[tuple[Connection, int]]:
    """A process that sends a number when it is ready, and ends when its pipe does."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=body, args=(theirs, *args))
    process.start()
    theirs.close()
    try:
        yield ours, int(ours.recv())
    finally:
        ours.close()
        process.join(END_S)
        process.kill()
        process.join()


def _serve(pipe: Connection, config: Config) -> None:
    async def serve() -> None:
        sys.setswitchinterval(LOCK_S)
        async with running(config) as server:
            pipe.send(server.port)
            await asyncio.to_thread(_closed, pipe)

    uvloop.run(serve())


def _drown(pipe: Connection, port: int, n_streams: int) -> None:
    uvloop.run(_drowning(pipe, port, n_streams))


async def _drowning(pipe: Connection, port: int, n_streams: int) -> None:
    client, numbers = Client(port, "flood"), itertools.count()
    said = 0

    async def talk(n: int, *, paced: bool) -> None:
        nonlocal said
        await asyncio.sleep(n / n_streams * START_S)
        while True:
            with suppress(grpc.aio.AioRpcError, ExceptionGroup):  # full
                await client.reply(f"Number {next(numbers)}, {TEXT}", paced=paced)
                said += 1
                continue
            await asyncio.sleep(AGAIN_S)

    pipe.send(0)
    mood: str | None = QUIET
    while mood is not None:
        said = 0
        async with asyncio.TaskGroup() as tasks:
            talking = [
                tasks.create_task(talk(n, paced=mood == PACED))
                for n in range(n_streams if mood != QUIET else 0)
            ]
            mood = await asyncio.to_thread(_next, pipe)
            for task in talking:
                task.cancel()
        if mood is not None:
            pipe.send(said)
    await client.close()


def _next(pipe: Connection) -> str | None:
    try:
        return str(pipe.recv())
    except EOFError:
        return None


def _closed(pipe: Connection) -> None:
    while _next(pipe) is not None:
        pass
