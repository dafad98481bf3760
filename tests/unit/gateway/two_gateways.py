"""Two gateways that share one store, on loopback, with fake backends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp.test_utils import TestClient

from gateway import app
from gateway.config import Config
from gateway.sessions.store import Store
from gateway.shared import GATEWAY, Gateway
from tests.client import WAIT_S, RealtimeClient
from tests.fakes.backends import FakeBackends
from tests.fakes.store import MemoryStore, World
from tests.unit.gateway.conftest import ListRecorder, allowance_of
from tests.unit.gateway.keys import KEY

BETA = {"OpenAI-Beta": "realtime=v1"}


def bearer(key: str = KEY) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


class Gateways:
    """`http` has a client of each; they are called gw_1 and gw_2."""

    def __init__(self, config: Config) -> None:
        self.config, self.world = config, World()
        self.backends, self.recorder = FakeBackends(), ListRecorder()
        self.http: list[TestClient[Any, Any]] = []

    async def start(self, aiohttp_client: Any, secrets: Any, store: Store | None = None) -> None:
        store = store or MemoryStore(self.world, f"gw_{len(self.http) + 1}")
        config, allowance = self.config, allowance_of(self.config)
        parts = app.Parts(self.backends, self.recorder, secrets, store, allowance)
        self.http.append(await aiohttp_client(app.build(config, parts)))
        await until(lambda: self.gateway(len(self.http)).keeper.is_well)

    def gateway(self, number: int) -> Gateway:
        return self.http[number - 1].app[GATEWAY]

    async def connect(
        self, number: int, query: str = "model=gpt-realtime", key: str = KEY, **headers: str
    ) -> RealtimeClient:
        """A client of gateway `number`."""
        headers = {**bearer(key), **headers}
        url = f"/v1/realtime?{query}"
        return RealtimeClient(await self.http[number - 1].ws_connect(url, headers=headers))

    async def opened(self, number: int = 1, **headers: str) -> tuple[RealtimeClient, str]:
        """A client with a session, and its id."""
        client = await self.connect(number, **headers)
        created = await client.next()
        return client, created["session"]["id"]


async def until(happened: Callable[[], bool]) -> None:
    """Look until it has."""
    async with asyncio.timeout(WAIT_S):
        while not happened():
            await asyncio.sleep(0.005)
