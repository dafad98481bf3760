"""Delivery over a real socket, to a client that does not read for a while."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway import delivery
from gateway.delivery import Delivery
from gateway.outbox import Parcel, SlowClient
from gateway.realtime.dialects import Ga
from gateway.realtime.server_events import AudioDelta

AUDIO = AudioDelta("resp_1", "item_1", 0, 0, bytes(960))
FRAMES = 1000  # a megabyte: more than lies between two sockets
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class Kept:
    """A session of which everything is kept, and its sidebands."""

    def has(self, after: int) -> bool:
        return True

    async def until(self, after: int) -> None:
        pass

    def was_sent(self, seq: int, event: object = None, played: int = 0) -> None:
        pass

    def tell(self, event, ids, to) -> None:
        pass


async def send_all(sending: Delivery, stalls: asyncio.Event) -> None:
    for n in range(FRAMES):
        parcel = Parcel(AUDIO, f"event_{n}")
        if not sending.sent(parcel):
            stalls.set()
            await sending.send(parcel)


@asynccontextmanager
async def talking(stalls: asyncio.Event):
    """A client that has not read anything yet; what became of the frames it is sent."""
    outcome = asyncio.get_running_loop().create_future()

    async def talk(request):
        ws = web.WebSocketResponse(compress=False, writer_limit=16384)
        await ws.prepare(request)
        transport = request.transport
        small = transport.get_extra_info("socket")
        small.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 << 10)
        sending = Delivery(ws, Kept(), Ga(), Kept(), None, transport.get_write_buffer_size)
        try:
            await send_all(sending, stalls)
        except Exception as error:  # noqa: BLE001 - the test says which it may be
            transport.abort()
            outcome.set_exception(error)
        else:
            transport.close()  # when all has gone out
            outcome.set_result(None)
        return ws

    app = web.Application()
    app.router.add_get("/", talk)
    async with TestServer(app) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        try:
            yield reader, outcome
        finally:
            writer.close()


async def test_who_stalls_for_a_while_hears_every_frame_once():
    stalls = asyncio.Event()
    async with asyncio.timeout(30), talking(stalls) as (reader, outcome):
        await stalls.wait()
        heard = b""
        while heard.count(b'"event_id"') < FRAMES:
            part = await reader.read(64 << 10)
            assert part, "the connection ended early"
            heard += part
        await outcome
    assert heard.count(b'"event_id"') == FRAMES


async def test_who_never_reads_is_found_slow(monkeypatch):
    monkeypatch.setattr(delivery, "SEND_S", 0.1)
    async with asyncio.timeout(30), talking(asyncio.Event()) as (_, outcome):
        with pytest.raises(SlowClient):
            await outcome
