from __future__ import annotations

import asyncio
import time

import pytest
from aiohttp import WSMsgType, web

from bench.raw_client import RawClient

PATIENCE_S = 20.0


@pytest.fixture
async def server(aiohttp_server):
    """Says back what it is told; closes when that is "bye"."""

    async def realtime(request):
        if request.headers.get("Authorization") != "Bearer key":
            return web.Response(status=401)
        ws = web.WebSocketResponse(autoping=False)
        await ws.prepare(request)
        await ws.ping()
        async for message in ws:
            if message.type is WSMsgType.PONG:
                await ws.send_str("ponged")
            elif message.data == "bye":
                break
            else:
                await ws.send_str(message.data)
        await ws.close()
        return ws

    app = web.Application()
    app.router.add_get("/v1/realtime", realtime)
    return await aiohttp_server(app)


def url_of(server):
    return f"http://127.0.0.1:{server.port}"


async def test_every_message_comes_with_its_time(server):
    heard: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    before_s = time.perf_counter()
    client = await RawClient.to(
        url_of(server), "/v1/realtime", "key", lambda *news: heard.put_nowait(news)
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            assert (await heard.get())[1] == b"ponged"
            for text in (b"short", b"x" * 200, b"y" * 60_000):
                client.text(text)
                came_s, message = await heard.get()
                assert message == text
                assert before_s < came_s <= time.perf_counter()
            client.text(b"bye")
            await client.closed
    finally:
        client.close()


async def test_who_is_not_let_in_is_told(server):
    with pytest.raises(ConnectionError):
        await RawClient.to(url_of(server), "/v1/realtime", "wrong", lambda *_: None)
