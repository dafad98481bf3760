"""A Realtime client for tests: sends events, waits for events, forgets nothing.

It reads strictly: an event that the published types do not know fails the test.
"""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import aiohttp

from tests import wire

FRAME_BYTES = 960  # 20 ms of PCM16 at 24 kHz
WAIT_S = 30.0  # far above what anything takes: a test that gets here has failed

Event = dict[str, Any]


class RealtimeClient:
    """One WebSocket. `got` is every event so far."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self._ws = ws
        self.got: list[Event] = []
        self._ids: set[str] = set()
        self._ahead = ""

    async def send(self, type_: str, **fields: Any) -> None:
        await self._ws.send_json({"type": type_, **fields})

    async def send_raw(self, text: str) -> None:
        await self._ws.send_str(text)

    async def send_bytes(self, data: bytes) -> None:
        await self._ws.send_bytes(data)

    async def append(self, pcm: bytes) -> None:
        """Append audio (PCM16 LE mono 24 kHz) as one event."""
        await self.send("input_audio_buffer.append", audio=base64.b64encode(pcm).decode())

    async def speak(self, pcm: bytes, *, real_time: bool = False) -> None:
        """Append audio frame by frame; in real time if the server's pacing matters."""
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        for at in range(0, len(pcm), FRAME_BYTES):
            await self.append(pcm[at : at + FRAME_BYTES])
            due_s += 0.02
            if real_time and due_s > loop.time():
                await asyncio.sleep(due_s - loop.time())

    async def next(self) -> Event:
        async with asyncio.timeout(WAIT_S):
            text = self._ahead or await self._ws.receive_str()
        self._ahead = ""
        event: Event = wire.check(json.loads(text))
        assert event["event_id"] not in self._ids
        self._ids.add(event["event_id"])
        self.got.append(event)
        return event

    async def arrived(self) -> bool:
        """Whether an event is there already, or comes within a moment."""
        try:
            async with asyncio.timeout(0.2):
                message = await self._ws.receive()
        except TimeoutError:
            return False
        assert message.type is aiohttp.WSMsgType.TEXT, message
        self._ahead = message.data
        return True

    async def until(self, *types: str) -> Event:
        """The next event of one of these types; those before it are in `got`."""
        while (event := await self.next())["type"] not in types:
            pass
        return event

    async def closed(self) -> tuple[int | None, str]:
        """Wait for the server's close frame: its code and reason."""
        async with asyncio.timeout(WAIT_S):
            message = await self._ws.receive()
        assert message.type is aiohttp.WSMsgType.CLOSE, message
        return message.data, message.extra or ""

    async def close(self) -> None:
        await self._ws.close()

    def types(self) -> list[str]:
        return [event["type"] for event in self.got]

    def audio(self, response_id: str | None = None) -> bytes:
        """All audio received, of one response if it is named."""
        return b"".join(
            base64.b64decode(event["delta"])
            for event in self.got
            if event["type"] == "response.output_audio.delta"
            and response_id in (None, event["response_id"])
        )
