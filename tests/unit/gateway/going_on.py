"""Gateways that share what is kept of sessions, and clients that go from one to another."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec

from gateway.connection import Connection
from gateway.realtime import signals as sig
from gateway.realtime.effects import StartReply
from gateway.sessions.journal import Mark
from gateway.shared import GATEWAY
from tests import wire
from tests.client import RealtimeClient
from tests.fakes.backends import FakeBackends, FakeSpeech
from tests.fakes.store import MemoryStore, World
from tests.unit.gateway.keys import KEY

WAIT_S = 30.0  # far above what anything takes
WORD_BYTES = 12_000
"""PCM of one word of FakeSpeech, a quarter of a second."""

Start = Callable[..., Awaitable[Any]]


class Frozen(MemoryStore):
    """A store whose gateway can be stopped: what it asks is not answered any more."""

    def __init__(self, world: World, gateway_id: str, ttl_s: float = 30.0) -> None:
        super().__init__(world, gateway_id, ttl_s)
        self.is_frozen = False

    async def write(self, writes: Any) -> Any:
        await self._stop()
        return await super().write(writes)

    async def mark(self, marks: Any) -> None:
        await self._stop()
        await super().mark(marks)

    async def beat(self, session_ids: Iterable[str]) -> None:
        await self._stop()
        await super().beat(session_ids)

    async def ping(self) -> None:
        await self._stop()
        await super().ping()

    async def _stop(self) -> None:
        if self.is_frozen:
            await asyncio.Event().wait()


class Speech(FakeSpeech):
    """Each word is a piece of its own: speech can go on behind any of them."""

    async def __aiter__(self) -> AsyncIterator[Any]:
        async for sound in super().__aiter__():
            if isinstance(sound, sig.ReplyTiming):
                yield sig.ReplyTiming(sound.response_id, sound.words, sound.words[-1])
            else:
                yield sound


class Backends(FakeBackends):
    """Writes what is left of a reply that was begun, as the language tier does."""

    @asynccontextmanager
    async def think(self, start: StartReply) -> AsyncIterator[Any]:
        whole = self.answer
        if start.begun is not None:
            rest = "".join(whole).removeprefix(start.begun.text)
            self.answer = tuple(re.findall(r"\S+\s*", rest))
        try:
            async with super().think(start) as thoughts:
                yield thoughts
        finally:
            self.answer = whole

    @asynccontextmanager
    async def speak(self, start: StartReply) -> AsyncIterator[Speech]:
        self.spoken.append(start)
        self.open_streams += 1
        try:
            yield Speech(start, self)
        finally:
            self.open_streams -= 1


class House:
    """One gateway: its HTTP side, its store, its backends."""

    def __init__(self, http: Any, store: Frozen, backends: Backends) -> None:
        self.http, self.store, self.backends = http, store, backends

    @property
    def gateway(self) -> Any:
        return self.http.app[GATEWAY]

    def connection(self, session_id: str) -> Connection:
        found: Connection = self.gateway.live[session_id]
        return found

    async def until_gone(self, session_id: str) -> None:
        """The session is not served here any more."""
        await until(lambda: session_id not in self.gateway.live)

    async def client(
        self, query: str = "model=gpt-realtime", key: str = KEY, **headers: str
    ) -> RealtimeClient:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers["Authorization"] = f"Bearer {key}"
        ws = await self.http.ws_connect(f"/v1/realtime?{query}", headers=headers)
        return RealtimeClient(ws)

    async def new(self, query: str = "model=gpt-realtime") -> tuple[RealtimeClient, str]:
        """A client with a new session, and the session's id."""
        client = await self.client(query)
        created = await client.until("session.created")
        return client, created["session"]["id"]

    async def resumed(self, session_id: str, more: str = "") -> RealtimeClient:
        """A client that goes on with a session."""
        client = await self.client(f"session_id={session_id}{more}")
        created = await client.next()
        assert (created["type"], created["session"]["id"]) == ("session.created", session_id)
        return client

    async def kill(self, session_id: str, client: RealtimeClient) -> None:
        """Nothing that this gateway does is heard of any more. The client reads what was on its
        way."""
        self.store.is_frozen = True
        self.connection(session_id).hang_up()
        await rest(client)


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not holds():
            await asyncio.sleep(0.001)


async def rest(client: RealtimeClient) -> tuple[int | None, str]:
    """Read until the connection ends: its code and reason."""
    async with asyncio.timeout(WAIT_S):
        while (message := await client._ws.receive()).type is aiohttp.WSMsgType.TEXT:
            client.got.append(wire.check(json.loads(message.data)))
    code = message.data if message.type is aiohttp.WSMsgType.CLOSE else None
    return code, message.extra or ""


def break_off(client: RealtimeClient) -> None:
    """The client's machine is gone."""
    connection = client._ws._response.connection
    assert connection is not None
    connection.transport.abort()


def mark_of(house: House, session_id: str) -> Mark | None:
    """What the store knows of where the session is."""
    found = house.store.world.marks.get((house.store.gateway_id, session_id))
    return msgspec.msgpack.decode(found[1], type=Mark) if found else None


def words(*clients: RealtimeClient) -> str:
    """What the clients were told of the reply, together."""
    kinds = ("response.output_audio_transcript.delta", "response.output_text.delta")
    return "".join(e["delta"] for c in clients for e in c.got if e["type"] in kinds)


def is_fact(record: Any, kind: str) -> bool:
    return bool(record.WhichOneof("body") == kind)
