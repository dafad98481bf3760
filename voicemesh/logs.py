"""What a tier says: all of it into a file, and what a person should know of it."""

from __future__ import annotations

import contextlib
import json
from collections import deque
from pathlib import Path
from typing import Any

KEPT_FILES = 3  # of earlier starts
MAX_FILE_BYTES = 10 << 20  # with the kept ones, 40 MiB a tier at most
_MAX_LINE_BYTES = 1 << 20  # without an end so far; a line this long is cut
_LAST_LINES = 5

_LOUD = {"WARNING", "ERROR", "CRITICAL"}
_ROUTINE = {
    "level", "logger", "event", "service", "time", "exc_info", "taskName", "stack_info",
    "correlation_id", "tenant_id",
}  # fmt: skip
_SERVER_TROUBLE = ("PANIC:", "FATAL:", "ERROR:", "Fatal error", "Bad file format")


class Log:
    """The log file of one tier. A start begins a new file and keeps the last few."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last: deque[str] = deque(maxlen=_LAST_LINES)
        """The last lines, oldest first."""
        self._unfinished = b""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._roll()

    def write(self, piece: bytes) -> list[str]:
        """Append to the file.

        Returns:
            The lines that are now complete.
        """
        with contextlib.suppress(OSError):  # a full disk must not end what is logged
            if self._size + len(piece) > MAX_FILE_BYTES:
                self._out.close()
                self._roll()
            self._out.write(piece)
            self._size += len(piece)
        *lines, self._unfinished = (self._unfinished + piece).split(b"\n")
        if len(self._unfinished) > _MAX_LINE_BYTES:
            lines, self._unfinished = [*lines, self._unfinished], b""
        complete = [line.decode(errors="replace").rstrip() for line in lines]
        self.last.extend(line for line in complete if line)
        return complete

    def close(self) -> None:
        self._out.close()

    def _roll(self) -> None:
        """Make way for a new file: tier.log becomes tier.log.1, and so on."""
        names = [self.path, *(Path(f"{self.path}.{n}") for n in range(1, KEPT_FILES + 1))]
        for older, newer in reversed(list(zip(names[1:], names, strict=False))):
            if newer.exists():
                newer.replace(older)
        self._out = self.path.open("wb", buffering=0)
        self._size = 0


def event(line: str) -> dict[str, Any] | None:
    """The fields of a line that one of our tiers logged; None for any other line."""
    if not line.startswith("{"):
        return None
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) and "event" in fields else None


def short(line: str) -> str:
    """A line for a person: the event and its fields, without time and what all lines have."""
    fields = event(line)
    if fields is None:
        found = [line[line.index(mark) :] for mark in _SERVER_TROUBLE if mark in line]
        return found[0] if found else line
    detail = " ".join(f"{k}={v}" for k, v in fields.items() if k not in _ROUTINE)
    cause = str(fields.get("exc_info", "")).strip().splitlines()[-1:]
    return ": ".join(part for part in (str(fields["event"]), detail, *cause) if part)


def is_loud(line: str) -> bool:
    """Whether a person at the terminal should see the line."""
    fields = event(line)
    if fields is None:
        return any(mark in line for mark in _SERVER_TROUBLE)
    return fields.get("level") in _LOUD
