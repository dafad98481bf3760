"""An item as `conversation.item.retrieve` is answered: with its audio."""

from __future__ import annotations

from typing import Any

import msgspec
from pybase64 import b64encode

from . import g711
from .conversation import Entry
from .microphone import law_of
from .settings import Audio, Pcm


def retrieved(entry: Entry, audio: Audio) -> dict[str, Any]:
    """The item on the wire, with what is still kept of its audio.

    Args:
        audio: Its formats are the session's.
    """
    item: dict[str, Any] = msgspec.to_builtins(entry.item)
    formats = {"input_audio": audio.input.format, "output_audio": audio.output.format}
    for part in item.get("content", ()):
        if part["type"] in formats and entry.recording.pcm:
            format_, pcm = formats[part["type"]], bytes(entry.recording.pcm)
            sound = pcm if isinstance(format_, Pcm) else g711.encode(pcm, law_of(format_))
            part["audio"] = b64encode(sound).decode()
    return item
