"""Two gateways, one tenant, one Redis: the limit holds for both together."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from gateway import app
from gateway.config import Config
from tests.fakes.backends import FakeBackends
from tests.unit.gateway.keys import KEY, keys_json

LIMIT, ASKED = 100, 130


@pytest.fixture
async def gateways(streams_url, tmp_path):
    keys = tmp_path / "keys.json"
    keys.write_text(keys_json({KEY: "acme"}))
    limits = tmp_path / "limits.toml"
    limits.write_text("")
    servers = []
    for _ in range(2):
        config = Config(
            keys_file=keys, redis_url=streams_url, limits_file=limits, connects_per_s=0, drain_s=0
        )
        server = TestServer(app.build(config, app.Parts(backends=FakeBackends())))
        await server.start_server()
        servers.append(server)
    async with aiohttp.ClientSession() as http:
        for server in servers:
            await until_ready(http, server)
    yield servers, limits
    for server in servers:
        await server.close()


async def until_ready(http: aiohttp.ClientSession, server: TestServer) -> None:
    async with asyncio.timeout(10):
        while True:
            async with http.get(server.make_url("/readyz")) as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.02)


async def let_in(
    http: aiohttp.ClientSession, server: TestServer
) -> aiohttp.ClientWebSocketResponse:
    """Connect. A machine that stands still makes a gateway take Redis for gone; whoever comes
    then is told to come again, before anything is counted."""
    url = server.make_url("/v1/realtime?model=gpt-realtime")
    while True:
        try:
            return await http.ws_connect(url)
        except aiohttp.WSServerHandshakeError as refused:
            if refused.status != 503 or not (refused.headers or {}).get("Retry-After"):
                raise
        await until_ready(http, server)


async def test_two_gateways_count_together_and_limits_change_while_they_run(gateways):
    servers, limits = gateways
    headers = {"Authorization": f"Bearer {KEY}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as http:

        async def connect(n: int) -> str:
            """What the first event says."""
            ws = await let_in(http, servers[n % 2])
            event = await ws.receive_json()
            if event["type"] == "session.created":
                return "created"
            closed = await ws.receive()
            assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 1013)
            assert event["error"]["type"] == "rate_limit_error"
            assert "try again in" in event["error"]["message"]
            return str(event["error"]["code"])

        # Both gateways and all clients are this one process: more at a time, and it keeps Redis
        # waiting for so long that the gateways take it for gone.
        room = asyncio.Semaphore(10)

        async def in_turn(n: int) -> str:
            async with room:
                return await connect(n)

        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(in_turn(n)) for n in range(ASKED)]
        said = Counter(task.result() for task in asking)
        assert said == {"created": LIMIT, "rate_limit_exceeded": ASKED - LIMIT}

        change(limits, "[tenant.acme]\nrequests_per_minute = 103\n")
        assert [await connect(n) for n in range(4)] == [*3 * ["created"], "rate_limit_exceeded"]
        speech = servers[0].make_url("/v1/audio/speech")
        asked = {"model": "tts-1", "voice": "alloy", "input": "Hello."}
        async with http.post(speech, json=asked) as answer:
            assert answer.status == 429
            assert int(answer.headers["Retry-After"]) > 0


def change(file: Path, text: str) -> None:
    """As an editor does; the time of change differs even on a coarse clock."""
    before = file.stat()
    file.write_text(text)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))
