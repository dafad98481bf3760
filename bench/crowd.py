"""Many quiet clients of one server: they open WebSockets and stay.

    python -m bench.crowd --port 8080 --connections 5000 --key …

A client is a socket and little else, so that fifty thousand fit beside the server that they
are held against. It answers pings. Some, now and then, ask something small and time the
answer. Prints a line of JSON when all are open, and one when standard input has ended.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from dataclasses import asdict, dataclass, field

from bench.websocket import PING, PONG, TEXT, masked, request, split

AT_ONCE = 32  # handshakes under way
OPEN_S = 60.0  # one handshake, with the greeting
ASK_S = 1.0  # how often some of the crowd ask
QUESTION = b'{"type":"input_audio_buffer.clear"}'


@dataclass(slots=True)
class Tally:
    """What became of a crowd."""

    opened: int = 0
    refused: int = 0
    lost: int = 0
    """Closed by the server after they were open."""
    first_s: float = 0.0
    """When the first handshake began, on the machine's monotonic clock."""
    last_s: float = 0.0
    """When the last was open."""
    answers_ms: list[float] = field(default_factory=list)
    """From a question sent to its answer read."""
    unanswered: int = 0


class Client(asyncio.Protocol):
    """One connection. It is open when the server has greeted it."""

    __slots__ = ("_asked_s", "_rest", "_tally", "_transport", "_upgraded", "is_open", "opening")

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._rest = b""
        self._upgraded = False
        self._asked_s = 0.0
        self.is_open = False
        self.opening: asyncio.Future[None] | None = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        if not self._upgraded:
            head, end, rest = data.partition(b"\r\n\r\n")
            if not end:
                self._rest = data
                return
            if b" 101 " not in head[:16]:
                return self.close()
            self._upgraded, data = True, rest
        frames, self._rest = split(data)
        for opcode, payload in frames:
            if opcode == PING:
                self._transport.write(masked(PONG, payload))
            elif opcode == TEXT:
                self._told()

    def _told(self) -> None:
        if not self.is_open:
            self.is_open = True
            self._settle()
        elif self._asked_s:
            self._tally.answers_ms.append((time.perf_counter() - self._asked_s) * 1000)
            self._asked_s = 0.0

    def connection_lost(self, error: Exception | None) -> None:
        self._tally.lost += self.is_open
        self._tally.unanswered += self._asked_s > 0
        self.is_open, self._asked_s = False, 0.0
        self._settle()

    def say(self, data: bytes) -> None:
        self._transport.write(data)

    def ask(self) -> None:
        """Ask something, unless an answer is still awaited."""
        if self.is_open and not self._asked_s:
            self._asked_s = time.perf_counter()
            self.say(masked(TEXT, QUESTION))

    @property
    def awaits(self) -> bool:
        return self._asked_s > 0

    def close(self) -> None:
        self._transport.abort()

    def _settle(self) -> None:
        if self.opening is not None and not self.opening.done():
            self.opening.set_result(None)
        self.opening = None


class Crowd:
    """All clients of this process."""

    def __init__(self, address: tuple[str, int], path: str, headers: dict[str, str]) -> None:
        self.tally = Tally()
        self._address, self._path, self._headers = address, path, headers
        self.clients: list[Client] = []

    async def open(self, n: int, source: str, per_s: float = 0.0) -> None:
        """Open so many connections, a few at a time.

        Args:
            source: The address they come from: one has 28,000 ports for one destination.
            per_s: At most so many a second; 0 is as fast as they are taken.
        """
        self.tally.first_s = time.monotonic()
        numbers = iter(range(n))

        async def work() -> None:
            for number in numbers:
                if per_s:
                    late_s = self.tally.first_s + number / per_s - time.monotonic()
                    await asyncio.sleep(max(0.0, late_s))
                await self._open(source)

        async with asyncio.TaskGroup() as tasks:
            for number in range(min(n, AT_ONCE)):
                tasks.create_task(work(), name=f"open {number}")
        self.tally.last_s = time.monotonic()

    async def _open(self, source: str) -> None:
        loop = asyncio.get_running_loop()
        host, port = self._address
        try:
            async with asyncio.timeout(OPEN_S):
                _, client = await loop.create_connection(
                    lambda: Client(self.tally), host, port, local_addr=(source, 0)
                )
                client.say(request(f"{host}:{port}", self._path, self._headers))
                if client.opening is not None:
                    await client.opening
        except (OSError, TimeoutError):
            self.tally.refused += 1
            return
        if client.is_open:
            self.clients.append(client)
            self.tally.opened += 1
        else:
            self.tally.refused += 1

    async def talk(self, share: float) -> None:
        """A share of the clients ask something every second, each time others, until cancelled."""
        while True:
            asking = random.sample(self.clients, round(share * len(self.clients)))
            for client in asking:
                client.ask()
                await asyncio.sleep(ASK_S / len(asking))  # spread: no burst that nobody has
            if not asking:
                return

    def close(self) -> None:
        self.tally.unanswered += sum(client.awaits for client in self.clients)
        for client in self.clients:
            client.is_open = False  # we leave; they did not lose us
            client.close()


async def _hold(asked: argparse.Namespace) -> None:
    headers = {"Authorization": f"Bearer {asked.key}"} if asked.key else {}
    crowd = Crowd((asked.host, asked.port), asked.path, headers)
    await crowd.open(asked.connections, asked.source, asked.per_s)
    print(json.dumps(asdict(crowd.tally)), flush=True)
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        talking = tasks.create_task(crowd.talk(asked.asking), name="talk")
        await loop.run_in_executor(None, sys.stdin.read)  # its end is the end
        talking.cancel()
    await asyncio.sleep(ASK_S)  # the last answers
    crowd.close()
    print(json.dumps(asdict(crowd.tally)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", default="/v1/realtime?model=gpt-realtime")
    parser.add_argument("--key", default="")
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--source", default="127.0.0.1", help="the address to come from")
    parser.add_argument("--per-s", type=float, default=0.0, help="connections a second; 0: any")
    parser.add_argument("--asking", type=float, default=0.0, help="share that asks each second")
    asyncio.run(_hold(parser.parse_args()))


if __name__ == "__main__":
    main()
