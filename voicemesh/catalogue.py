"""Which files make up a set of weights, where their makers publish them, and what they must be.

What can be pinned is: a commit of the Hugging Face repository, whose listing gives the
checksums, or the checksums themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import aiohttp

from voicemesh.fetch import File
from voicemesh.trouble import PullFailed

KINDS = ("whisper", "kokoro", "piper")

_WHISPER_FILES = ("config.json", "preprocessor_config.json", "tokenizer.json", "model.bin")
_WHISPER_COMMITS = {
    "tiny.en": "0d3d19a32d3338f10357c0889762bd8d64bbdeba",
    "base.en": "3d3d5dee26484f91867d81cb899cfcf72b96be6c",
    "small.en": "d1d751a5f8271d482d14ca55d9e2deeebbae577f",
    "medium.en": "a29b04bd15381511a9af671baec01072039215e3",
    "large-v3": "edaa852ec7e145841d8ffdb056a99866b5f0a478",
}
_PIPER = "rhasspy/piper-voices"
_PIPER_TAG = "v1.0.0"
_KOKORO = "thewh1teagle/kokoro-onnx/releases/download/model-files-v1.0"
_KOKORO_FILES = {  # bytes, SHA-256
    "voices-v1.0.bin": (
        28_214_398,
        "bca610b8308e8d99f32e6fe4197e7ec01679264efed0cac9140fe9c29f1fbf7d",
    ),
    "kokoro-v1.0.onnx": (
        325_532_387,
        "7d5df8ecf7d4b1878015a32686053fd0eebe2bc377234608764cc0ef3636a6c5",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """The weights that can be had."""

    whisper: str = "base.en"
    """A size of Systran's Whisper conversions: tiny.en … large-v3."""
    piper: str = "en_US-lessac-medium"
    """A Piper voice: language, speaker, quality."""
    hub: str = "https://huggingface.co"
    """Hugging Face, or a mirror of it."""
    github: str = "https://github.com"

    async def files(self, kind: str, client: aiohttp.ClientSession) -> list[File]:
        """The files of one of `KINDS`, smallest first.

        Raises:
            PullFailed: there is no such model or voice.
            aiohttp.ClientError: the listing cannot be had.
        """
        if kind == "whisper":
            found = await self._whisper(client)
        elif kind == "piper":
            found = await self._voice(client)
        else:
            found = [
                File(
                    name=f"kokoro/{name}",
                    url=f"{self.github}/{_KOKORO}/{name}",
                    size=size,
                    sha256=sha256,
                )
                for name, (size, sha256) in _KOKORO_FILES.items()
            ]
        return sorted(found, key=lambda file: file.size)

    async def _whisper(self, client: aiohttp.ClientSession) -> list[File]:
        commit = _WHISPER_COMMITS.get(self.whisper, "main")
        found = await self._listed(client, f"Systran/faster-whisper-{self.whisper}", commit)
        return [
            _file(f"whisper/{self.whisper}/{name}", url, entry)
            for name, (url, entry) in found.items()
            if name in _WHISPER_FILES or name.startswith("vocabulary.")
        ]

    async def _voice(self, client: aiohttp.ClientSession) -> list[File]:
        language, speaker, quality = self._voice_parts()
        folder = f"{language.partition('_')[0]}/{language}/{speaker}/{quality}"
        found = await self._listed(client, _PIPER, _PIPER_TAG, folder)
        return [
            _file(f"piper/{name}", url, entry)
            for name, (url, entry) in found.items()
            if name in (f"{self.piper}.onnx", f"{self.piper}.onnx.json")
        ]

    def _voice_parts(self) -> list[str]:
        parts = self.piper.split("-")
        if len(parts) != 3:
            raise PullFailed(f"{self.piper!r} is not a Piper voice such as en_US-lessac-medium")
        return parts

    async def _listed(
        self, client: aiohttp.ClientSession, repository: str, revision: str, folder: str = ""
    ) -> Mapping[str, tuple[str, Mapping[str, Any]]]:
        """What a folder of a Hugging Face repository holds: URL and entry by file name."""
        listing = f"{self.hub}/api/models/{repository}/tree/{revision}/{folder}".rstrip("/")
        async with client.get(listing) as response:
            if response.status in (401, 404):  # the hub says 401 of what does not exist
                raise PullFailed(f"{self.hub} has no {repository}/{folder} ({revision})")
            response.raise_for_status()
            entries = await response.json()
        base = f"{self.hub}/{repository}/resolve/{revision}"
        return {
            PurePosixPath(entry["path"]).name: (f"{base}/{entry['path']}", entry)
            for entry in entries
            if entry["type"] == "file"
        }


def _file(name: str, url: str, entry: Mapping[str, Any]) -> File:
    """A file as the hub lists it: large ones with their SHA-256, small ones with git's id."""
    if lfs := entry.get("lfs"):
        return File(name=name, url=url, size=lfs["size"], sha256=lfs["oid"])
    return File(name=name, url=url, size=entry["size"], git_oid=entry["oid"])
