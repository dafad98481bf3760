"""The operator's stored prompts, from a file.

    [[prompt]]
    id = "pmpt_support"
    version = "2"          # "1" if it is left out; the last one in the file is the newest
    text = "You help {{customer}} of Acme."

A client names one with `session.prompt` and gives its variables
(`gateway/realtime/prompts.py`).
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

from gateway.realtime.prompts import Stock, Stored


class PromptsFileError(ValueError):
    """The prompts file is missing or not as it should be. The message says where."""


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    text: str
    version: str = "1"


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    prompt: list[_Entry] = []


def load(path: Path | None) -> Stock:
    """The versions of each prompt, the newest last; none without a file.

    Raises:
        PromptsFileError: it is not there, or not as it should be.
    """
    if path is None:
        return {}
    try:
        found = msgspec.convert(tomllib.loads(path.read_text()), _File)
    except (OSError, ValueError) as error:  # what TOML and msgspec raise are ValueErrors
        raise PromptsFileError(f"{path}: {error}") from error
    stored: dict[str, tuple[Stored, ...]] = {}
    for entry in found.prompt:
        versions = stored.get(entry.id, ())
        if any(known.version == entry.version for known in versions):
            raise PromptsFileError(f"{path}: prompt {entry.id!r}, version {entry.version!r}: twice")
        stored[entry.id] = (*versions, Stored(entry.text, entry.version))
    return stored
