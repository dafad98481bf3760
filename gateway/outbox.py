"""What waits to be sent to one client."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable

import msgspec

from gateway import metrics
from gateway.flag import Flag
from gateway.realtime.server_events import AudioDelta, ServerEvent

HIGH_WATER = 64  # events; whoever produces text waits above it
LIMIT = 512  # events, ten seconds of audio: a client this far behind does not read

_SILENT = metrics.CANCEL.labels("silence")


class SlowClient(Exception):
    """The client does not read what we send."""


Coming = ServerEvent | asyncio.Task[ServerEvent]
"""An event; one that is still being made keeps its place."""


class Parcel(msgspec.Struct, frozen=True):  # made fifty times a second for every talker
    """An event on its way to the client."""

    event: Coming
    id: str
    after: int = 0
    """How much must be kept of the session before the client may hear of it."""
    seq: int = 0
    """The number of the session's last event, up to this one."""
    to: str = ""
    """The sideband that alone hears of it."""

    played: int = 0
    """Of audio: how much PCM of its response the client has had with it."""

    def is_audio_of(self, response_id: str) -> bool:
        return isinstance(self.event, AudioDelta) and self.event.response_id == response_id

    def ids(self) -> Callable[[], str]:
        """Names of the messages that say it."""
        numbers = itertools.count()
        return lambda: self.id if (n := next(numbers)) == 0 else f"{self.id}x{n}"


class Outbox:
    """A queue whose writer never waits and whose producers can ask for room.

    Putting is instant, so that the session's decisions are never held up by a slow
    client. Audio is paced, so it cannot run ahead; text waits for `room()`. A client
    that leaves more than LIMIT events lying is hung up on: `get` raises SlowClient.
    """

    __slots__ = (
        "_at_once", "_empty", "_events", "_in_hand", "_limit", "_muted_s", "_room", "_wake",
    )  # fmt: skip

    def __init__(self, at_once: Callable[[Parcel], bool] = lambda _: False) -> None:
        """
        Args:
            at_once: Sends what need not wait here; says whether it has. Asked when nothing waits.
        """
        self._at_once = at_once
        self._events: list[Parcel] = []  # never so many that a deque would pay
        self._in_hand: Parcel | None = None
        self._muted_s: float | None = None  # since when the audio in hand is not wanted
        self._limit = LIMIT
        self._wake, self._room, self._empty = Flag(), Flag(is_set=True), Flag(is_set=True)

    def __bool__(self) -> bool:
        """Whether anything waits, or is on its way."""
        return bool(self._events) or self._in_hand is not None

    def delivered(self) -> None:
        """What was got last has reached the client."""
        self._in_hand = None
        if self._muted_s is not None:
            _SILENT.observe(time.monotonic() - self._muted_s)
            self._muted_s = None
        self._update()

    def put(self, parcel: Parcel) -> None:
        if not self and self._at_once(parcel):
            return
        self._events.append(parcel)
        self._update()

    def drop_audio(self, response_id: str) -> None:
        """Forget audio of a stopped reply that has not been sent yet."""
        if self._in_hand is not None and self._in_hand.is_audio_of(response_id):
            self._muted_s = time.monotonic()
        else:
            _SILENT.observe(0)
        if self._events:
            self._events = [p for p in self._events if not p.is_audio_of(response_id)]
            self._update()

    async def room(self) -> None:
        """Wait until fewer than HIGH_WATER events are waiting."""
        await self._room.wait()

    def expect(self, n_events: int) -> None:
        """So many come at once, and not because the client does not read."""
        self._limit = LIMIT + n_events

    async def emptied(self) -> None:
        """Wait until nothing waits."""
        await self._empty.wait()

    async def get(self) -> Parcel:
        """
        Raises:
            SlowClient: too much is waiting.
        """
        while not self._events:
            await self._wake.wait()
        if len(self._events) > self._limit:
            raise SlowClient
        parcel = self._in_hand = self._events.pop(0)
        self._update()
        return parcel

    def _update(self) -> None:
        (self._wake.set if self._events else self._wake.clear)()
        (self._empty.clear if self else self._empty.set)()
        (self._room.set if len(self._events) < HIGH_WATER else self._room.clear)()
