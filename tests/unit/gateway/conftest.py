"""A gateway on loopback with fake backends."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway import app
from gateway.allowance import LocalAllowance, SameForAll
from gateway.config import Config
from gateway.recorder import Recorder
from ovos.persistence.v1 import persistence_pb2 as pb
from tests.client import RealtimeClient
from tests.fakes.backends import FakeBackends
from tests.fakes.secrets import FakeSecrets
from tests.fakes.store import MemoryStore, World
from tests.unit.gateway.going_on import Backends, Frozen, House
from tests.unit.gateway.keys import KEY, OTHER_KEY, keys_json


class ListRecorder(Recorder):
    """Keeps facts in a list instead of in Redis."""

    def __init__(self) -> None:
        self.records: list[pb.Record] = []

    def put(self, record: pb.Record) -> None:
        self.records.append(record)

    async def run(self) -> None:
        return

    async def flush(self, timeout_s: float) -> bool:
        return True


@pytest.fixture
def keys_file(tmp_path):
    file = tmp_path / "keys.json"
    file.write_text(keys_json({KEY: "acme", OTHER_KEY: "other"}))
    return file


@pytest.fixture
def backends():
    return FakeBackends()


@pytest.fixture
def recorder():
    return ListRecorder()


@pytest.fixture
def secrets():
    return FakeSecrets()


@pytest.fixture
def store():
    return MemoryStore(World(), "gw_1")


def allowance_of(config: Config) -> LocalAllowance:
    usual = SameForAll(config.requests_per_minute, config.tokens_per_minute)
    return LocalAllowance(usual, time.monotonic)


AT_ONCE = {"drain_s": 0.0}
"""Whoever is still there when a test ends is hung up on."""

Gateway = Callable[..., Awaitable[Any]]


@pytest.fixture
def gateway(aiohttp_client, keys_file, backends, recorder, secrets, store) -> Gateway:
    """Starts one with settings of its own; returns a client without credentials."""

    async def start(**settings: Any) -> Any:
        config = Config(keys_file=keys_file, **AT_ONCE | settings)
        parts = app.Parts(backends, recorder, secrets, store, allowance_of(config))
        return await aiohttp_client(app.build(config, parts))

    return start


@pytest.fixture
async def http(gateway):
    """A client of the gateway's HTTP side, without credentials."""
    return await gateway()


Connect = Callable[..., Awaitable[RealtimeClient]]


@pytest.fixture
def connect(http) -> Connect:
    async def connect(
        key: str | None = KEY, query: str = "model=gpt-realtime", **options: Any
    ) -> RealtimeClient:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        headers |= options.pop("headers", {})
        ws = await http.ws_connect(f"/v1/realtime?{query}", headers=headers, **options)
        return RealtimeClient(ws)

    return connect


@pytest.fixture
async def client(connect) -> RealtimeClient:
    """A client with an open session."""
    client = await connect()
    await client.until("session.created")
    return client


Open = Callable[..., Awaitable[House]]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def house(aiohttp_client, keys_file, recorder, secrets, world) -> Open:
    """Opens a gateway that shares its sessions with the others of the test."""

    async def open_house(name: str = "gw_1", **settings: Any) -> House:
        config = Config(keys_file=keys_file, **AT_ONCE | settings)
        store, backends = Frozen(world, name), Backends()
        parts = app.Parts(backends, recorder, secrets, store, allowance_of(config))
        return House(await aiohttp_client(app.build(config, parts)), store, backends)

    return open_house


@pytest.fixture
async def one(house) -> House:
    return await house("gw_1")


@pytest.fixture
async def two(house) -> House:
    return await house("gw_2")
