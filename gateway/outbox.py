"""What waits to be sent to one client."""

from __future__ import annotations

import asyncio
from collections import deque

from gateway.realtime.server_events import AudioDelta, ServerEvent

HIGH_WATER = 64  # events; whoever produces text waits above it
LIMIT = 512  # events, ten seconds of audio: a client this far behind does not read


class SlowClient(Exception):
    """The client does not read what we send."""


class Outbox:
    """A queue whose writer never waits and whose producers can ask for room.

    Putting is instant, so that the session's decisions are never held up by a slow
    client. Audio is paced, so it cannot run ahead; text waits for `room()`. A client
    that leaves more than LIMIT events lying is hung up on: `get` raises SlowClient.
    """

    def __init__(self) -> None:
        self._events: deque[ServerEvent] = deque()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def put(self, event: ServerEvent) -> None:
        self._events.append(event)
        self._update()

    def drop_audio(self, response_id: str) -> None:
        """Forget audio of a stopped reply that has not been sent yet."""
        if self._events:
            self._events = deque(
                e
                for e in self._events
                if not (isinstance(e, AudioDelta) and e.response_id == response_id)
            )
            self._update()

    async def room(self) -> None:
        """Wait until fewer than HIGH_WATER events are waiting."""
        await self._room.wait()

    async def get(self) -> ServerEvent:
        """
        Raises:
            SlowClient: too much is waiting.
        """
        while not self._events:
            await self._wake.wait()
        if len(self._events) > LIMIT:
            raise SlowClient
        event = self._events.popleft()
        self._update()
        return event

    def _update(self) -> None:
        (self._wake.set if self._events else self._wake.clear)()
        (self._room.set if len(self._events) < HIGH_WATER else self._room.clear)()
