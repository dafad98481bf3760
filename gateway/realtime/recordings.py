"""Audio that is kept for `conversation.item.retrieve`. All of it is PCM16 LE mono 24 kHz.

A session keeps a bounded amount: the newest items win. An item of more than LONGEST_MS
is not kept at all: the answer must fit the frames of 1 MiB that clients take.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from .settings import RATE_HZ

LONGEST_MS = 14_000  # of one item; as base64 it is 0.9 MB
BYTES_PER_MS = RATE_HZ * 2 // 1000


class Tape:
    """The microphone's last LONGEST_MS, with the prefix padding of speech."""

    __slots__ = ("_bytes", "_end", "_most", "_parts")

    def __init__(self, kept_ms: int) -> None:
        """
        Args:
            kept_ms: 0 records nothing.
        """
        self._most = min(kept_ms, LONGEST_MS) * BYTES_PER_MS
        self._parts: deque[bytes] | None = None  # an empty one takes 760 bytes
        self._bytes = 0
        self._end = 0  # bytes recorded in the session

    def add(self, pcm: bytes) -> None:
        self._end += len(pcm)
        if not self._most:
            return
        if (parts := self._parts) is None:
            parts = self._parts = deque()
        pcm = pcm[-self._most :]
        parts.append(pcm)
        self._bytes += len(pcm)
        while self._bytes - len(parts[0]) >= self._most:
            self._bytes -= len(parts.popleft())

    def skip(self, n_bytes: int) -> None:
        """That much was not recorded: what came before it is no part of anything new."""
        self._parts, self._bytes = None, 0
        self._end += n_bytes

    def put_back(self, pcm: bytes) -> None:
        """The last of what was passed over, after all."""
        pcm = pcm[-self._most :] if self._most else b""
        self._parts, self._bytes = deque([pcm]) if pcm else None, len(pcm)

    def since(self, start_ms: int) -> bytes:
        """The session from there to the last byte; empty if it is not all there."""
        begin, start = self._end - self._bytes, self._byte(start_ms)
        return self._all()[start - begin :] if begin <= start < self._end else b""

    def cut(self, start_ms: int, end_ms: int) -> bytes:
        """That part of the session; empty if it is not all there."""
        begin = self._end - self._bytes
        start, end = self._byte(start_ms), end_ms * BYTES_PER_MS
        if not begin <= start < end <= self._end:
            return b""
        return self._all()[start - begin : end - begin]

    def _all(self) -> bytes:
        return b"".join(self._parts or ())

    def _byte(self, start_ms: int) -> int:
        """Where that is; within a millisecond, where the tape begins."""
        begin, start = self._end - self._bytes, start_ms * BYTES_PER_MS
        return begin if begin - BYTES_PER_MS < start < begin else start


class Kept(Protocol):
    """Audio that would have to be heard again by another process: PCM16 LE mono 24 kHz."""

    @property
    def odd(self) -> bytes:
        """Half a sample that waits for its other half."""

    @property
    def kept_from_ms(self) -> int | None:
        """Where it begins in the session; None if there is none."""

    def kept(self) -> bytes:
        """All of it, up to now."""


@dataclass(slots=True, eq=False)
class Recording:
    """The audio of one item."""

    pcm: bytearray = field(default_factory=bytearray)
    is_kept: bool = True
    """False once there was no room for it."""


class Shelf:
    """What all recordings of a session may take together: `kept_ms`."""

    __slots__ = ("_bytes", "_kept", "_most")

    def __init__(self, kept_ms: int) -> None:
        self._most = kept_ms * BYTES_PER_MS
        self._kept: list[Recording] = []
        self._bytes = 0

    def add(self, recording: Recording, pcm: bytes) -> None:
        """More audio of an item."""
        if not recording.is_kept or not pcm:
            return
        if not recording.pcm:
            self._kept.append(recording)
        recording.pcm += pcm
        self._bytes += len(pcm)
        if len(recording.pcm) > LONGEST_MS * BYTES_PER_MS:
            self.drop(recording)
        while self._bytes > self._most:
            self.drop(self._kept[0])

    def cut(self, recording: Recording, end_ms: int) -> None:
        """Keep so much of an item, and record no more of it."""
        before = len(recording.pcm)
        del recording.pcm[end_ms * BYTES_PER_MS :]
        self._bytes -= before - len(recording.pcm)

    def drop(self, recording: Recording) -> None:
        if recording in self._kept:
            self._kept.remove(recording)
        self._bytes -= len(recording.pcm)
        recording.pcm, recording.is_kept = bytearray(), False
