"""The bad network is bad in the ways that it says."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time

import pytest

from tests.fault_proxy import FaultProxy

PATIENCE_S = 10.0


@pytest.fixture
async def echo():
    """A server that says what it is told, and its port."""

    async def serve(reader, writer):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture
async def proxy(echo):
    async with asyncio.timeout(PATIENCE_S), FaultProxy("127.0.0.1", echo) as proxy:
        yield proxy


@contextlib.asynccontextmanager
async def connected(proxy):
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def one_byte(proxy):
    async with connected(proxy) as (reader, _):
        return await reader.readexactly(1)


async def test_passes_everything_both_ways_and_both_ends(proxy):
    sent = bytes(range(256)) * 4000
    async with connected(proxy) as (reader, writer):
        writer.write(sent)
        writer.write_eof()
        assert await reader.read(-1) == sent


async def test_adds_latency_in_each_direction(proxy):
    async with connected(proxy) as (reader, writer):
        proxy.latency_s = 0.1
        began_s = time.monotonic()
        writer.write(b"x")
        await reader.readexactly(1)
        assert time.monotonic() - began_s >= 0.2


async def test_latency_does_not_limit_the_rate(proxy):
    """A long pipe holds much, as a long distance does."""
    async with connected(proxy) as (reader, writer):
        proxy.latency_s = 0.1
        began_s = time.monotonic()
        for _ in range(20):
            writer.write(b"x")
            await asyncio.sleep(0)
        await reader.readexactly(20)
        assert time.monotonic() - began_s < 3, "one after the other they would take 4 s"


async def test_limits_the_rate(proxy):
    async with connected(proxy) as (reader, writer):
        proxy.bytes_per_s = 40_000
        began_s = time.monotonic()
        writer.write(bytes(8000))
        await reader.readexactly(8000)
        assert time.monotonic() - began_s >= 0.2


async def test_a_black_hole_says_nothing_and_then_all(proxy):
    async with connected(proxy) as (reader, writer):
        writer.write(b"before")
        assert await reader.readexactly(6) == b"before"
        proxy.black_hole = True
        writer.write(b"held")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await reader.read(1)
        async with connected(proxy):  # even who is new is let in
            assert proxy.black_hole
            proxy.black_hole = False
            assert await reader.readexactly(4) == b"held"


async def test_refuses_who_is_new_and_nobody_else(proxy):
    async with connected(proxy) as (reader, writer):
        writer.write(b"1")
        await reader.readexactly(1)
        proxy.refuse = True
        with pytest.raises(ConnectionResetError):
            await one_byte(proxy)
        writer.write(b"2")
        assert await reader.readexactly(1) == b"2"
        assert (proxy.accepted, proxy.open) == (2, 1)


async def test_resets_all_connections(proxy):
    async with connected(proxy) as (one, to_one), connected(proxy) as (two, to_two):
        to_one.write(b"1")
        to_two.write(b"2")
        assert (await one.read(1), await two.read(1)) == (b"1", b"2")
        proxy.reset_all()
        for reader in (one, two):
            with pytest.raises(ConnectionResetError):
                await reader.read(1)
        assert proxy.open == 0
    async with connected(proxy) as (reader, writer):
        writer.write(b"again")
        assert await reader.readexactly(5) == b"again"


async def test_cuts_a_connection_in_the_middle_of_a_message(proxy):
    proxy.cut_after = 150
    async with connected(proxy) as (reader, writer):
        writer.write(bytes(100))
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)) as cut:
            await reader.readexactly(100)
        assert len(getattr(cut.value, "partial", b"")) <= 50


async def test_a_dead_server_is_a_dead_connection(unused_tcp_port):
    async with (
        asyncio.timeout(PATIENCE_S),
        FaultProxy("127.0.0.1", unused_tcp_port) as proxy,
        connected(proxy) as (reader, _),
    ):
        with pytest.raises(ConnectionResetError):
            await reader.read(1)


async def test_a_client_that_resets_is_reset_at_the_server():
    lost, greeted = asyncio.Event(), asyncio.Event()

    async def serve(reader, writer):
        await reader.read(1)
        greeted.set()
        try:
            await reader.read(1)
        except ConnectionResetError:
            lost.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, asyncio.timeout(PATIENCE_S), FaultProxy("127.0.0.1", port) as proxy:
        client = socket.create_connection(("127.0.0.1", proxy.port))
        client.send(b"x")
        await greeted.wait()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        await lost.wait()


async def test_ends_while_a_connection_hangs(echo):
    async with asyncio.timeout(PATIENCE_S):
        async with FaultProxy("127.0.0.1", echo) as proxy:
            proxy.black_hole = True
            async with connected(proxy) as (_, writer):
                writer.write(b"x")
                await writer.drain()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", proxy.port)
