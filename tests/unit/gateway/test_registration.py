from __future__ import annotations

import asyncio
import os
import re

from gateway.registration import KIND, listed
from mesh.redis import connect
from mesh.registry import Registry
from tests.ports import free_ports


async def test_a_process_is_listed_until_it_drains(streams_url):
    redis = connect(streams_url, timeout_s=2)
    gateways = Registry(redis, KIND)
    async with asyncio.timeout(10):
        async with listed(streams_url, "gw_1", "127.0.0.1", 8081):
            while not (found := await gateways.list()):
                await asyncio.sleep(0.02)
            assert found["gw_1"].keys() == {"address", "pid", "started_at"}
            assert found["gw_1"]["address"] == "127.0.0.1:8081"
            assert found["gw_1"]["pid"] == str(os.getpid())
            assert re.fullmatch(r"\d+\.\d{3}", found["gw_1"]["started_at"])
        assert await gateways.list() == {}
    await redis.aclose()


async def test_without_redis_it_serves_unlisted():
    [port] = free_ports(1)
    async with asyncio.timeout(10), listed(f"redis://127.0.0.1:{port}", "gw_1", "127.0.0.1", 1):
        await asyncio.sleep(0)
