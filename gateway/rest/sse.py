"""Server-sent events, as the OpenAI API sends them: `data:` and JSON, no event names."""

from __future__ import annotations

from typing import Any

import msgspec

CONTENT_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""So that no proxy keeps events back."""


def event(data: Any) -> bytes:
    return b"data: " + msgspec.json.encode(data) + b"\n\n"
