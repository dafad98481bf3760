"""Facts on disk while Redis is away: a bounded write-ahead file, in segments.

A segment is deleted once Redis has all of it. Why a position in it is not kept: after a crash
in the middle of reading, a segment is read again from its start, and consumers drop what comes
twice.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from gateway import spool_files as files
from gateway.spool_files import SpoolError, Waiting

__all__ = ["Spool", "SpoolError", "Waiting"]

_READ_BYTES = 256 << 10  # at once; a batch of ordinary facts is less
_MOST_SEGMENT_BYTES = 8 << 20
_SEGMENTS = 16  # at least so many fill a spool, so dropping the oldest drops little

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Segment:
    path: Path
    size: int = 0  # bytes of whole records
    facts: int = 0
    read: int = 0  # bytes that were read and are done with
    read_facts: int = 0

    @property
    def left(self) -> int:
        return self.facts - self.read_facts


class Spool:
    """A queue of facts on disk. Full, it drops the oldest segment and counts what was in it.

    It waits for the disk: call it from a thread, one call at a time. The properties can be
    read from anywhere.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        """
        Args:
            folder: May be shared by processes: each takes a folder of its own in it.
            most_bytes: Of this process.
        """
        self._root, self._most_bytes = folder, most_bytes
        self._segment_bytes = min(_MOST_SEGMENT_BYTES, most_bytes // _SEGMENTS)
        self._lock = -1
        self._folder: Path | None = None
        self._segments: list[_Segment] = []
        self._numbered = 0  # the newest segment's
        self._into: int | None = None  # file of the last segment, if it is being written
        self._ahead: tuple[_Segment, int, int] | None = None  # bytes and facts of the last read
        self.dropped = 0
        """Facts lost so far: beyond the bound, or in a part that cannot be read."""

    @property
    def is_open(self) -> bool:
        return self._folder is not None

    @property
    def is_empty(self) -> bool:
        return not self._segments

    @property
    def facts(self) -> int:
        """How many it holds."""
        return sum(segment.left for segment in tuple(self._segments))

    @property
    def size_bytes(self) -> int:
        return sum(segment.size for segment in tuple(self._segments))

    def open(self) -> None:
        """Take a slot, and all that processes which are gone left in theirs.

        Raises:
            SpoolError: see there.
        """
        try:
            self._folder, self._lock = files.take_slot(self._root)
            for path in files.segments(self._folder):
                self._take(path)
            with files.abandoned(self._root, self._folder) as left:
                for path in left:  # there may have been more processes than there are now
                    self._take(path.rename(self._next_path(self._folder)))
        except OSError as error:
            self.close()
            raise SpoolError(f"{error.filename or self._root}: {error.strerror}") from error
        if self._segments:
            log.warning("spool found", extra={"facts": self.facts, "bytes": self.size_bytes})

    def close(self) -> None:
        """Let go of the slot. What is in it is for whoever takes it next."""
        self._end_segment()
        if self._lock >= 0:
            os.close(self._lock)
        self._lock, self._folder = -1, None

    def append(self, facts: Sequence[Waiting]) -> None:
        """Returns when they are on the disk.

        Raises:
            OSError: Some may be there and some not.
        """
        data, n = bytearray(), 0
        for stream, record in facts:
            frame = files.frame(stream, record)
            if self._is_full(len(data) + len(frame)):
                self._write(data, n)
                self._end_segment()
                data, n = bytearray(), 0
            data += frame
            n += 1
        self._write(data, n)

    def read(self, most: int) -> list[Waiting]:
        """The oldest facts, at most so many: the same again until `forget`. None: it is empty."""
        while self._segments:
            segment = self._segments[0]
            try:
                found, ends = _read(segment, most)
            except OSError as error:
                self._lose(segment, f"spool cannot be read: {error.strerror}")
                self._let_go(segment)  # the file stays, for another process to try
                continue
            if found:
                self._ahead = (segment, ends, len(found))
                return found
            if segment.left:
                self._lose(segment, "spool damaged")
            self._remove(segment)
        return []

    def forget(self) -> None:
        """What was read last is done with."""
        if self._ahead is None:
            return
        segment, ends, n = self._ahead
        self._ahead = None
        segment.read += ends
        segment.read_facts += n
        if segment.read >= segment.size and segment in self._segments:
            self._remove(segment)

    def _write(self, data: bytearray, n: int) -> None:
        if not n:
            return
        self._make_room(len(data))
        if self._into is None:
            self._begin_segment()
        assert self._into is not None
        segment = self._segments[-1]
        try:
            files.append(self._into, data)
        except OSError:
            self._mend(segment)
            raise
        segment.size += len(data)
        segment.facts += n

    def _mend(self, segment: _Segment) -> None:
        """Take away what a write that failed left; on a full disk it would add up."""
        self._end_segment()
        if not segment.size:
            self._remove(segment)
            return
        with suppress(OSError):  # a torn record at the end harms nobody
            os.truncate(segment.path, segment.size)

    def _is_full(self, more: int) -> bool:
        written = self._segments[-1].size if self._into is not None else 0
        return written + more > self._segment_bytes

    def _make_room(self, n_bytes: int) -> None:
        while self._segments and self.size_bytes + n_bytes > self._most_bytes:
            self._lose(self._segments[0], "spool full")
            self._remove(self._segments[0])

    def _begin_segment(self) -> None:
        if self._folder is None:
            raise OSError("the spool is not open")
        path = self._next_path(self._folder)
        self._into = files.create(path)
        self._segments.append(_Segment(path))

    def _end_segment(self) -> None:
        if self._into is not None:
            into, self._into = self._into, None
            os.close(into)

    def _next_path(self, folder: Path) -> Path:
        self._numbered += 1
        return files.segment(folder, self._numbered)

    def _lose(self, segment: _Segment, why: str) -> None:
        if not self.dropped:  # one line; the rest is in the metric
            log.error(why, extra={"facts": segment.left, "bytes": segment.size})
        self.dropped += segment.left

    def _remove(self, segment: _Segment) -> None:
        self._let_go(segment)
        try:
            segment.path.unlink(missing_ok=True)
        except OSError as error:  # read again by the next process, which harms nobody
            log.error("spool not deleted", extra={"reason": error.strerror})

    def _let_go(self, segment: _Segment) -> None:
        if segment is self._segments[-1]:
            self._end_segment()
        self._segments.remove(segment)

    def _take(self, path: Path) -> None:
        """Count what a segment of an earlier life holds."""
        data = path.read_bytes()
        segment = _Segment(path)
        for _, end in files.frames(data):
            segment.size = end
            segment.facts += 1
        self._numbered = max(self._numbered, files.number(path))
        self._segments.append(segment)
        if torn := len(data) - segment.size:
            log.warning("spool torn", extra={"facts": segment.facts, "torn_bytes": torn})


def _read(segment: _Segment, most: int) -> tuple[list[Waiting], int]:
    """Facts from where it was read to, and how many bytes they take.

    Raises:
        OSError: it cannot be read.
    """
    data = files.read(segment.path, segment.read, segment.size, _READ_BYTES)
    found: list[Waiting] = []
    ends = 0
    for fact, end in islice(files.frames(data), most):
        found.append(fact)
        ends = end
    return found, ends
