"""The tier put together: when it says that it serves, and how it ends."""

import asyncio
import dataclasses
import logging
from contextlib import asynccontextmanager

import grpc
import psycopg
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mesh.stream import RECORD, connect, fact_stream
from ovos.persistence.v1 import persistence_pb2 as pb
from ovos.persistence.v1 import persistence_pb2_grpc
from persistence import app
from persistence.config import Config
from tests.records import item

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def settings(database_url, redis_url, **changed):
    values = {"port": 0, "metrics_port": 0, "batch_wait_ms": 5, "unhealthy_s": 0.2, **changed}
    return Config(database_url=database_url, redis_url=redis_url, **values)


@asynccontextmanager
async def running(config):
    """A channel to the tier, which listens but need not be ready."""
    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()

    async def until(server):
        listening.set_result(server.port)
        await stop.wait()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(app.serve(config, until=until), name="tier")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{await listening}") as channel:
            yield channel
            stop.set()


async def becomes(channel, status):
    """Wait until health says so."""
    call = health_pb2_grpc.HealthStub(channel).Watch(
        health_pb2.HealthCheckRequest(service=app.SERVICE)
    )
    try:
        async with asyncio.timeout(15):
            async for response in call:
                if response.status == status:
                    return
    finally:
        call.cancel()


async def test_facts_from_the_stream_come_back_over_grpc(database_url, streams_url):
    async with running(settings(database_url, streams_url)) as channel:
        await becomes(channel, SERVING)
        redis = connect(streams_url)
        await redis.xadd(fact_stream("sess_1"), {RECORD: item("Hello.").SerializeToString()})
        stub = persistence_pb2_grpc.PersistenceServiceStub(channel)
        acme = {"timeout": 5, "metadata": [("x-tenant-id", "acme")]}
        async with asyncio.timeout(10):
            while not (
                await stub.ListConversations(pb.ListConversationsRequest(), **acme)
            ).conversations:
                await asyncio.sleep(0.01)
        page = await stub.ListItems(pb.ListItemsRequest(conversation_id="conv_1"), **acme)
        assert [found.text for found in page.items] == ["Hello."]
        await redis.aclose()


async def test_it_waits_for_postgres_and_serves_once_it_is_there(own_postgres, streams_url, caplog):
    own_postgres.stop()
    async with running(settings(own_postgres.url, streams_url)) as channel:
        await becomes(channel, NOT_SERVING)
        own_postgres.start()
        await becomes(channel, SERVING)
    assert "postgres is away" in caplog.text


async def test_it_waits_for_redis_and_serves_once_it_is_there(database_url, own_redis):
    own_redis.stop()
    async with running(settings(database_url, own_redis.url)) as channel:
        await becomes(channel, NOT_SERVING)
        own_redis.start()
        await becomes(channel, SERVING)


async def test_a_long_outage_of_postgres_ends_serving_and_its_return_brings_it_back(
    own_postgres, streams_url
):
    async with running(settings(own_postgres.url, streams_url)) as channel:
        await becomes(channel, SERVING)
        own_postgres.stop()
        await becomes(channel, NOT_SERVING)
        own_postgres.start()
        await becomes(channel, SERVING)


async def test_a_database_that_cannot_be_migrated_ends_the_process_with_the_reason(
    database_url, streams_url, caplog
):
    config = settings(database_url, streams_url)
    async with running(config) as channel:
        await becomes(channel, SERVING)
    with psycopg.connect(database_url) as database:
        database.execute("UPDATE schema_migrations SET checksum = 'another' WHERE number = 1")
    never = asyncio.Event()

    async def until(_):
        await never.wait()

    with pytest.raises(SystemExit):
        await app.serve(config, until=until)
    assert "make a new migration" in str(
        [vars(line) for line in caplog.records if line.levelno == logging.CRITICAL]
    )


async def test_a_metrics_port_in_use_is_an_error_that_names_it(database_url, streams_url):
    config = settings(database_url, streams_url)
    with pytest.raises(OSError, match="metrics port"):
        await app.serve(dataclasses.replace(config, metrics_port=1, host="192.0.2.1"))
