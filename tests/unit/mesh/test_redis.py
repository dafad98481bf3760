import asyncio
import contextlib
import time

import pytest
from redis.asyncio import BlockingConnectionPool
from redis.exceptions import RedisError, TimeoutError

from mesh.redis import Command, Url, connect, each, is_cluster

LIMIT_S = 30
RESUMES_S = 10
HOSTS = "one.example,two.example:7000,[::1]:7001"


def hosts_of(nodes):
    return [(node.host, node.port) for node in nodes]


def settings_of(redis):
    return redis.connection_pool.connection_kwargs


async def test_a_single_node():
    redis = connect("redis://ann:pa%40ss@one.example/3?protocol=3")
    found = settings_of(redis)
    assert (found["host"], found["port"], found["db"]) == ("one.example", 6379, 3)
    assert (found["username"], found["password"], found["protocol"]) == ("ann", "pa@ss", 3)
    assert found["socket_timeout"] == found["socket_connect_timeout"] == 0.25
    assert isinstance(redis.connection_pool, BlockingConnectionPool)
    assert not is_cluster(redis)


async def test_a_primary_that_sentinels_watch():
    redis = connect(f"redis+sentinel://:secret@{HOSTS}/mesh/2?sentinel_password=other")
    pool = redis.connection_pool
    assert (pool.service_name, settings_of(redis)["db"]) == ("mesh", 2)
    assert settings_of(redis)["password"] == "secret"
    assert isinstance(pool, BlockingConnectionPool)
    asked = [
        sentinel.connection_pool.connection_kwargs for sentinel in pool.sentinel_manager.sentinels
    ]
    assert [(a["host"], a["port"]) for a in asked] == [
        ("one.example", 26379), ("two.example", 7000), ("::1", 7001)
    ]  # fmt: skip
    assert {a["password"] for a in asked} == {"other"}
    assert {a["socket_timeout"] for a in asked} == {0.25}
    assert {a["retry"].get_retries() for a in asked} == {0}


async def test_a_cluster():
    redis = connect(f"redis+cluster://ann:secret@{HOSTS}", timeout_s=2)
    assert is_cluster(redis)
    assert hosts_of(redis.startup_nodes) == [
        ("one.example", 6379), ("two.example", 7000), ("::1", 7001)
    ]  # fmt: skip
    found = redis.connection_kwargs
    assert (found["username"], found["password"], found["socket_timeout"]) == ("ann", "secret", 2)
    assert redis.nodes_manager.require_full_coverage is False


@pytest.mark.parametrize("form", ["rediss://h", "rediss+sentinel://h/mesh", "rediss+cluster://h"])
async def test_over_tls(form):
    redis = connect(f"{form}?ssl_check_hostname=false")
    if is_cluster(redis):
        [connection] = [node.acquire_connection() for node in redis.startup_nodes]
    else:
        connection = redis.connection_pool.make_connection()
    assert "SSL" in type(connection).__name__
    assert not connection.ssl_context.check_hostname


@pytest.mark.parametrize(
    "url",
    [
        "",
        "one.example:6379",
        "http://:pass@one.example",
        "redis://",
        "redis://:pass@one.example:port/0",
        "redis://:pass@one.example/zero",
        "redis://:pass@one.example/0/1",
        "redis://:pass@one.example,two.example",
        "redis://:pass@one.example?no_such_option=1",
        "redis://:pass@one.example?protocol",
        "redis+sentinel://:pass@one.example",
        "redis+sentinel://:pass@one.example/mesh/-1",
        "redis+cluster://:pass@one.example/1",
        "redis+cluster://:pass@one.example,/",
        "redis+cluster://:pass@one.example:99999",
        "redis+ring://:pass@one.example",
    ],
)
def test_what_is_no_url_of_a_redis_is_told_without_the_password(url):
    for refuse in (connect, Url):
        with pytest.raises(ValueError, match=r"redis\+sentinel://.*redis\+cluster://") as raised:
            refuse(url)
        assert "pass@" not in str(raised.value)
        assert raised.value.__cause__ is None
        assert raised.value.__context__ is None


def test_a_setting_keeps_what_was_written():
    assert Url("redis://one.example") == "redis://one.example"


@pytest.fixture
async def silent():
    """A server that takes connections and never answers; its port."""

    async def ignore(reader, writer):
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    async with await asyncio.start_server(ignore, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("form", ["redis://{}", "redis+sentinel://{}/mesh", "redis+cluster://{}"])
async def test_a_redis_that_does_not_answer_is_not_waited_for(silent, form):
    async with connect(form.format(f"127.0.0.1:{silent}"), timeout_s=0.05) as redis:
        with pytest.raises(RedisError):
            async with asyncio.timeout(LIMIT_S / 2):  # the library's own patience is minutes
                await redis.set("key", "value")


async def test_that_it_took_too_long_is_said_so(silent):
    async with connect(f"redis://127.0.0.1:{silent}", timeout_s=0.05) as redis:
        with pytest.raises(TimeoutError):
            await redis.ping()


async def test_a_busy_pool_makes_commands_wait_instead_of_fail(streams_url):
    async with connect(streams_url, timeout_s=2) as redis, asyncio.TaskGroup() as tasks:
        for n in range(100):
            tasks.create_task(redis.set(f"key:{n}", n), name="set")
    async with connect(streams_url, timeout_s=2) as redis:
        assert await redis.dbsize() == 100


async def test_each_command_has_its_own_answer(streams_url):
    async with connect(streams_url) as redis:
        commands = [("SET", "a", 1), ("LPUSH", "a", 2), ("GET", "a")]
        taken, refused, found = await each(redis, [Command("a", args) for args in commands])
    assert (bool(taken), found) == (True, b"1")
    assert "WRONGTYPE" in str(refused)


@pytest.mark.parametrize("how", ["kill", "hang"])
@pytest.mark.parametrize("kind", ["sentinel_fleet", "cluster_fleet"])
async def test_writes_go_on_when_a_primary_is_gone(request, kind, how):
    fleet = request.getfixturevalue(kind)
    async with connect(fleet.url) as redis:
        await redis.set("key", "before")
        former = fleet.primary_of("key")
        started_s = time.monotonic()
        getattr(former, how)()
        async with asyncio.timeout(RESUMES_S):
            while not await _is_set(redis, "key", "after"):
                await asyncio.sleep(0.02)
        took_s = time.monotonic() - started_s
        print(f"{kind}, {how}: writes resumed after {took_s:.1f} s")  # noqa: T201 - to be read with -s
        assert fleet.primary_of("key") is not former
        assert await redis.get("key") == b"after"


async def test_a_former_primary_that_wakes_up_is_not_written_to(sentinel_fleet):
    async with connect(sentinel_fleet.url) as redis:
        async with asyncio.TaskGroup() as tasks:  # several connections
            for n in range(8):
                tasks.create_task(redis.set(f"key:{n}", "before"), name="set")
        former = sentinel_fleet.primary_of("key")
        former.hang()
        async with asyncio.timeout(RESUMES_S):
            while not await _is_set(redis, "key", "after"):
                await asyncio.sleep(0.02)
        former.wake()
        async with asyncio.TaskGroup() as tasks:
            for n in range(8):
                tasks.create_task(redis.set(f"key:{n}", "after"), name="set")
    new = sentinel_fleet.primary_of("key")
    assert new is not former
    assert [new.ask("GET", f"key:{n}") for n in range(8)] == [b"after"] * 8


async def _is_set(redis, key, value):
    try:
        return bool(await redis.set(key, value))
    except (RedisError, OSError):
        return False
