"""The persistence tier as its own process, on a real Redis and a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import psycopg
import pytest
from redis.asyncio import Redis

from mesh.stream import ALL_FACT_STREAMS, RECORD, fact_stream
from ovos.persistence.v1 import persistence_pb2 as pb
from ovos.persistence.v1 import persistence_pb2_grpc
from tests.records import item, one_of_each

ROOT = Path(__file__).parents[2]
ACME = {"timeout": 5, "metadata": [("x-tenant-id", "acme")]}

CLIENT = """
    import json, sys
    import grpc
    from ovos.persistence.v1 import persistence_pb2 as pb, persistence_pb2_grpc
    assert pb.__file__.startswith(sys.argv[2]), pb.__file__
    with grpc.insecure_channel(sys.argv[1]) as channel:
        stub = persistence_pb2_grpc.PersistenceServiceStub(channel)
        answer = stub.ListItems(
            pb.ListItemsRequest(conversation_id="conv_1"),
            timeout=30, metadata=[("x-tenant-id", "acme")])
    print(json.dumps([[pb.ItemRole.Name(item.role), item.text] for item in answer.items]))
"""


class Tier:
    """A running `python -m persistence`."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process, self.target = process, f"127.0.0.1:{port}"

    async def kill(self) -> None:
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        return await self._process.wait()


@asynccontextmanager
async def running(database_url: str, redis_url: str) -> AsyncIterator[Tier]:
    """The tier, once it is ready."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "persistence"),
        cwd=ROOT,
        env=environment(DATABASE_URL=database_url, REDIS_URL=redis_url),
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(30):
            port = 0
            while not port:
                line = json.loads(await process.stderr.readline())
                port = line["port"] if line["event"] == "ready" else 0
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(process.stderr.read(), name="its log")
            yield Tier(process, port)
            if process.returncode is None:
                process.kill()
            await process.wait()
            reading.cancel()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def environment(**changed: str) -> dict[str, str]:
    kept = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"}  # noqa: TID251 - what the child inherits
    return {
        **kept,
        "PERSISTENCE_PORT": "0",
        "PERSISTENCE_METRICS_PORT": "0",
        "PERSISTENCE_CLAIM_IDLE_S": "0.5",
        "PERSISTENCE_CLAIM_EVERY_S": "0.2",
        **changed,
    }


async def send(redis: Redis, *records: pb.Record) -> None:
    for record in records:
        await redis.xadd(
            fact_stream(record.session.session_id), {RECORD: record.SerializeToString()}
        )


async def stored_all(redis: Redis) -> None:
    async with asyncio.timeout(30):
        while sum([await redis.xlen(stream) for stream in ALL_FACT_STREAMS]):
            await asyncio.sleep(0.02)


@pytest.fixture
async def redis(streams_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(streams_url) as redis:
        yield redis


async def test_a_client_generated_from_the_protos_alone_lists_what_was_said(
    database_url, streams_url, redis, tmp_path
):
    protos = [str(path) for path in (ROOT / "proto").glob("ovos/**/*.proto")]
    outs = [f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}"]
    protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'proto'}", *outs, *protos]
    await asyncio.to_thread(subprocess.run, protoc, check=True)
    async with running(database_url, streams_url) as tier:
        await send(redis, *one_of_each())
        await stored_all(redis)
        client = [sys.executable, "-c", textwrap.dedent(CLIENT), tier.target, str(tmp_path)]
        listed = await asyncio.to_thread(
            subprocess.run,
            client,
            cwd=tmp_path,
            env={"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
    assert json.loads(listed.stdout) == [["ITEM_ROLE_USER", "What is the weather?"]]


async def test_killed_in_the_middle_and_started_again_it_has_stored_everything_once(
    database_url, streams_url, redis
):
    facts = [item(str(n), ordinal=n, session=f"sess_{n % 40}") for n in range(3000)]
    async with running(database_url, streams_url) as tier:
        await send(redis, *facts)
        await tier.kill()
    async with running(database_url, streams_url):
        await send(redis, *facts[:100])  # and a hundred of them a second time
        await stored_all(redis)
    with psycopg.connect(database_url) as database:
        assert database.execute("SELECT count(*) FROM records").fetchone() == (3000,)
        kept = database.execute("SELECT text FROM items ORDER BY ordinal").fetchall()
    assert kept == [(str(n),) for n in range(3000)]


async def test_both_servers_may_restart_while_it_runs(own_postgres, own_redis):
    async with (
        running(own_postgres.url, own_redis.url) as tier,
        Redis.from_url(own_redis.url) as redis,
        grpc.aio.insecure_channel(tier.target) as channel,
    ):
        await send(redis, item("one", ordinal=1))
        await stored_all(redis)
        own_postgres.stop()
        await send(redis, item("two", ordinal=2))
        own_postgres.start()
        await stored_all(redis)
        own_redis.stop()
        own_redis.start()
        async with Redis.from_url(own_redis.url) as again:
            await send(again, item("three", ordinal=3))
            await stored_all(again)
        stub = persistence_pb2_grpc.PersistenceServiceStub(channel)
        page = await stub.ListItems(pb.ListItemsRequest(conversation_id="conv_1"), **ACME)
    assert [found.text for found in page.items] == ["three", "two", "one"]


async def test_a_signal_ends_it_cleanly(database_url, streams_url):
    async with running(database_url, streams_url) as tier:
        assert await tier.stop() == 0


async def test_without_settings_it_names_them_and_ends():
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "persistence"),
        cwd=ROOT,
        env=environment(),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    assert said.decode().splitlines() == ["DATABASE_URL is not set", "REDIS_URL is not set"]
