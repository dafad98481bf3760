"""Ids as the live service makes them: a prefix and 21 characters."""

from __future__ import annotations

import secrets

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LENGTHS = {"call": 16}


def new_id(prefix: str) -> str:
    """E.g. "item" gives "item_" and 21 base-62 characters."""
    n = _LENGTHS.get(prefix, 21)
    return f"{prefix}_{''.join(secrets.choice(_BASE62) for _ in range(n))}"


def event_id() -> str:
    """Of a server event: every audio frame has one, so it is made the cheap way."""
    return f"event_{secrets.token_hex(10)}"
