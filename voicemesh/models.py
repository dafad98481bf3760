"""`voicemesh models pull`: weights into the folder where the engines look for them.

    whisper/<name>/{model.bin,config.json,tokenizer.json,vocabulary.*}
    kokoro/{kokoro-v1.0.onnx,voices-v1.0.bin}
    piper/<voice>.onnx, piper/<voice>.onnx.json

`manifest.json` beside them says of each file where it came from, its size and SHA-256.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import msgspec

from voicemesh import private
from voicemesh.catalogue import Catalogue
from voicemesh.fetch import Fetcher, File, check, session
from voicemesh.trouble import PullFailed

_MANIFEST = "manifest.json"


class Entry(msgspec.Struct, frozen=True):
    """What the manifest says of a file."""

    url: str
    size: int
    sha256: str


def pull(
    folder: Path,
    kinds: Sequence[str],
    catalogue: Catalogue,
    *,
    say: Callable[[str], object],
    rest_s: float = 1.0,
) -> None:
    """Fetch what is not there yet.

    Args:
        say: Told of each file, one line.
        rest_s: Before a cut download is tried again.

    Raises:
        PullFailed: something cannot be had. What came until then stays.
    """
    asyncio.run(_pull(_Store(folder, say), kinds, catalogue, rest_s))


async def _pull(store: _Store, kinds: Sequence[str], catalogue: Catalogue, rest_s: float) -> None:
    async with session() as client:
        fetcher = Fetcher(client, store.folder, progress, rest_s)
        for kind in kinds:
            with _explained(kind):
                files = await catalogue.files(kind, client)
                missing = [file for file in files if not store.has(file)]
                store.insist_on_room(missing)
                # The largest last: the engine takes part once that one is there.
                for file in missing:
                    store.record(file, await fetcher.fetch(file))


class _Store:
    """The folder and its manifest."""

    def __init__(self, folder: Path, say: Callable[[str], object]) -> None:
        self.folder = folder
        self._say = say

    def has(self, file: File) -> bool:
        """Whether the file is there, as it should be. One put there by hand is checked."""
        path = self.folder / file.name
        if not path.exists():
            return False
        known = self._entries().get(file.name)
        if known is None or known.size != path.stat().st_size:
            self.record(file, check(path, file))
        elif file.sha256 and file.sha256 != known.sha256:
            return False  # another one is published now
        self._say(f"{file.name} is there")
        return True

    def record(self, file: File, sha256: str) -> None:
        size = (self.folder / file.name).stat().st_size
        entries = {**self._entries(), file.name: Entry(file.url, size, sha256)}
        content = msgspec.json.format(msgspec.json.encode(entries, order="sorted"), indent=2)
        private.write(self.folder / _MANIFEST, content.decode() + "\n", mode=0o644)
        self._say(f"{file.name}: {size / 1e6:.1f} MB, SHA-256 {sha256}")

    def insist_on_room(self, files: Sequence[File]) -> None:
        needed = sum(file.size for file in files)
        self.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise PullFailed(
                f"{self.folder} has {free / 1e6:.0f} MB free, and {needed / 1e6:.0f} MB are to come"
            )

    def _entries(self) -> dict[str, Entry]:
        path = self.folder / _MANIFEST
        if not path.exists():
            return {}
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Entry])


def progress(name: str, have: int, total: int) -> None:
    """One line that grows, for a person; nothing for a file."""
    if sys.stdout.isatty():
        share = f"{have / total:4.0%} of {total / 1e6:.1f} MB" if total else f"{have / 1e6:.1f} MB"
        print(f"\r{name}: {share}", end="\r" if have < total else "\r\033[K", flush=True)


@contextmanager
def _explained(kind: str) -> Iterator[None]:
    """Say of a server that cannot be reached what to do about it."""
    try:
        yield
    except (aiohttp.ClientError, TimeoutError) as error:
        raise PullFailed(
            f"no weights of {kind}: {error or 'no answer'}. This needs internet (HF_ENDPOINT may "
            "name a mirror of Hugging Face). Without it, pull on another machine and copy the "
            "models folder here: the next start finds what is in it"
        ) from error
