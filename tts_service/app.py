"""Puts the TTS tier together. The only file that knows all its parts."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc

from mesh.chain import Chain
from mesh.health import Load
from mesh.registration import Listing
from mesh.serve import Server, run
from mesh.threads import LOCK_S, ModelThreads
from ovos.tts.v1 import tts_pb2_grpc
from tts_service import metrics
from tts_service.config import Config
from tts_service.engine import Engine
from tts_service.engines import ENGINES
from tts_service.loudness import Levels
from tts_service.openers import Openers
from tts_service.servicer import TtsServicer
from tts_service.worker import Worker, warm_up

SERVICE = "ovos.tts.v1.TtsService"


def load(config: Config, levels: Levels) -> Chain[Engine]:
    """Load the engines that are installed, and let each speak once. Blocks for seconds.

    Raises:
        Unavailable: there is none.
    """

    def make(kind: Callable[[Config], Engine]) -> Engine:
        engine = kind(config)
        warm_up(engine, levels)
        return engine

    return Chain.load(config.engines, ENGINES, make, tier="tts")


@asynccontextmanager
async def running(config: Config, chain: Chain[Engine] | None = None) -> AsyncIterator[Server]:
    """The tier, serving. Leaving stops it; whoever wants to drain does that first.

    Args:
        chain: Engines to use instead of those the settings name. For tests.
    """
    levels = Levels()
    threads = ModelThreads("tts", config.threads, config.max_waiting)
    metrics.QUEUE_DEPTH.set_function(lambda: threads.waiting)
    metrics.UTILISATION.set_function(lambda: threads.utilisation)
    try:
        if chain is None:
            chain = await threads.run(load, config, levels)
        names = chain.names
        worker = Worker(chain, threads, levels, Openers(int(config.openers_mb * 1e6)))
        metrics.OPENERS_BYTES.set_function(lambda: worker.openers.n_bytes)
        servicer = TtsServicer(worker, config.max_streams, lambda: server.worker_id)

        def add(to: grpc.aio.Server) -> None:
            tts_pb2_grpc.add_TtsServiceServicer_to_server(servicer, to)

        server = Server(
            "tts",
            config.host,
            config.port,
            add=add,
            services=[SERVICE],
            drain_s=config.drain_s,
            engines=lambda: names,
            load=lambda: Load(servicer.slots.open, servicer.slots.most, threads.waiting),
        )
        await server.start()
        try:
            await server.ready()
            yield server
        finally:
            await server.stop()
    finally:
        await threads.close()


async def serve(config: Config) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        SystemExit: no engine can be loaded; the log says why.
    """
    sys.setswitchinterval(LOCK_S)
    listing = Listing(config.redis_url or "", config.advertised_address)
    await run(running(config), config.host, config.metrics_port, listing=listing)
