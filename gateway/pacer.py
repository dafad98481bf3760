"""Audio leaves in 20 ms steps, a fixed lead ahead of the user's ears (R4.5).

One wheel a process moves every reply that is being spoken, each once in 20 ms; there is no timer
per session. Replies are spread over the wheel's slots: moved all at once, the last of two hundred
would wait for the others, and so would all else that the process does. The lead is what a barge-in
can regret, so it is small; what the client has not been sent can still be taken back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

FRAME_MS = 20
RATE_HZ = 24_000
FRAME_BYTES = FRAME_MS * RATE_HZ * 2 // 1000
SLOTS = 10  # of 2 ms: timers are no finer than 1 ms

_FRAME_S = FRAME_MS / 1000
_SLOT_S = _FRAME_S / SLOTS
_AHEAD_BYTES = 2 * RATE_HZ * 2  # 2 s of audio may wait in a track; synthesis waits beyond it
_SAME = 1e-6  # of a frame: sums of floats differ by less


class Track:
    """The audio of one reply on its way out."""

    def __init__(self, wheel: Wheel, send: Callable[[bytes], None], lead_s: float) -> None:
        """
        Args:
            send: Takes one frame (PCM16 LE mono 24 kHz, 20 ms; the last may be shorter).
        """
        self._wheel, self._send, self._lead_s = wheel, send, lead_s
        self._waiting = bytearray()
        self._is_whole = False
        self._sent_s = 0.0
        self._start_s: float | None = None  # when the user's ears were at 0
        self._in_step = False  # with the wheel: frames are due when it turns
        self._changed = asyncio.Event()
        self._error: Exception | None = None

    async def add(self, pcm: bytes) -> None:
        """More audio. Waits while enough is waiting."""
        self._check()
        self._waiting += pcm
        self._move(self._wheel.now_s())
        while len(self._waiting) > _AHEAD_BYTES:
            await self._next_change()

    async def drain(self) -> None:
        """No more audio comes: wait until all has been sent."""
        self._check()
        self._is_whole = True
        self._move(self._wheel.now_s())
        while self._waiting:
            await self._next_change()

    def turn(self, now_s: float) -> None:
        """Send what is due; called by the wheel, every 20 ms of its clock."""
        try:
            if self._start_s is not None and not self._in_step:
                self._step(now_s)
            self._move(now_s)
        except Exception as error:  # noqa: BLE001 - it belongs to the reply, not to the wheel
            self._error = error
            self._changed.set()

    def _step(self, now_s: float) -> None:
        """Shift the reply's clock by less than a frame, so that every turn finds one frame due
        and not now none and now two."""
        assert self._start_s is not None
        due = self._due(now_s)
        self._start_s += (due - round(due)) * _FRAME_S
        self._in_step = True

    def _move(self, now_s: float) -> None:
        if self._start_s is None:
            self._start_s = now_s
        if now_s - self._start_s > self._sent_s:  # the user waited for us: the clock waits too
            self._start_s, self._in_step = now_s - self._sent_s, False
        at, due = 0, int(self._due(now_s) + _SAME)
        while due > 0 and self._has_frame(at):
            frame = bytes(self._waiting[at : at + FRAME_BYTES])
            at += len(frame)
            due -= 1
            self._sent_s += len(frame) / (RATE_HZ * 2)
            self._send(frame)
        if at:
            had = len(self._waiting)
            del self._waiting[:at]
            if had > _AHEAD_BYTES >= had - at or not self._waiting:  # what somebody may wait for
                self._changed.set()

    def _due(self, now_s: float) -> float:
        """How many frames should have left and have not."""
        assert self._start_s is not None
        return (now_s - self._start_s + self._lead_s - self._sent_s) / _FRAME_S

    def _has_frame(self, at: int) -> bool:
        rest = len(self._waiting) - at
        return rest >= FRAME_BYTES or (self._is_whole and rest > 0)

    async def _next_change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
        self._check()

    def _check(self) -> None:
        """Raise what went wrong in the wheel's turn."""
        if self._error is not None:
            raise self._error


class Wheel:
    """Moves every track. `run` it as long as the process serves."""

    def __init__(self) -> None:
        self._slots: list[dict[Track, None]] = [{} for _ in range(SLOTS)]  # in order of joining
        self._tick = 0  # of 2 ms each, since the clock's beginning: what was turned last
        self._wake = asyncio.Event()

    def now_s(self) -> float:
        return asyncio.get_running_loop().time()

    def join(self, track: Track) -> None:
        min(self._slots, key=len)[track] = None
        self._wake.set()

    def leave(self, track: Track) -> None:
        for slot in self._slots:
            slot.pop(track, None)

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._tick = int(self.now_s() / _SLOT_S)
            while (tick := self._next_tick()) is not None:
                await asyncio.sleep(tick * _SLOT_S - self.now_s())
                self._turn(int(self.now_s() / _SLOT_S + _SAME))
            self._wake.clear()

    def _next_tick(self) -> int | None:
        """The next one with somebody to move."""
        coming = range(self._tick + 1, self._tick + 1 + SLOTS)
        return next((tick for tick in coming if self._slots[tick % SLOTS]), None)

    def _turn(self, until: int) -> None:
        """All slots up to that tick. One that comes late is told when it should have come: its
        tracks keep their step. What is a whole turn late is not made up for."""
        for tick in range(max(self._tick, until - SLOTS) + 1, until + 1):
            for track in list(self._slots[tick % SLOTS]):
                track.turn(tick * _SLOT_S)
        self._tick = max(self._tick, until)
