from __future__ import annotations

import pytest
from aiohttp import web

from bench.websocket import PING, TEXT, masked, request, split


def frame(opcode, payload):
    """As a server sends it."""
    n = len(payload)
    if n < 126:
        size = bytes((n,))
    elif n < 65536:
        size = bytes((126,)) + n.to_bytes(2, "big")
    else:
        size = bytes((127,)) + n.to_bytes(8, "big")
    return bytes((0x80 | opcode,)) + size + payload


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_reads_frames_of_every_size_however_they_are_cut(size):
    sent = frame(TEXT, b"a" * size) + frame(PING, b"p")
    found, rest = [], b""
    for at in range(0, len(sent), 1000):
        frames, rest = split(rest + sent[at : at + 1000])
        found += frames
    assert found == [(TEXT, b"a" * size), (PING, b"p")]
    assert rest == b""


def test_keeps_what_is_no_whole_frame():
    whole, half = frame(TEXT, b"one"), frame(TEXT, b"two")[:-1]
    assert split(whole + half) == ([(TEXT, b"one")], half)
    assert split(b"\x81") == ([], b"\x81")
    assert split(b"\x81\x7e\x00") == ([], b"\x81\x7e\x00")


@pytest.mark.parametrize("size", [3, 125, 126, 2000])
async def test_a_real_server_understands_what_is_sent(aiohttp_server, size):
    import asyncio

    async def echo(http):
        ws = web.WebSocketResponse()
        await ws.prepare(http)
        async for message in ws:
            await ws.send_str(message.data)
        return ws

    app = web.Application()
    app.router.add_get("/here", echo)
    server = await aiohttp_server(app)
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(request(f"{server.host}:{server.port}", "/here", {"X-More": "1"}))
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    writer.write(masked(TEXT, b"x" * size))
    assert await reader.readexactly(len(frame(TEXT, b"x" * size))) == frame(TEXT, b"x" * size)
    writer.close()
