"""Puts the STT tier together. The only file that knows all its parts."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import grpc

from mesh.chain import Chain
from mesh.errors import NotInstalled
from mesh.health import Load
from mesh.redis import Url, connect
from mesh.registration import Listing
from mesh.serve import Server, run
from mesh.threads import LOCK_S
from mesh.turns import Turns
from ovos.stt.v1 import stt_pb2 as pb
from ovos.stt.v1 import stt_pb2_grpc
from stt_service import metrics, recording
from stt_service.backlog import Backlog, working
from stt_service.config import Config
from stt_service.endpointing import Settings
from stt_service.engine import RATE_HZ, Engine, How
from stt_service.engines import ENGINES
from stt_service.servicer import SttServicer
from stt_service.vad import Silero
from stt_service.waiting import READ_WAIT_MS, Taken, Waiting
from stt_service.worker import Worker

SERVICE = "ovos.stt.v1.SttService"
_REDIS_S = 2.0  # of one command; nobody is on the line for these


def load(config: Config) -> Chain[Engine]:
    """Load the engines that are installed, and let each hear something. Blocks for seconds.

    Raises:
        Unavailable: there is none.
    """

    def make(kind: Callable[[Config], Engine]) -> Engine:
        engine = kind(config)
        _warm_up(engine)
        return engine

    return Chain.load(config.engines, ENGINES, make, tier="stt")


def _warm_up(engine: Engine) -> None:
    """Let an engine hear a second of silence: the first caller shall not wait for what
    libraries put off, and one that cannot work shall not serve.

    Raises:
        NotInstalled: it cannot.
    """
    recognizer = engine.ear().recognizer(How())
    try:
        recognizer.feed(bytes(2 * RATE_HZ))
        recognizer.finish()
    except Exception as error:  # whatever a library raises, the next engine serves
        raise NotInstalled(f"it is here and does not work: {error}") from error
    finally:
        recognizer.close()


@asynccontextmanager
async def running(config: Config, chain: Chain[Engine] | None = None) -> AsyncIterator[Server]:
    """The tier, serving. Leaving stops it; whoever wants to drain does that first.

    Args:
        chain: Engines to use instead of those the settings name. For tests.

    Raises:
        Unavailable: there is no engine.
        NotInstalled: there is no Silero VAD.
    """
    silero = await asyncio.to_thread(Silero)
    if chain is None:
        chain = await asyncio.to_thread(load, config)
    names = chain.names
    worker = Worker(chain, silero, max_waiting=4 * config.max_streams)
    metrics.QUEUE_DEPTH.set_function(lambda: worker.queue_depth)
    for name in chain.engines:
        metrics.UTILISATION.labels(name).set_function(partial(worker.utilisation, name))
    queue = connect(config.redis_url, timeout_s=_REDIS_S) if config.redis_url else None
    servicer = SttServicer(
        worker,
        _defaults(config),
        max_streams=config.max_streams,
        drain_s=config.drain_s,
        worker_id=lambda: server.worker_id,
        draining=lambda: server.draining,
        turns=Turns(queue) if queue else None,
    )

    def add(to: grpc.aio.Server) -> None:
        stt_pb2_grpc.add_SttServiceServicer_to_server(servicer, to)

    server = Server(
        "stt",
        config.host,
        config.port,
        add=add,
        services=[SERVICE],
        drain_s=config.drain_s,
        engines=lambda: names,
        load=lambda: Load(servicer.slots.open, config.max_streams, worker.queue_depth),
    )
    try:
        await server.start()
        await server.ready()
        async with AsyncExitStack() as stack:
            if config.redis_url and config.turns_at_a_time:
                await stack.enter_async_context(
                    _backlog(config.redis_url, config, worker, servicer, server)
                )
            yield server
    finally:
        await server.stop()
        await worker.close()
        if queue is not None:
            await queue.aclose()


@asynccontextmanager
async def _backlog(
    redis_url: Url, config: Config, worker: Worker, servicer: SttServicer, server: Server
) -> AsyncIterator[None]:
    """Recognise turns of the queue, until the block ends."""
    redis = connect(redis_url, timeout_s=_REDIS_S + READ_WAIT_MS / 1000)
    waiting = Waiting(redis, server.worker_id)

    async def recognise(taken: Taken) -> pb.Transcript:
        wishes, rate_hz = recording.wishes_of(taken.config, _defaults(config))
        audio = waiting.audio(taken)
        return await recording.recognised(worker, wishes, rate_hz, audio, taken.tenant)

    def has_room() -> bool:
        is_full = servicer.slots.open >= config.max_streams
        return not (server.draining.is_set() or is_full or worker.queue_depth)

    at_a_time = config.turns_at_a_time
    backlog = Backlog(waiting, Turns(redis), recognise, has_room, at_a_time=at_a_time)
    try:
        async with working(backlog):
            yield
    finally:
        await redis.aclose()


async def serve(config: Config) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        SystemExit: nothing can be heard with; the log says why.
    """
    sys.setswitchinterval(LOCK_S)
    listing = Listing(config.redis_url or "", config.advertised_address)
    await run(running(config), config.host, config.metrics_port, listing=listing)


def _defaults(config: Config) -> Settings:
    return Settings(
        threshold=config.threshold,
        prefix_ms=config.prefix_ms,
        silence_ms=config.silence_ms,
        max_utterance_ms=config.max_utterance_ms,
    )
