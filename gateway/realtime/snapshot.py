"""A session as it is kept between its turns, so that another process can go on with it.

What runs is not in it: a snapshot is taken when nothing does, and what happened since is told
to the session again (see `gateway/sessions/journal.py`). Audio that was kept for
`conversation.item.retrieve` is not in it either.

The format has a number. Fields can be added with a default; whatever else changes raises the
number and adds to `_UPGRADES` how the last format becomes the new one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from .conversation import Entry
from .identity import Identity
from .items import InputImage, Item
from .mcp_listing import SavedServers
from .microphone import SavedMicrophone
from .settings import Settings

FORMAT = 1

_UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""From that format to the next one."""


class UnknownFormat(Exception):
    """A newer version of this program wrote it."""


class SavedEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One item; see `conversation.Entry`."""

    item: Item
    text: str = ""
    spoken: str = ""
    images: tuple[InputImage, ...] = ()
    heard_ms: int = 0
    response_id: str = ""
    is_speech: bool = False
    audio_bytes: int = 0
    words: tuple[tuple[int, int], ...] = ()
    cut_ms: int | None = None
    is_read: bool = False
    is_notice: bool = False
    ordinal: int = 0
    version: int = 0


class Saved(msgspec.Struct, frozen=True):
    identity: Identity
    default: Settings
    settings: Settings
    conversation_id: str
    entries: tuple[SavedEntry, ...]
    microphone: SavedMicrophone
    losses: int
    silent_since_ms: int | None
    degraded: bool
    unheard_ms: int | None
    servers: SavedServers
    format: int = FORMAT


def dump(saved: Saved) -> bytes:
    # JSON: a client's JSON may hold numbers that msgpack has not.
    return _encode(saved)


def load(data: bytes) -> Saved:
    """
    Raises:
        UnknownFormat: see there.
        msgspec.MsgspecError: it is no snapshot.
    """
    raw = msgspec.json.decode(data, type=dict[str, Any])
    if raw["format"] > FORMAT:
        raise UnknownFormat(raw["format"])
    while raw["format"] < FORMAT:
        raw = _UPGRADES[raw["format"]](raw)
    return msgspec.convert(raw, Saved)


def saved_entry(entry: Entry) -> SavedEntry:
    return SavedEntry(
        item=entry.item,
        text=entry.text,
        spoken=entry.spoken,
        images=entry.images,
        heard_ms=entry.heard_ms,
        response_id=entry.response_id,
        is_speech=entry.is_speech,
        audio_bytes=entry.audio_bytes,
        words=tuple(entry.words),
        cut_ms=entry.cut_ms,
        is_read=entry.is_read,
        is_notice=entry.is_notice,
        ordinal=entry.ordinal,
        version=entry.version,
    )


def entry_of(saved: SavedEntry) -> Entry:
    fields = {name: getattr(saved, name) for name in SavedEntry.__struct_fields__}
    entry = Entry(**{**fields, "words": list(saved.words)})
    entry.recording.is_kept = False  # whatever comes is not all of it
    return entry


_encode = msgspec.json.Encoder().encode
