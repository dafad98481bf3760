from __future__ import annotations

import asyncio

import pytest

from mesh.redis import connect
from mesh.registration import address, listed
from mesh.registry import Registry


@pytest.mark.parametrize(
    ("host", "expected"),
    [("10.0.0.7", "10.0.0.7:8080"), ("::1", "[::1]:8080"), ("gw.example", "gw.example:8080")],
)
def test_the_host_is_what_it_listens_on(host, expected):
    assert address(host, 8080, "redis://127.0.0.1:6379/0") == expected


@pytest.mark.parametrize(
    "redis_url",
    [
        "redis://:pass%2Fword@127.0.0.1:6379/0",
        "redis://127.0.0.1",
        "redis+sentinel://127.0.0.1:26379,127.0.0.2:26379/mymaster/0",
        "redis+cluster://user:pass@127.0.0.1:7000,127.0.0.1:7001",
    ],
)
@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_who_listens_everywhere_is_reached_where_redis_reaches_it(redis_url, host):
    assert address(host, 8080, redis_url) == "127.0.0.1:8080"


def test_a_redis_nobody_knows_does_not_keep_us_from_starting():
    assert address("0.0.0.0", 8080, "unix:///run/redis.sock") == "127.0.0.1:8080"
    assert address("0.0.0.0", 8080, "redis://no.such.host.invalid:1") == "127.0.0.1:8080"


async def test_a_process_is_listed_while_it_has_something_to_say(streams_url):
    redis = connect(streams_url, timeout_s=2)
    workers = Registry(redis, "stt")
    says = {"address": "h:1"}
    async with asyncio.timeout(20):
        async with listed(streams_url, "stt", "w_1", lambda: says):
            while await workers.list() != {"w_1": says}:
                await asyncio.sleep(0.02)
            says = {}
            while await workers.list():
                await asyncio.sleep(0.02)
            says = {"address": "h:2"}
            while await workers.list() != {"w_1": says}:
                await asyncio.sleep(0.02)
        assert await workers.list() == {}
    await redis.aclose()
