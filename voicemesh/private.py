"""Files that only we can read: keys, passwords."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def write(file: Path, text: str, mode: int = 0o600) -> None:
    """Write a file, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(file.name + ".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as out:
        out.write(text)
    new.replace(file)


def kept(file: Path, make: Callable[[], str] = lambda: secrets.token_urlsafe(24)) -> str:
    """What is in `file`; the first time, what `make` gives."""
    if not file.exists():
        write(file, make())
    return file.read_text().strip()
