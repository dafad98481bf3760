"""A crowd counts what becomes of it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from aiohttp import web

from bench import crowd
from bench.crowd import Crowd

PATIENCE_S = 10.0


@pytest.fixture
async def server(aiohttp_server):
    """One that greets, answers and lets whoever asks see its connections."""
    app = web.Application()
    seen = SimpleNamespace(open=[], closed=asyncio.Event(), heartbeat=None)

    async def realtime(request):
        if request.headers.get("Authorization") != "Bearer key":
            return web.Response(status=503)
        ws = web.WebSocketResponse(heartbeat=seen.heartbeat)
        await ws.prepare(request)
        seen.open.append(ws)
        await ws.send_str('{"type":"session.created"}')
        async for _ in ws:
            await ws.send_str('{"type":"input_audio_buffer.cleared"}')
        seen.closed.set()
        return ws

    app.router.add_get("/v1/realtime", realtime)
    started = await aiohttp_server(app)
    started.seen = seen
    return started


@pytest.fixture
def made(server):
    def make(key="key"):
        headers = {"Authorization": f"Bearer {key}"}
        return Crowd((server.host, server.port), "/v1/realtime?model=m", headers)

    return make


async def test_opens_as_many_as_it_is_told_and_times_it(made, server):
    held = made()
    await held.open(50, "127.0.0.1")
    assert held.tally.opened == len(server.seen.open) == 50
    assert (held.tally.refused, held.tally.lost) == (0, 0)
    assert held.tally.last_s > held.tally.first_s
    held.close()


async def test_takes_its_time_if_asked(made):
    held = made()
    await held.open(10, "127.0.0.1", per_s=50)
    assert held.tally.last_s - held.tally.first_s >= 9 / 50
    held.close()


async def test_counts_who_was_refused(made):
    held = made("another")
    await held.open(3, "127.0.0.1")
    assert (held.tally.opened, held.tally.refused) == (0, 3)


async def test_counts_who_cannot_connect(unused_tcp_port):
    held = Crowd(("127.0.0.1", unused_tcp_port), "/", {})
    await held.open(2, "127.0.0.1")
    assert held.tally.refused == 2


async def test_counts_whom_the_server_closed_and_not_who_left(made, server):
    held = made()
    await held.open(2, "127.0.0.1")
    lost = server.seen.open[0]
    async with asyncio.timeout(PATIENCE_S):
        await lost.close()
        while held.tally.lost == 0:
            await asyncio.sleep(0)
        held.close()
        await asyncio.sleep(0)
    assert held.tally.lost == 1


async def test_times_answers(made, monkeypatch):
    monkeypatch.setattr(crowd, "ASK_S", 0.01)
    held = made()
    await held.open(4, "127.0.0.1")
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        talking = tasks.create_task(held.talk(0.5))
        while len(held.tally.answers_ms) < 6:
            await asyncio.sleep(0.001)
        talking.cancel()
    assert all(0 < ms < 1000 * PATIENCE_S for ms in held.tally.answers_ms)
    held.close()


async def test_an_answer_that_never_comes_is_told(made, server):
    held = made()
    await held.open(1, "127.0.0.1")
    held.clients[0].ask()
    held.close()
    assert held.tally.unanswered == 1


async def test_answers_pings(made, server):
    server.seen.heartbeat = 0.1
    held = made()
    await held.open(1, "127.0.0.1")
    ws = server.seen.open[0]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):  # without a pong it is closed after 0.15 s
            await server.seen.closed.wait()
    assert not ws.closed
    held.close()
