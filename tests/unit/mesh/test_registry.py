"""The list of who runs, on a real Redis."""

from __future__ import annotations

import asyncio
import time

import pytest
import redis as blocking
from redis.asyncio import Redis

from mesh import registry
from mesh.redis import connect
from mesh.registry import Registry
from tests.ports import free_ports


@pytest.fixture
async def redis(streams_url):
    redis = connect(streams_url, timeout_s=2)
    yield redis
    await redis.aclose()


@pytest.fixture
def gateways(redis):
    return Registry(redis, "gateways")


async def eventually(asked, expected):
    async with asyncio.timeout(10):
        while await asked() != expected:
            await asyncio.sleep(0.02)


async def test_who_registers_is_listed_with_its_fields_until_it_leaves(gateways):
    await gateways.register("b", {"address": "h:2", "pid": "2"})
    await gateways.register("a", {"address": "h:1"})
    assert await gateways.list() == {"a": {"address": "h:1"}, "b": {"address": "h:2", "pid": "2"}}
    await gateways.leave("b")
    assert list(await gateways.list()) == ["a"]


async def test_new_fields_replace_the_old_ones(gateways):
    await gateways.register("a", {"load": "1", "draining": "yes"})
    await gateways.register("a", {"load": "2"})
    assert await gateways.list() == {"a": {"load": "2"}}


async def test_kinds_are_lists_of_their_own(redis, gateways):
    workers = Registry(redis, "workers")
    await workers.register("a", {"engine": "x"})
    assert await gateways.list() == {}
    assert list(await workers.list()) == ["a"]


async def test_who_says_nothing_is_listed_no_longer(redis):
    gateways = Registry(redis, "gateways", lives_s=0.3)
    began = time.monotonic()
    await gateways.register("a", {"address": "h:1"})
    assert list(await gateways.list()) == ["a"]
    await eventually(gateways.list, {})
    assert time.monotonic() - began >= 0.3


async def test_nothing_of_the_dead_stays_in_redis(redis):
    short = Registry(redis, "gateways", lives_s=0.1)
    await short.register("dead", {"address": "h:1"})
    await eventually(short.list, {})
    await Registry(redis, "gateways").register("alive", {"address": "h:2"})
    assert sorted(await redis.keys()) == [b"ovos:{gateways}", b"ovos:{gateways}:alive"]
    assert await redis.zcard("ovos:{gateways}") == 1


async def test_all_keys_of_a_kind_are_in_one_slot_of_a_cluster(redis, gateways):
    await gateways.register("a", {"address": "h:1"})
    tags = {key.split(b"{")[1].split(b"}")[0] for key in await redis.keys()}
    assert tags == {b"gateways"}


async def test_it_is_kept_listed_beyond_its_life_and_leaves_at_once(redis):
    gateways = Registry(redis, "gateways", lives_s=0.2)
    fields = iter(range(1000))
    async with asyncio.TaskGroup() as tasks:
        kept = tasks.create_task(
            registry.keep(gateways, "a", lambda: {"n": str(next(fields))}, every_s=0.05)
        )
        async with asyncio.timeout(10):
            while int((await gateways.list()).get("a", {"n": "0"})["n"]) < 20:
                await asyncio.sleep(0.02)
        kept.cancel()
        await asyncio.wait({kept})
        assert await gateways.list() == {}


async def test_it_is_listed_again_when_redis_is_back(own_redis):
    redis = connect(own_redis.url)
    gateways = Registry(redis, "gateways")
    async with asyncio.TaskGroup() as tasks:
        kept = tasks.create_task(
            registry.keep(gateways, "a", lambda: {"address": "h:1"}, every_s=0.05)
        )
        await eventually(gateways.list, {"a": {"address": "h:1"}})
        own_redis.stop()
        with pytest.raises((blocking.RedisError, OSError)):
            await gateways.list()
        own_redis.start()
        await redis.flushall()
        await eventually(gateways.list, {"a": {"address": "h:1"}})
        kept.cancel()
    await redis.aclose()


async def test_leaving_does_not_wait_for_a_redis_that_is_away():
    [port] = free_ports(1)
    nobody = Redis.from_url(f"redis://127.0.0.1:{port}")
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        kept = tasks.create_task(registry.keep(Registry(nobody, "x"), "a", dict))
        await asyncio.sleep(0)
        kept.cancel()
    await nobody.aclose()


async def test_who_has_nothing_to_say_is_not_listed_and_comes_back(gateways):
    says = {"address": "h:1"}
    async with asyncio.TaskGroup() as tasks:
        kept = tasks.create_task(registry.keep(gateways, "a", lambda: says, every_s=0.05))
        await eventually(gateways.list, {"a": {"address": "h:1"}})
        says = {}
        await eventually(gateways.list, {})
        says = {"address": "h:2"}
        await eventually(gateways.list, {"a": {"address": "h:2"}})
        kept.cancel()
