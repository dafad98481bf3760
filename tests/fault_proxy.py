"""A TCP proxy that misbehaves on request: a bad network without root and without containers.

    async with FaultProxy("127.0.0.1", 6379) as proxy:  # clients connect to proxy.port
        proxy.latency_s = 0.05  # added in each direction
        proxy.bytes_per_s = 32_000  # of each connection, in each direction
        proxy.black_hole = True  # accepts and says nothing: a partition, as TCP sees it
        proxy.refuse = True  # new connections are reset at once
        proxy.cut_after = 1000  # bytes of a connection, both ways together; then it is reset
        proxy.reset_all()  # now, whoever is connected

What is held back by a black hole comes when it is gone, as what TCP sends again does.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field
from typing import Self

_CHUNK = 16 << 10  # bytes read at a time
_UNDER_WAY = 64  # chunks of one direction; beyond it the sender waits, as for a full window
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: close sends RST


@dataclass(slots=True, eq=False)
class _Pair:
    """A client and what it is connected to."""

    client: socket.socket
    server: socket.socket
    passed: int = 0  # bytes, both ways
    pumps: list[asyncio.Task[None]] = field(default_factory=list)


class FaultProxy:
    def __init__(self, host: str, port: int) -> None:
        """
        Args:
            host: Of the server, with its port: where connections go.
        """
        self._target = host, port
        self.latency_s = 0.0
        self.bytes_per_s = 0.0
        self.refuse = False
        self.cut_after: int | None = None
        self.port = 0
        """Where clients connect, once it runs."""
        self.accepted = 0
        """Connections so far, with those that were refused."""
        self._flows = asyncio.Event()
        self._flows.set()
        self._pairs: set[_Pair] = set()
        self._listener: socket.socket
        self._serving: asyncio.Task[None]
        self._tasks = asyncio.TaskGroup()

    @property
    def open(self) -> int:
        """Connections that are there now."""
        return len(self._pairs)

    @property
    def black_hole(self) -> bool:
        return not self._flows.is_set()

    @black_hole.setter
    def black_hole(self, on: bool) -> None:
        (self._flows.clear if on else self._flows.set)()

    async def __aenter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        await self._tasks.__aenter__()
        self._serving = self._tasks.create_task(self._accept(), name="accept")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.reset_all()
        self._serving.cancel()
        # Not the block's exception: whose test failed wants that, and not a group of it.
        await self._tasks.__aexit__(None, None, None)
        self._listener.close()

    def reset_all(self) -> None:
        """RST to every client and every server that are connected."""
        for pair in list(self._pairs):
            self._reset(pair)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as connections:
            while True:
                client, _ = await loop.sock_accept(self._listener)
                self.accepted += 1
                if self.refuse:
                    _linger_not(client)
                    client.close()
                else:
                    connections.create_task(self._connect(client), name="connection")

    async def _connect(self, client: socket.socket) -> None:
        server = socket.socket()
        server.setblocking(False)
        with (
            client,
            server,
        ):  # closed only here: nothing may wait for a descriptor that is another's
            try:
                await asyncio.get_running_loop().sock_connect(server, self._target)
            except OSError:
                return _linger_not(client)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._serve(_Pair(client, server))

    async def _serve(self, pair: _Pair) -> None:
        self._pairs.add(pair)
        try:
            async with asyncio.TaskGroup() as tasks:
                ways = ((pair.client, pair.server), (pair.server, pair.client))
                pair.pumps = [
                    tasks.create_task(self._pump(pair, *way), name="pump") for way in ways
                ]
        finally:
            self._pairs.discard(pair)

    async def _pump(self, pair: _Pair, source: socket.socket, sink: socket.socket) -> None:
        """One direction, until its source has no more to say."""
        loop = asyncio.get_running_loop()
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_UNDER_WAY)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send(pair, chunks, sink), name="send")
            data = b"more"
            while data:
                try:
                    data = await loop.sock_recv(source, _CHUNK)
                except OSError:
                    return self._reset(pair)
                await chunks.put((loop.time() + self.latency_s, data))

    async def _send(
        self, pair: _Pair, chunks: asyncio.Queue[tuple[float, bytes]], sink: socket.socket
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due_s, data = await chunks.get()
            await asyncio.sleep(due_s - loop.time())
            await self._flows.wait()
            if self.bytes_per_s:
                await asyncio.sleep(len(data) / self.bytes_per_s)
            fits = self._fits(pair, len(data))
            try:
                if not data:
                    return sink.shutdown(socket.SHUT_WR)
                await loop.sock_sendall(sink, data[:fits])
            except OSError:
                return self._reset(pair)
            if fits < len(data):
                return self._reset(pair)

    def _fits(self, pair: _Pair, size: int) -> int:
        """How much of the next bytes goes through before the connection is cut."""
        before = pair.passed
        pair.passed += size
        return size if self.cut_after is None else max(0, min(size, self.cut_after - before))

    def _reset(self, pair: _Pair) -> None:
        self._pairs.discard(pair)
        for end in (pair.client, pair.server):
            _linger_not(end)
        for pump in pair.pumps:
            pump.cancel()


def _linger_not(end: socket.socket) -> None:
    """Its end will be RST, and what was not sent is lost."""
    with contextlib.suppress(OSError):  # it is closed already
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
