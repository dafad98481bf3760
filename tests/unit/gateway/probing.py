"""A gateway as a process: when it lets clients in."""

from __future__ import annotations

import asyncio

import aiohttp


async def until_it_keeps_sessions(http: aiohttp.ClientSession, url: str) -> None:
    """Before it has heard of Redis, clients get 503."""
    async with asyncio.timeout(20):
        while not (await (await http.get(f"{url}/readyz")).json())["redis"]:
            await asyncio.sleep(0.01)
