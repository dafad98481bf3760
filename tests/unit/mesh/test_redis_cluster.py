import asyncio
import time

import pytest
from redis.exceptions import ConnectionError, RedisError

from mesh.redis import Command, connect, each
from tests.ports import free_ports

LIMIT_S = 30
KEYS = [f"key:{n}" for n in range(30)]


@pytest.fixture
async def redis(cluster_fleet):
    async with connect(cluster_fleet.url) as redis:
        yield redis


def sets(value):
    return [Command(key, ("SET", key, value)) for key in KEYS]


async def test_commands_go_to_where_their_slots_are(redis, cluster_fleet):
    assert len({cluster_fleet.primary_of(key).port for key in KEYS}) == 3
    assert all(await each(redis, sets("1")))
    assert await each(redis, [Command(key, ("GET", key)) for key in KEYS]) == [b"1"] * 30
    assert await each(redis, []) == []


async def test_a_refusal_is_the_answer_of_one(redis):
    await redis.set(KEYS[0], "no list")
    answers = await each(redis, [Command(key, ("RPUSH", key, 1)) for key in KEYS])
    assert "WRONGTYPE" in str(answers[0])
    assert answers[1:] == [1] * 29


async def test_slots_that_moved_are_found(redis, cluster_fleet):
    """A planned failover: nobody died, so only the answers tell."""
    await each(redis, sets("1"))
    former = cluster_fleet.primary_of(KEYS[0])
    [heir] = [node for node in cluster_fleet.nodes if _follows(node, former)]
    heir.ask("CLUSTER", "FAILOVER")
    async with asyncio.timeout(LIMIT_S):
        while cluster_fleet.primary_of(KEYS[0]) is former or former.role() == "master":
            await asyncio.sleep(0.01)
        while any(isinstance(answer, Exception) for answer in await each(redis, sets("2"))):
            await asyncio.sleep(0.01)  # the other nodes hear of it by and by
    assert heir.ask("GET", KEYS[0]) == b"2"


def _follows(node, primary):
    info = node.ask("INFO", "replication")
    return info["role"] == "slave" and info["master_port"] == primary.port


async def test_slots_on_their_way_are_asked_for(redis, cluster_fleet):
    """As in a reshard: of the slot's keys, some are here and some there."""
    source, target = cluster_fleet.primary_of("{a}"), cluster_fleet.primary_of("{b}")
    assert source is not target
    slot = source.ask("CLUSTER KEYSLOT", "{a}")
    await redis.set("{a}:here", "1")
    names = [node.ask("CLUSTER", "MYID").decode() for node in (source, target)]
    target.ask("CLUSTER SETSLOT", slot, "IMPORTING", names[0])
    source.ask("CLUSTER SETSLOT", slot, "MIGRATING", names[1])
    try:
        commands = [Command(key, ("SET", key, "2")) for key in ("{a}:here", "{a}:there", "{b}")]
        assert all(answer is True or answer == b"OK" for answer in await each(redis, commands))
    finally:
        source.ask("CLUSTER SETSLOT", slot, "STABLE")
        target.ask("FLUSHALL")
        target.ask("CLUSTER SETSLOT", slot, "STABLE")


async def test_a_node_that_hangs_holds_up_the_others_once(redis, cluster_fleet):
    await each(redis, sets("1"))
    away = cluster_fleet.primary_of(KEYS[0])
    away.hang()
    await each(redis, sets("2"))
    took_s, said = [], []
    for _ in range(3):
        started_s = time.monotonic()
        said.append(dict(zip(KEYS, await each(redis, sets("3")), strict=True)))
        took_s.append(time.monotonic() - started_s)
    answers = said[0]
    away.wake()
    assert min(took_s) < 0.2, "less than a command may take"
    assert isinstance(answers[KEYS[0]], ConnectionError)
    assert sum(not isinstance(answer, Exception) for answer in answers.values()) > 10


async def test_no_node_at_all_is_a_redis_error():
    """redis-py has one here that is none."""
    [port] = free_ports(1)
    async with connect(f"redis+cluster://127.0.0.1:{port}") as redis:
        with pytest.raises(RedisError):
            await redis.set("key", "value")
        with pytest.raises(RedisError):
            await each(redis, sets("1"))


async def test_more_commands_than_connections_wait(redis):
    async with asyncio.TaskGroup() as tasks:
        for n in range(300):
            tasks.create_task(redis.set("key", n), name="set")
