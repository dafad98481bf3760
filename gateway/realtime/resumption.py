"""Where a reply goes on that another process began.

What was written need not be written again, and what was spoken need not be heard again. Speech
goes on at the end of the last piece that the client has had whole: the next one is made once
more, as it was, and what the client has of it already is left out. So the seam is in the
middle of the same sound, wherever that is.
"""

from __future__ import annotations

from . import effects as do
from .conversation import Entry
from .recordings import BYTES_PER_MS
from .signals import ReplyEnded, ReplyFailed


def begun(text: str, entry: Entry | None, ended: ReplyEnded | ReplyFailed | None) -> do.Begun:
    """
    Args:
        text: All that was written of the reply.
        entry: Its message, if there is one. Its timing behind the seam is forgotten: it will
            come again.
        ended: How the model ended, if it has.
    """
    if entry is None:
        return do.Begun(text, 0, 0, 0, ended)
    sent = [piece for piece in entry.pieces if piece[1] * BYTES_PER_MS <= entry.audio_bytes]
    from_char, from_ms = sent[-1] if sent else (0, 0)
    entry.pieces = sent
    entry.words = [word for word in entry.words if word[0] <= from_char]
    return do.Begun(text, from_char, from_ms, entry.audio_bytes - from_ms * BYTES_PER_MS, ended)
