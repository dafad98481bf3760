"""How what waits for a client reaches it, and the sidebands of its session after it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from gateway import metrics
from gateway.audience import Audience
from gateway.conformance import Conformance
from gateway.outbox import Parcel, SlowClient
from gateway.realtime.dialects import Dialect
from gateway.realtime.server_events import AudioDelta, ServerEvent
from gateway.sessions.kept import Kept

SEND_S = 10.0  # a client that takes nothing for so long does not read
MOST_UNSENT = 16 << 10  # bytes: below it, asyncio's transports ask nobody to wait


class ClientGone(Exception):
    """There is no client any more."""


class Delivery:
    """To one client."""

    __slots__ = ("_audience", "_conformance", "_dialect", "_kept", "_out", "_unsent", "_ws")

    def __init__(
        self,
        ws: web.WebSocketResponse,
        kept: Kept,
        dialect: Dialect,
        audience: Audience,
        conformance: Conformance | None,
        unsent: Callable[[], int] = int,
    ) -> None:
        """
        Args:
            unsent: How many bytes wait for the client's socket.
        """
        self._unsent = unsent
        self._ws, self._kept, self._dialect = ws, kept, dialect
        self._audience, self._conformance = audience, conformance
        self._out = metrics.EVENTS.labels("out")

    async def send(self, parcel: Parcel) -> None:
        """Once it is made and kept.

        Raises:
            SlowClient: the client does not take it.
            ClientGone: see there.
            Lost: the session is not ours any more.
        """
        event = parcel.event
        if isinstance(event, asyncio.Task):
            event = await event
        messages = [] if parcel.to else self._messages(event, parcel)
        # Last, and nothing in between: whoever falls asleep here says too much when it wakes up.
        await self._kept.until(parcel.after)
        await self._tell(messages)
        self._kept.was_sent(parcel.seq, event, parcel.played)
        self._audience.tell(event, parcel.ids(), parcel.to)

    def sent(self, parcel: Parcel) -> bool:
        """Send audio at once, if nothing stands in its way; false if it has to wait.

        Why: there are fifty frames a second of every reply, and the way to the task that waits
        for a client costs a frame more than all else.
        """
        event = parcel.event
        if not isinstance(event, AudioDelta) or self._unsent() > MOST_UNSENT:
            return False  # who waits for the client finds out whether it reads
        messages = self._messages(event, parcel)
        if not self._kept.has(parcel.after):
            return False
        try:
            for message in messages:
                self._push(message)
        except ConnectionError:
            return False  # who sends it again will see
        self._kept.was_sent(parcel.seq, event, parcel.played)
        return True

    def _push(self, message: bytes) -> None:
        """Hand a message to the transport, which has room. Never leave aiohttp's waiting half done:
        nobody could wait for the same thing again."""
        sending = self._ws.send_str(message.decode())
        try:
            sending.send(None)
        except StopIteration:
            self._out.inc()
        else:
            raise AssertionError("the transport had room")

    async def _tell(self, messages: list[bytes]) -> None:
        for message in messages:
            try:
                async with asyncio.timeout(SEND_S):
                    await self._ws.send_str(message.decode())
            except TimeoutError:
                raise SlowClient from None
            except ConnectionError:
                raise ClientGone from None
            self._out.inc()

    def _messages(self, event: ServerEvent, parcel: Parcel) -> list[bytes]:
        messages = list(self._dialect.encode(event, parcel.ids()))
        if self._conformance is not None:
            for message in messages:
                self._conformance.check(message)
        return messages
