import asyncio

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError, ResponseError

from mesh.redis import connect
from mesh.stream import ALL_FACT_STREAMS, FACT_SHARDS, RECORD, Entry, Group, fact_stream

STREAMS = ["ovos:facts:0", "ovos:facts:1"]
BLOCK_MS = 100


@pytest.fixture(params=["RESP2", "RESP3", "cluster", "cluster, RESP3"])
async def redis(request):
    """Both protocols: redis-py shapes their answers differently. The streams of a cluster lie
    on several nodes."""
    if "cluster" in request.param:
        url = request.getfixturevalue("cluster_fleet").url
    else:
        url = request.getfixturevalue("streams_url")
    protocol = 3 if "RESP3" in request.param else 2
    async with connect(f"{url}?protocol={protocol}", timeout_s=2) as redis:
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


async def test_where_one_shard_is_away_the_streams_of_others_are_read(cluster_fleet):
    away = cluster_fleet.primary_of(STREAMS[0])
    assert cluster_fleet.primary_of(STREAMS[1]) is not away
    async with connect(cluster_fleet.url) as redis:
        group = Group(redis, STREAMS, "persistence", "one")
        await group.create()
        away.kill()
        added = await add(redis, STREAMS[1], b"1")
        assert await group.read(10, BLOCK_MS) == added
        with pytest.raises(ConnectionError):
            await group.read(10, BLOCK_MS)
        await group.ack(added)


async def test_a_group_that_is_missing_on_one_shard_is_told(cluster_fleet):
    """It may have lost its data; who consumes makes the group anew."""
    async with connect(cluster_fleet.url) as redis:
        group = Group(redis, STREAMS, "persistence", "one")
        await group.create()
        await redis.delete(STREAMS[0])
        await add(redis, STREAMS[1], b"1")
        with pytest.raises(ResponseError, match="NOGROUP"):
            await group.read(10, BLOCK_MS)
