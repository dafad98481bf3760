from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from gateway.realtime.refusals import refuse
from gateway.rest import presence
from gateway.rest.answers import middleware
from gateway.rest.presence import send, while_there


@pytest.fixture
async def serve(aiohttp_client):
    """A server that does this work for each request."""

    async def serve(work):
        async def handler(request):
            return await while_there(request, work())

        app = web.Application(middlewares=[middleware])
        app.router.add_get("/v1/x", handler)
        return await aiohttp_client(app)

    return serve


async def test_work_that_ends_is_the_answer(serve):
    async def work():
        return web.Response(text="done")

    answer = await (await serve(work)).get("/v1/x")
    assert await answer.text() == "done"


async def test_what_work_raises_is_raised(serve):
    async def work():
        raise refuse("invalid_value", "no", "file")

    answer = await (await serve(work)).get("/v1/x")
    assert (answer.status, (await answer.json())["error"]["param"]) == (400, "file")


async def test_work_for_who_hung_up_is_cancelled(serve):
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work():
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return web.Response()

    client = await serve(work)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(client.get("/v1/x"))
        await begun.wait()
        asking.cancel()
        await ended.wait()


async def test_who_takes_nothing_is_hung_up_on(aiohttp_client, monkeypatch, caplog):
    monkeypatch.setattr(presence, "SEND_S", 0.05)
    failed: list[Exception] = []
    done = asyncio.Event()

    async def handler(request):
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await send(request, response, bytes(1 << 20))
        except ConnectionError as error:
            failed.append(error)
            raise
        finally:
            done.set()

    app = web.Application(middlewares=[middleware])
    app.router.add_get("/v1/x", handler)
    client = await aiohttp_client(app)
    _, writer = await asyncio.open_connection(client.host, client.port, limit=1)
    writer.write(b"GET /v1/x HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(10):
        await done.wait()
    assert isinstance(failed[0], ConnectionAbortedError)
    writer.close()
