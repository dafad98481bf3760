"""Lets those through who are not in a hurry, a few at each turn of the event loop.

A hundred replies that each write what they have, as soon as they may, make every turn of the
loop a hundred messages long; and a reply that begins needs several turns until its first
audio is out. So only what somebody waits for is written at once. The rest goes through here:
it loses nothing but its haste, since it is ahead of what its listener hears.

Why it counts those it lets in and not those inside: a write ends when the client takes it,
and nobody should wait for somebody else's client.
"""

from __future__ import annotations

import asyncio
import time

from mesh.fair_queue import FairQueue, Turn
from tts_service.listener import Listener

AT_A_TURN = 2  # messages of about 50 µs
HASTE_S = 0.5  # with less to hear than this a listener is in a hurry; a gateway's lead is 0.4 s


class Turnstile:
    def __init__(self, at_a_turn: int = AT_A_TURN) -> None:
        self._at_a_turn = at_a_turn
        self._waiting = FairQueue[asyncio.Future[None]]()
        self._is_turning = False

    async def through(self, turn: Turn) -> None:
        """Wait until those before have been let through; tenants take turns."""
        loop = asyncio.get_running_loop()
        passed = loop.create_future()
        place = self._waiting.push(passed, turn)
        if not self._is_turning:
            self._is_turning = True
            loop.call_soon(self._let_some_through, loop)
        try:
            await passed
        except asyncio.CancelledError:
            self._waiting.drop(place)
            raise

    def _let_some_through(self, loop: asyncio.AbstractEventLoop) -> None:
        for _ in range(self._at_a_turn):
            if (passed := self._waiting.pop()) is not None and not passed.done():
                passed.set_result(None)
        self._is_turning = len(self._waiting) > 0
        if self._is_turning:
            loop.call_soon(self._let_some_through, loop)


class Outlet:
    """What one reply sends, in time for its listener."""

    def __init__(self, turnstile: Turnstile, tenant: str, rate_hz: int) -> None:
        self._turnstile, self._rate_hz = turnstile, rate_hz
        self._listener = Listener(tenant)

    async def let_out(self, n_samples: int) -> None:
        """Wait, if there is time, before so much audio is sent."""
        now_s = time.monotonic()
        if self._listener.ahead_s(now_s) > HASTE_S:
            await self._turnstile.through(self._listener.turn(now_s))
        self._listener.hears(n_samples / self._rate_hz, time.monotonic())

    def interrupted(self) -> None:
        """What was sent is not heard to its end."""
        self._listener.interrupts()
