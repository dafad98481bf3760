"""Audio leaves in 20 ms steps, a fixed lead ahead of the user's ears (R4.5).

One wheel a process turns every 20 ms and moves every reply that is being spoken; there
is no timer per session. The lead is what a barge-in can regret, so it is small; what
the client has not been sent can still be taken back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

FRAME_MS = 20
RATE_HZ = 24_000
FRAME_BYTES = FRAME_MS * RATE_HZ * 2 // 1000

_FRAME_S = FRAME_MS / 1000
_AHEAD_S = 2.0  # audio that may wait in a track; synthesis waits beyond it


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
        self._changed = asyncio.Event()
        self._error: Exception | None = None

    async def add(self, pcm: bytes) -> None:
        """More audio. Waits while enough is waiting."""
        self._check()
        self._waiting += pcm
        self._move(self._wheel.now_s())
        while len(self._waiting) > _AHEAD_S * RATE_HZ * 2:
            await self._next_change()

    async def drain(self) -> None:
        """No more audio comes: wait until all has been sent."""
        self._check()
        self._is_whole = True
        self._move(self._wheel.now_s())
        while self._waiting:
            await self._next_change()

    def turn(self, now_s: float) -> None:
        """Send what is due; called by the wheel."""
        try:
            self._move(now_s)
        except Exception as error:  # noqa: BLE001 - it belongs to the reply, not to the wheel
            self._error = error
            self._changed.set()

    def _move(self, now_s: float) -> None:
        if self._start_s is None:
            self._start_s = now_s
        if now_s - self._start_s > self._sent_s:  # the user waited for us: the clock waits too
            self._start_s = now_s - self._sent_s
        due_s = now_s - self._start_s + self._lead_s
        at = 0
        while self._sent_s < due_s and self._has_frame(at):
            frame = bytes(self._waiting[at : at + FRAME_BYTES])
            at += len(frame)
            self._sent_s += len(frame) / (RATE_HZ * 2)
            self._send(frame)
        if at:
            del self._waiting[:at]
            self._changed.set()

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
        self._tracks: set[Track] = set()
        self._wake = asyncio.Event()

    def now_s(self) -> float:
        return asyncio.get_running_loop().time()

    def join(self, track: Track) -> None:
        self._tracks.add(track)
        self._wake.set()

    def leave(self, track: Track) -> None:
        self._tracks.discard(track)

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            due_s = self.now_s()
            while self._tracks:
                due_s = max(due_s + _FRAME_S, self.now_s())  # late turns are not made up for
                await asyncio.sleep(due_s - self.now_s())
                now_s = self.now_s()
                for track in list(self._tracks):
                    track.turn(now_s)
            self._wake.clear()
