"""Redis away, for seconds: what sessions said meanwhile is stored, once and in order."""

from __future__ import annotations

import asyncio
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest

from gateway.facts import Facts
from gateway.realtime import effects as do
from gateway.realtime.items import InputText, Message
from gateway.recorder import Recorder
from gateway.sessions.store import Meta
from gateway.spool import Spool
from mesh.redis import connect
from mesh.stream import ALL_FACT_STREAMS, RECORD
from ovos.persistence.v1 import persistence_pb2 as pb
from persistence.config import Config
from persistence.consumer import READ_WAIT_MS, Consumer
from persistence.database import Database
from persistence.store import Store
from tests.redis_fleet import Fleet

ROOT = Path(__file__).parents[2]
SESSIONS = 20
META = Meta("acme", "hash", "gpt-realtime", 1_800_000_000, "conv_1")

# A gateway's recorder that is killed while Redis is away.
FIRST_LIFE = """
    import asyncio, sys
    from pathlib import Path
    from gateway.recorder import Recorder
    from gateway.spool import Spool
    from mesh.redis import connect
    from tests.e2e.test_spool import Crowd

    async def main():
        spool = Spool(Path(sys.argv[2]), 16 << 20)
        recorder = Recorder(connect(sys.argv[1]), spool)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(recorder.run(), name="recorder")
            crowd = Crowd(recorder)
            crowd.open()
            crowd.say(500)
            while spool.facts < crowd.told:
                await asyncio.sleep(0.01)
            print("spooled", flush=True)

    asyncio.run(main())
"""


class Crowd:
    """Sessions that say something in turn."""

    def __init__(self, recorder: Recorder) -> None:
        self._facts = [Facts.of(recorder, f"sess_{n}", _meta(n)) for n in range(SESSIONS)]
        self.said = 0
        self.told = 0

    def open(self) -> None:
        for facts in self._facts:
            facts.opened("gpt-realtime")
        self.told += 2 * SESSIONS

    def say(self, n: int) -> None:
        for number in range(self.said, self.said + n):
            text = f"number {number}"
            item = Message(f"item_{number}", "user", (InputText(text),))
            self._facts[number % SESSIONS].keep(do.ItemKept(item, text, number, 1, ""))
        self.said += n
        self.told += n

    def close(self, reason: str) -> None:
        for facts in self._facts:
            facts.closed(reason)


def _meta(n: int) -> Meta:
    return Meta("acme", "hash", "gpt-realtime", 1_800_000_000, f"conv_{n}")


@pytest.fixture
def spool_dir(tmp_path) -> Path:
    return tmp_path / "spool"


@asynccontextmanager
async def recording(url: str, spool: Spool) -> AsyncIterator[Recorder]:
    recorder = Recorder(connect(url), spool)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(recorder.run(), name="recorder")
        yield recorder
        task.cancel()


@asynccontextmanager
async def consuming(redis_url: str, database_url: str) -> AsyncIterator[None]:
    """The persistence tier's consumer."""
    async with Database(database_url, connections=2) as database:
        await database.migrate()
        redis = connect(redis_url, timeout_s=READ_WAIT_MS / 1000 + 1)
        config = Config(redis_url=redis_url, database_url=database_url)
        consumer = Consumer(redis, Store(database), config)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(consumer.run(), name="consumer")
            yield
            task.cancel()
        await redis.aclose()


def stored(database_url: str, query: str) -> list[tuple]:
    with psycopg.connect(database_url) as database:
        return database.execute(query.encode()).fetchall()


async def until_stored(database_url: str, query: str, wanted: int) -> None:
    async with asyncio.timeout(30):
        while stored(database_url, query) != [(wanted,)]:
            await asyncio.sleep(0.05)


def of_each_session(database_url: str) -> Iterator[list[int]]:
    """What each session said, in the order in which it was stored."""
    rows = stored(
        database_url,
        "SELECT session_id, item_id FROM records WHERE kind = 'item' ORDER BY stored_at, ctid",
    )
    for n in range(SESSIONS):
        yield [int(item_id[5:]) for session_id, item_id in rows if session_id == f"sess_{n}"]


async def test_what_is_said_while_redis_is_away_is_stored_in_order(
    own_redis, database_url, spool_dir
):
    spool = Spool(spool_dir, 16 << 20)
    async with (
        consuming(own_redis.url, database_url),
        recording(own_redis.url, spool) as recorder,
    ):
        crowd = Crowd(recorder)
        crowd.open()
        crowd.say(500)
        # What the consumer has in hand when Redis goes it gets again, later than newer facts.
        await until_stored(database_url, "SELECT count(*) FROM items", crowd.said)
        own_redis.stop()
        for _ in range(10):  # for two seconds and more
            before = spool.facts
            crowd.say(50)
            async with asyncio.timeout(10):
                while spool.facts < before + 50:
                    await asyncio.sleep(0.2)
        assert not recorder.is_well
        own_redis.start()
        crowd.say(500)
        assert await recorder.flush(timeout_s=20)
        crowd.close("client_left")
        await until_stored(database_url, "SELECT count(*) FROM items", crowd.said)
        await until_stored(database_url, "SELECT count(closed_at) FROM sessions", SESSIONS)
    for numbers in of_each_session(database_url):
        assert len(numbers) == crowd.said / SESSIONS
        assert all(earlier < later for earlier, later in pairwise(numbers))
    assert not list(spool_dir.rglob("*.v1"))


async def test_what_a_killed_process_had_on_its_spool_is_told_by_its_next_life(
    own_redis, database_url, spool_dir
):
    own_redis.stop()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", textwrap.dedent(FIRST_LIFE), own_redis.url, str(spool_dir)),
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        assert await process.stdout.readline() == b"spooled\n"
    process.kill()
    await process.wait()
    own_redis.start()
    async with (
        consuming(own_redis.url, database_url),
        recording(own_redis.url, Spool(spool_dir, 16 << 20)) as recorder,
    ):
        crowd = Crowd(recorder)
        crowd.open()  # the sessions were restored: what they opened with they tell again
        crowd.say(600)  # and so 500 facts come twice
        assert await recorder.flush(timeout_s=20)
        await until_stored(database_url, "SELECT count(*) FROM items", 600)
    assert stored(database_url, "SELECT count(*) FROM records") == [(600 + 2 * SESSIONS,)]
    for numbers in of_each_session(database_url):
        assert all(earlier < later for earlier, later in pairwise(numbers))


async def test_a_session_that_two_gateways_bury_ends_once(own_redis, database_url, tmp_path):
    async with (
        consuming(own_redis.url, database_url),
        recording(own_redis.url, Spool(tmp_path, 1 << 20)) as one,
        recording(own_redis.url, Spool(tmp_path, 1 << 20)) as other,
    ):
        for recorder in (one, other):
            Facts.of(recorder, "sess_1", META).closed("abandoned")
            assert await recorder.flush(timeout_s=10)
        Facts.of(one, "sess_2", META).closed("client_left")
        assert await one.flush(timeout_s=10)
        await until_stored(database_url, "SELECT count(*) FROM sessions", 2)
    ended = "SELECT session_id FROM records WHERE kind = 'session_closed' ORDER BY session_id"
    assert stored(database_url, ended) == [("sess_1",), ("sess_2",)]


@pytest.mark.parametrize("fleet", ["sentinel_fleet", "cluster_fleet"])
async def test_a_primary_that_dies_costs_no_fact(request, fleet, spool_dir):
    servers: Fleet = request.getfixturevalue(fleet)
    spool = Spool(spool_dir, 16 << 20)
    async with recording(servers.url, spool) as recorder:
        crowd = Crowd(recorder)
        crowd.open()
        assert await recorder.flush(timeout_s=10)
        await asyncio.to_thread(servers.primary_of(ALL_FACT_STREAMS[0]).kill)
        async with asyncio.timeout(30):
            while spool.is_empty:
                crowd.say(SESSIONS)
                await asyncio.sleep(0.05)
        crowd.say(1000)
        assert await recorder.flush(timeout_s=30)
        assert recorder.is_well
    in_streams = await said(servers.url)
    for n in range(SESSIONS):
        first_times = list(dict.fromkeys(in_streams[n]))
        assert first_times == list(range(n, crowd.said, SESSIONS))


async def said(url: str) -> dict[int, list[int]]:
    """What each session has said, as it lies in the streams."""
    found: dict[int, list[int]] = {}
    redis = connect(url)
    for stream in ALL_FACT_STREAMS:
        for _, fields in await redis.xrange(stream):
            record = pb.Record.FromString(fields[RECORD])
            if record.HasField("item"):
                session = int(record.session.session_id[5:])
                found.setdefault(session, []).append(record.item.ordinal)
    await redis.aclose()
    return found
