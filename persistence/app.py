"""Puts the persistence tier together. The only file that knows all its parts."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from redis.asyncio import Redis
from redis.exceptions import RedisError

from mesh import metrics as metrics_port
from mesh.errors import Unavailable
from mesh.serve import Server, until_stopped
from mesh.stream import connect
from ovos.persistence.v1 import persistence_pb2_grpc
from persistence import metrics
from persistence.config import Config
from persistence.consumer import READ_WAIT_MS, Consumer
from persistence.database import Database
from persistence.health import Readiness
from persistence.intake import Buffered, Committed
from persistence.migrations import MigrationError
from persistence.patience import patiently
from persistence.servicer import PersistenceServicer
from persistence.store import Store

SERVICE = "ovos.persistence.v1.PersistenceService"
CHECK_EVERY_S = 1.0
_REDIS_S = 2.0  # of one command; nobody is on the line for these

log = logging.getLogger(__name__)


async def serve(
    config: Config, *, until: Callable[[Server], Awaitable[None]] = until_stopped
) -> None:
    """Serve until a signal comes. PostgreSQL and Redis may come later, go and come back.

    Args:
        until: What to wait for instead of a signal; given the server once it listens. For
            tests.

    Raises:
        SystemExit: the database cannot be brought to this version; the log says why.
    """
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # each attempt is a warning to it
    redis = connect(config.redis_url, timeout_s=_REDIS_S)
    reader = connect(config.redis_url, timeout_s=_REDIS_S + READ_WAIT_MS / 1000)
    unfit: ExceptionGroup[MigrationError] | None = None
    try:
        async with (
            metrics_port.serving(config.host, config.metrics_port),
            Database(
                config.database_url,
                connections=config.database_connections,
                statement_s=config.statement_s,
            ) as database,
        ):
            store = Store(database)
            server = _server(config, store, redis)
            consumer = Consumer(reader, store, config)
            await server.start()
            try:
                async with asyncio.TaskGroup() as tasks:
                    work = tasks.create_task(_work(config, server, database, consumer), name="work")
                    await until(server)
                    work.cancel()
            finally:
                await server.stop()
    except* MigrationError as errors:
        unfit = errors
    finally:
        await redis.aclose()
        await reader.aclose()
    if unfit:  # out here, where it is not wrapped in another group
        log.critical("cannot migrate", extra={"error": str(unfit.exceptions[0])})
        raise SystemExit(1)


def _server(config: Config, store: Store, redis: Redis) -> Server:
    servicer = PersistenceServicer(store, buffered=Buffered(redis), committed=Committed(store))
    return Server(
        "persistence",
        config.host,
        config.port,
        add=lambda server: persistence_pb2_grpc.add_PersistenceServiceServicer_to_server(
            servicer, server
        ),
        services=[SERVICE],
        max_rpcs=config.max_rpcs,
        drain_s=config.drain_s,
        load=servicer.load,
    )


async def _work(config: Config, server: Server, database: Database, consumer: Consumer) -> None:
    """Migrate, then consume and say how it is."""
    await patiently(database.migrate, away=(Unavailable,), what="postgres")
    await patiently(consumer.join, away=(RedisError, OSError), what="redis")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(consumer.run(), name="consume")
        tasks.create_task(_watch(config, server, database), name="watch")


async def _watch(config: Config, server: Server, database: Database) -> None:
    """Keep health as PostgreSQL is."""
    readiness = Readiness(config.unhealthy_s)
    serving = False
    while not server.draining.is_set():
        answers = await database.answers()
        metrics.POSTGRES_UP.set(answers)
        if readiness.tell(time.monotonic(), answers) != serving:
            serving = not serving
            if not serving:
                log.error("postgres is away; not serving")
            await (server.ready() if serving else server.unready())
        await asyncio.sleep(CHECK_EVERY_S)
