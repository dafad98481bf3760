"""What a tool returns, as text for a model and within bounds."""

from __future__ import annotations

import json
from typing import Any

MAX_ERROR_CHARACTERS = 500


def text_of(result: Any) -> str:
    """
    Raises:
        TypeError, ValueError: JSON has no such thing.
    """
    if isinstance(result, str):
        return result
    return json.dumps(result, ensure_ascii=False, allow_nan=False)


def bounded(text: str, most_bytes: int) -> str:
    """The text; what is longer is cut, and says so at its end."""
    data = text.encode(errors="replace")
    if len(data) <= most_bytes:
        return data.decode()
    head = data[:most_bytes].decode(errors="ignore")
    return f"{head}\n(The rest of {len(data)} bytes was cut off.)"


def error(message: str) -> str:
    """A failure as the model is told of it."""
    shown = message.strip()
    if len(shown) > MAX_ERROR_CHARACTERS:
        shown = f"{shown[: MAX_ERROR_CHARACTERS - 1]}…"
    return f"Error: {shown}"
