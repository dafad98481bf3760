import asyncio
import contextlib

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError, TimeoutError

from mesh.stream import ALL_FACT_STREAMS, FACT_SHARDS, RECORD, Entry, Group, connect, fact_stream

LIMIT_S = 5
STREAMS = ["ovos:facts:0", "ovos:facts:1"]
BLOCK_MS = 100


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
async def redis(request, streams_url):
    """Both protocols: redis-py shapes their answers differently."""
    async with connect(f"{streams_url}?protocol={request.param}", timeout_s=2) as redis:
        yield redis


@pytest.fixture
async def group(redis):
    group = Group(redis, STREAMS, "persistence", "one")
    await group.create()
    return group


async def add(redis: Redis, stream: str, *records: bytes) -> list[Entry]:
    ids = [await redis.xadd(stream, {RECORD: record}) for record in records]
    return [
        Entry(stream, entry_id.decode(), {RECORD: record})
        for entry_id, record in zip(ids, records, strict=True)
    ]


def other(redis: Redis) -> Group:
    return Group(redis, STREAMS, "persistence", "two")


def test_a_session_has_one_stream_and_sessions_are_spread():
    assert fact_stream("sess_1") == fact_stream("sess_1")
    streams = {fact_stream(f"sess_{n}") for n in range(200)}
    assert streams == set(ALL_FACT_STREAMS)
    assert len(ALL_FACT_STREAMS) == FACT_SHARDS


def test_the_stream_of_a_session_never_changes():
    """Facts of one session in two streams would lose their order."""
    assert fact_stream("sess_1") == "ovos:facts:11"


async def test_making_a_group_twice_keeps_what_it_knows(redis, group):
    await add(redis, STREAMS[0], b"1", b"2")
    [first] = await group.read(1, BLOCK_MS)
    await group.create()
    [second] = await group.read(1, BLOCK_MS)
    assert (first.fields[RECORD], second.fields[RECORD]) == (b"1", b"2")


async def test_a_new_group_begins_with_the_first_entry_there_is(redis):
    added = await add(redis, STREAMS[0], b"before")
    group = Group(redis, STREAMS, "late", "one")
    await group.create()
    assert await group.read(10, BLOCK_MS) == added


async def test_another_failure_to_make_a_group_is_told(redis):
    await redis.set(STREAMS[1], "not a stream")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await Group(redis, STREAMS, "persistence", "one").create()


async def test_entries_of_all_streams_come_in_the_order_of_each(redis, group):
    added = await add(redis, STREAMS[0], b"1", b"2") + await add(redis, STREAMS[1], b"3")
    entries = await group.read(10, BLOCK_MS)
    assert sorted(entries, key=lambda entry: entry.stream) == added


async def test_each_entry_goes_to_one_consumer(redis, group):
    await add(redis, STREAMS[0], b"1", b"2")
    mine = await group.read(1, BLOCK_MS)
    theirs = await other(redis).read(10, BLOCK_MS)
    assert [e.fields[RECORD] for e in mine + theirs] == [b"1", b"2"]
    assert await group.read(10, 1) == []


async def test_a_read_waits_for_an_entry(redis, group):
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(group.read(10, 1500), name="read")
        await asyncio.wait({reading}, timeout=0.05)
        assert not reading.done()
        added = await add(redis, STREAMS[1], b"1")
    assert reading.result() == added


async def test_what_is_acknowledged_is_deleted_and_does_not_come_again(redis, group):
    await add(redis, STREAMS[0], b"1", b"2")
    await add(redis, STREAMS[1], b"3")
    entries = await group.read(10, BLOCK_MS)
    await group.ack(entries)
    assert [await redis.xlen(stream) for stream in STREAMS] == [0, 0]
    for stream in STREAMS:
        assert (await redis.xpending(stream, "persistence"))["pending"] == 0
    assert await other(redis).claim(min_idle_ms=0) == []


async def test_acknowledging_nothing_is_fine(group):
    await group.ack([])


async def test_what_a_dead_consumer_had_is_taken_over(redis, group):
    added = await add(redis, STREAMS[0], b"1", b"2") + await add(redis, STREAMS[1], b"3")
    entries = await group.read(10, BLOCK_MS)
    await group.ack([e for e in entries if e.fields[RECORD] == b"1"])
    assert await other(redis).claim(min_idle_ms=60_000) == [], "it may live"
    assert await other(redis).claim(min_idle_ms=0) == added[1:]
    pending = await redis.xpending_range(STREAMS[0], "persistence", "-", "+", 10)
    assert [found["consumer"] for found in pending] == [b"two"]


async def test_entries_deleted_meanwhile_are_not_claimed(redis, group):
    first, second = await add(redis, STREAMS[0], b"1", b"2")
    await group.read(10, BLOCK_MS)
    await redis.xdel(STREAMS[0], first.id)
    assert await other(redis).claim(min_idle_ms=0) == [second]


@pytest.fixture
async def silent():
    """A server that takes connections and never answers; its port."""

    async def ignore(reader, writer):
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    async with await asyncio.start_server(ignore, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_a_redis_that_does_not_answer_is_not_waited_for(silent):
    async with connect(f"redis://127.0.0.1:{silent}/0", timeout_s=0.05) as redis:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(LIMIT_S / 2):  # the library's own patience is minutes
                await redis.ping()


async def test_a_busy_pool_makes_commands_wait_instead_of_fail(streams_url):
    async with connect(streams_url, timeout_s=2) as redis, asyncio.TaskGroup() as tasks:
        for n in range(100):
            tasks.create_task(redis.set(f"key:{n}", n), name="set")
    async with connect(streams_url, timeout_s=2) as redis:
        assert await redis.dbsize() == 100
