"""Downloads of large files: resumed where they were cut, checked, whole or not there."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from voicemesh.trouble import PullFailed

TRIES = 5
PIECE_BYTES = 1 << 20
_SILENT_S = 30.0

Progress = Callable[[str, int, int], None]
"""Told the file's name, the bytes there are and the bytes there will be (0: unknown)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file to have."""

    name: str
    """Path below the models folder."""
    url: str
    size: int = 0
    """Bytes; 0 if nobody says."""
    sha256: str = ""
    git_oid: str = ""
    """Git's id of the content, for small files whose SHA-256 is not published."""


class Cut(Exception):
    """The connection ended before the file did."""


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches into one folder."""

    session: aiohttp.ClientSession
    folder: Path
    progress: Progress
    rest_s: float = 1.0
    """Before the first new try; doubled before each further one."""

    async def fetch(self, file: File) -> str:
        """Have the file in the folder.

        Returns:
            Its SHA-256.

        Raises:
            PullFailed: it cannot be had, or is not what it should be.
            aiohttp.ClientConnectorError: nobody is there.
        """
        target = self.folder / file.name
        part = target.with_name(target.name + ".part")
        part.parent.mkdir(parents=True, exist_ok=True)
        for n_try in range(1, TRIES + 1):
            try:
                await self._append(file, part)
                break
            except (Cut, aiohttp.ClientConnectionError, TimeoutError) as error:
                if n_try == 1 and isinstance(error, aiohttp.ClientConnectorError):
                    raise  # nobody was there to be cut from
                if n_try == TRIES:
                    raise PullFailed(
                        f"cannot fetch {file.url} ({error or 'no answer'}); "
                        "the next pull goes on where this one stopped"
                    ) from error
                await asyncio.sleep(self.rest_s * 2 ** (n_try - 1))
        sha256 = await asyncio.to_thread(check, part, file)
        part.replace(target)
        return sha256

    async def _append(self, file: File, part: Path) -> None:
        """Add to `part` what it lacks."""
        have = _size(part)
        if file.size and have == file.size:
            return
        headers = {"Range": f"bytes={have}-"} if have else {}
        async with self.session.get(file.url, headers=headers) as response:
            if response.status == 416:  # what we have is not the beginning of it
                _remove(part)
                raise Cut("it has changed meanwhile")
            if response.status >= 400:
                raise PullFailed(f"{file.url}: HTTP {response.status} {response.reason}")
            if response.status != 206:
                have = 0
            total = file.size or have + (response.content_length or 0)
            with part.open("ab" if have else "wb") as out:
                try:
                    async for piece in response.content.iter_chunked(PIECE_BYTES):
                        await asyncio.to_thread(out.write, piece)
                        have += len(piece)
                        self.progress(file.name, have, total)
                except aiohttp.ClientPayloadError as error:
                    raise Cut(f"cut after {have} bytes") from error
        if total and have < total:
            raise Cut(f"cut after {have} of {total} bytes")


def check(path: Path, file: File) -> str:
    """See that a file is what it should be; what is not is removed.

    Returns:
        Its SHA-256.

    Raises:
        PullFailed: it is not. The message says in what.
    """
    size = path.stat().st_size
    sha256, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with path.open("rb") as content:
        while piece := content.read(PIECE_BYTES):
            sha256.update(piece)
            git.update(piece)
    for what, wanted, found in (
        ("bytes", file.size, size),
        ("SHA-256", file.sha256, sha256.hexdigest()),
        ("git id", file.git_oid, git.hexdigest()),
    ):
        if wanted and wanted != found:
            path.unlink()
            raise PullFailed(f"{file.url} has not the {what} it should: {found}, not {wanted}")
    return sha256.hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _remove(path: Path) -> None:
    path.unlink()


def session() -> aiohttp.ClientSession:
    """For `Fetcher`: follows the environment's proxies, gives up on silence, not on size."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_SILENT_S, sock_read=_SILENT_S)
    return aiohttp.ClientSession(timeout=timeout, trust_env=True)
