"""Paths that espeak-ng can hold, wherever it is built in: in Kokoro's and Piper's libraries too."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

# espeak-ng copies the path of its data into 160 bytes and cuts it off there. Then it finds
# no data and, if its caller did not ask it not to, ends the process.
MAX_PATH_BYTES = 150


def short_path(path: str) -> str:
    """The path, or a short link to it if espeak-ng would cut it off."""
    return path if len(path.encode()) <= MAX_PATH_BYTES else _link_to(path)


@functools.cache
def _link_to(path: str) -> str:
    folder = tempfile.mkdtemp(prefix="espeak-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    link = Path(folder) / "espeak-ng-data"
    link.symlink_to(path, target_is_directory=True)
    return str(link)
