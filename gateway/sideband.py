"""Sidebands at this gateway: second connections to sessions that run here or elsewhere.

A sideband takes nothing over. It is told what the session is, then what happens in it, and may
say what the session's own client may say, but no audio. It goes through the store's inboxes
even where its session is at home: there is one way. An owner that has died says nothing, so
the store is asked now and then who owns the sessions.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from aiohttp import WSCloseCode, WSMsgType, web

from gateway import admission, audience, metrics, notices
from gateway.auth import Unready, Who
from gateway.endings import RESTART_CLOSE, Goodbye
from gateway.flag import Flag
from gateway.notices import Join, Left, Over, Said, Stay, ToSidebands
from gateway.realtime.codec import BINARY
from gateway.realtime.dialects import Ga
from gateway.realtime.refusals import SERVER_ERROR, Refusal, Refused
from gateway.relay import Relay
from gateway.sessions.store import Store
from mesh.errors import Unavailable
from mesh.stream import stop_if_cancelled

MAX_MESSAGE = 1 << 20
"""Bytes of what a sideband says."""
MOST_WAITING, MOST_WAITING_BYTES = 512, 4 << 20
"""A sideband this far behind does not read."""
LOOK_S = 3.0
"""How often the store is asked who owns the sessions."""
JOIN_S = 5.0
"""A session whose client comes back may be nowhere for a moment."""
SEND_S = 10.0
_AGAIN_S = 0.1

_NOWHERE = Refusal(
    "service_unavailable",
    "The session has no connection of its own now. Please try again.",
    type=SERVER_ERROR,
)
_AWAY = Refusal(
    "service_unavailable", "Sessions cannot be joined right now. Please try again.",
    type=SERVER_ERROR,
)  # fmt: skip
_ENDED = Goodbye(WSCloseCode.OK, "the session has ended")
_MOVED = Goodbye(RESTART_CLOSE, "the session is served elsewhere")
_SLOW = Goodbye(WSCloseCode.TRY_AGAIN_LATER, "too much is waiting")
_CROWDED = Goodbye(WSCloseCode.TRY_AGAIN_LATER, "too_many_sidebands")
_WHY = {notices.ENDED: _ENDED, notices.SLOW: _SLOW, notices.CROWDED: _CROWDED}

log = logging.getLogger(__name__)


class Sideband:
    """One of them."""

    def __init__(self, session_id: str, who: Who, ga: Ga) -> None:
        self.id = secrets.token_hex(16)
        self.session_id, self.tenant, self.key_hash = session_id, who.tenant, who.key_hash
        self.owner = ""
        """The gateway that has the session."""
        self._ga = ga
        self._waiting: deque[bytes] = deque()
        self._n_bytes = 0
        self._wake, self._is_over = Flag(), Flag()
        self._last: Goodbye | None = None

    def put(self, message: bytes) -> None:
        """It is told something."""
        self._waiting.append(message)
        self._n_bytes += len(message)
        if len(self._waiting) > MOST_WAITING or self._n_bytes > MOST_WAITING_BYTES:
            metrics.SLOW_CLIENTS.inc()
            self.end(_SLOW, at_once=True)
        self._wake.set()

    def end(self, last: Goodbye, *, at_once: bool = False) -> None:
        """It hears no more.

        Args:
            at_once: Before what waits for it.
        """
        if self._last is None:
            self._last = last
            self._wake.set()
        if at_once:
            self._is_over.set()

    async def answered(self) -> Goodbye | None:
        """Wait for the first word of the owner. Returns why it says no."""
        while not self._waiting and self._last is None:
            self._wake.clear()
            await self._wake.wait()
        return None if self._waiting else self._last

    def ask_again(self) -> None:
        """Another owner is asked."""
        self._last = None

    async def serve(self, ws: web.WebSocketResponse, relay: Relay) -> Goodbye | None:
        """Until one of the two ends it. Returns what to say at the end."""
        async with asyncio.TaskGroup() as tasks:
            work = self._write(ws), self._read(ws, relay)
            running = [tasks.create_task(each, name=f"sideband {self.id}") for each in work]
            await self._is_over.wait()
            for task in running:
                task.cancel()
        return self._last

    async def _write(self, ws: web.WebSocketResponse) -> None:
        with suppress(ConnectionError):
            while await self._has_more():
                message = self._waiting.popleft()
                self._n_bytes -= len(message)
                try:
                    async with asyncio.timeout(SEND_S):
                        await ws.send_str(message.decode())
                        metrics.EVENTS.labels("out").inc()
                except TimeoutError:
                    self.end(_SLOW)
                    break
        self._is_over.set()

    async def _has_more(self) -> bool:
        while not self._waiting:
            if self._last is not None:
                return False
            self._wake.clear()
            await self._wake.wait()
        return True

    async def _read(self, ws: web.WebSocketResponse, relay: Relay) -> None:
        async for message in ws:
            metrics.EVENTS.labels("in").inc()
            refusal = self._refusal(message.data) if message.type is WSMsgType.TEXT else BINARY
            if refusal is not None:
                self.put(audience.refused(refusal))
                continue
            said = Said(self.session_id, self.tenant, self.id, message.data.encode())
            relay.put(self.owner, said)
            await relay.room(self.owner)
        self._is_over.set()

    def _refusal(self, message: str) -> Refusal | None:
        """What need not be asked of the owner."""
        event = audience.read(self._ga, message)
        return event if isinstance(event, Refusal) else None


class Sidebands:
    """All of this process."""

    def __init__(self, store: Store, relay: Relay, *, strict: bool) -> None:
        """
        Args:
            strict: See `Ga`.
        """
        self._store, self.relay, self._ga = store, relay, Ga(strict)
        self._all: dict[str, Sideband] = {}

    def __iter__(self) -> Iterator[Sideband]:
        return iter(list(self._all.values()))

    @contextmanager
    def new(self, session_id: str, who: Who) -> Iterator[Sideband]:
        """A sideband that is known here for as long as this lasts."""
        sideband = Sideband(session_id, who, self._ga)
        self._all[sideband.id] = sideband
        metrics.SIDEBANDS.inc()
        try:
            yield sideband
        finally:
            metrics.SIDEBANDS.dec()
            del self._all[sideband.id]
            if sideband.owner:
                left = Left(session_id, sideband.tenant, sideband.id)
                self.relay.put(sideband.owner, left)

    async def join(self, sideband: Sideband) -> None:
        """Have the session's owner take it in.

        Raises:
            Refused: there is no such session of that tenant, or it has sidebands enough.
            Unready: nobody serves the session now, or nobody knows who does.
        """
        try:
            async with asyncio.timeout(JOIN_S):
                while not await self._is_in(sideband):  # noqa: ASYNC110 - nobody tells us when
                    await asyncio.sleep(_AGAIN_S)
        except TimeoutError:
            raise Unready(_NOWHERE) from None

    async def _is_in(self, sideband: Sideband) -> bool:
        owner = await self._owner(sideband)
        if owner is None:
            raise Refused(admission.NO_SESSION)
        sideband.owner = owner
        sideband.ask_again()
        self.relay.put(owner, Join(sideband.session_id, sideband.tenant, sideband.id))
        no = await sideband.answered()
        if no is _CROWDED:
            raise Refused(admission.CROWDED)
        return no is None

    async def _owner(self, sideband: Sideband) -> str | None:
        try:
            return await self._store.owner(sideband.session_id, sideband.tenant)
        except Unavailable as error:
            raise Unready(_AWAY) from error

    def told(self, sender: str, notice: ToSidebands) -> None:
        """The owner of a session says something to some of them."""
        for sideband_id in notice.to:
            sideband = self._all.get(sideband_id)
            if sideband is None or (sideband.owner, sideband.session_id) != (
                sender,
                notice.session_id,
            ):
                continue
            if isinstance(notice, Over):
                sideband.end(_WHY.get(notice.why, _MOVED))
            else:
                sideband.put(notice.message)

    def missed(self, owner: str) -> None:
        """Something that an owner told never came: they have to start again."""
        for sideband in self:
            if sideband.owner == owner:
                sideband.end(_MOVED)

    async def run(self) -> None:
        """Look after the owners, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            with suppress(Unavailable):
                for sideband in self:
                    await self._look(sideband)
            stop_if_cancelled()

    async def _look(self, sideband: Sideband) -> None:
        owner = await self._store.owner(sideband.session_id, sideband.tenant)
        if owner is None:
            sideband.end(_ENDED)
        elif owner != sideband.owner:
            sideband.end(_MOVED)
        else:
            stay = Stay(sideband.session_id, sideband.tenant, sideband.id)
            self.relay.put(owner, stay)
