"""The files of a spool: whose they are, and how records lie in them.

    <folder>/0/lock             held by the process that has this slot; a process takes a free one
    <folder>/0/0000000001.v1    segments, oldest first

A record in a segment: length of its body and CRC-32 of its body, 4 bytes each, big endian;
then the body: length of the stream's name (1 byte), the name, the fact as it goes to Redis.

They hold what people said, so nobody else may read them: folders 0700, files 0600.
"""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import Struct

MOST_SLOTS = 1024  # processes that share a folder; an instance has at most 256

_SUFFIX = ".v1"
_HEAD = Struct(">II")

Waiting = tuple[str, bytes]
"""A stream and what goes into it."""


class SpoolError(Exception):
    """The folder cannot be used. The message says why."""


def take_slot(root: Path) -> tuple[Path, int]:
    """A folder that no other process has, and the open file that keeps it so.

    Raises:
        OSError: it cannot be made.
        SpoolError: there is none left.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    for n in range(MOST_SLOTS):
        folder = root / str(n)
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
        lock = _try_lock(folder)
        if lock is not None:
            return folder, lock
    raise SpoolError(f"{root}: all {MOST_SLOTS} slots are taken")


@contextmanager
def abandoned(root: Path, own: Path) -> Iterator[list[Path]]:
    """Segments in slots that no process has; nobody takes those slots meanwhile."""
    locks: list[int] = []
    found: list[Path] = []
    try:
        for n in range(MOST_SLOTS):
            folder = root / str(n)
            if folder == own or not folder.is_dir():
                continue
            lock = _try_lock(folder)
            if lock is not None:
                locks.append(lock)
                found += segments(folder)
        yield found
    finally:
        for lock in locks:
            os.close(lock)


def segments(folder: Path) -> list[Path]:
    """Oldest first."""
    found = [path for path in folder.glob(f"*{_SUFFIX}") if path.stem.isdigit()]
    return sorted(found, key=number)


def segment(folder: Path, n: int) -> Path:
    return folder / f"{n:010}{_SUFFIX}"


def number(path: Path) -> int:
    return int(path.stem)


def create(path: Path) -> int:
    """A new file to append to, that is still there after a power cut."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError:
        os.close(fd)
        raise
    return fd


def append(fd: int, data: bytes | bytearray) -> None:
    """Returns when it is on the disk."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
    os.fdatasync(fd)


def read(path: Path, start: int, end: int, at_once: int) -> bytes:
    """Bytes from `start`: about so many, and at least a whole record, none beyond `end`."""
    with path.open("rb") as file:
        file.seek(start)
        data = file.read(min(at_once, end - start))
        if len(data) >= _HEAD.size:
            wanted = min(_HEAD.size + _HEAD.unpack_from(data)[0], end - start)
            data += file.read(max(0, wanted - len(data)))
    return data


def frame(stream: str, record: bytes) -> bytes:
    name = stream.encode()
    body = bytes((len(name),)) + name + record
    return _HEAD.pack(len(body), zlib.crc32(body)) + body


def frames(data: bytes) -> Iterator[tuple[Waiting, int]]:
    """Whole records and where each ends; nothing from the first torn one on."""
    start = 0
    while start + _HEAD.size <= len(data):
        length, crc = _HEAD.unpack_from(data, start)
        body = data[start + _HEAD.size : start + _HEAD.size + length]
        if not body or len(body) < length or zlib.crc32(body) != crc:
            return
        start += _HEAD.size + length
        split = 1 + body[0]
        yield (body[1:split].decode(), body[split:]), start


def _try_lock(folder: Path) -> int | None:
    """An open file that holds the folder's lock; None if somebody else does."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock
