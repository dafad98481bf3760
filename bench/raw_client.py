"""A WebSocket client that costs next to nothing and notes when each message came."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import cast

from bench.websocket import CLOSE, PING, PONG, TEXT, masked, request, split

OPEN_S = 30.0


class RawClient(asyncio.Protocol):
    """One connection. It is open when the server has agreed to it."""

    def __init__(self, heard: Callable[[float, bytes], None]) -> None:
        """
        Args:
            heard: Takes each text message, and when it came, on time.perf_counter.
        """
        self._heard, self._rest, self._upgraded = heard, b"", False
        self.opening: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport

    @classmethod
    async def to(
        cls, url: str, path: str, key: str, heard: Callable[[float, bytes], None]
    ) -> RawClient:
        """
        Raises:
            ConnectionError: the server refuses.
        """
        host, _, port = url.rpartition("/")[2].partition(":")
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(OPEN_S):
            _, client = await loop.create_connection(lambda: cls(heard), host, int(port))
            headers = {"Authorization": f"Bearer {key}"}
            client._transport.write(request(f"{host}:{port}", path, headers))
            await client.opening
        return client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by name

    def data_received(self, data: bytes) -> None:
        now_s = time.perf_counter()
        data = self._rest + data if self._rest else data
        if not self._upgraded:
            head, end, rest = data.partition(b"\r\n\r\n")
            if not end:
                self._rest = data
                return
            if b" 101 " not in head[:16]:
                return self._transport.abort()
            self._upgraded, data = True, rest
            self.opening.set_result(None)
        frames, self._rest = split(data)
        for opcode, payload in frames:
            if opcode == TEXT:
                self._heard(now_s, payload)
            elif opcode == PING:
                self._transport.write(masked(PONG, payload))
            elif opcode == CLOSE:
                self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.opening.done():
            self.opening.set_exception(ConnectionError("the server refuses"))
        if not self.closed.done():
            self.closed.set_result(None)

    def say(self, frame: bytes) -> None:
        """
        Args:
            frame: As `masked` makes it.
        """
        self._transport.write(frame)

    def text(self, message: bytes) -> None:
        self.say(masked(TEXT, message))

    def close(self) -> None:
        self._transport.abort()
