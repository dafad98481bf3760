"""Ids as the live service makes them: a prefix and 21 characters."""

from __future__ import annotations

import hashlib
import secrets

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LENGTHS = {"call": 16}


def new_id(prefix: str) -> str:
    """E.g. "item" gives "item_" and 21 base-62 characters."""
    return _id(prefix, secrets.randbits(128))


class Ids:
    """The ids of one session. Whoever knows its seed and how many were made makes the same ones:
    a session that another process restores must not rename what its client knows."""

    __slots__ = ("n", "seed")

    def __init__(self, seed: bytes = b"", n: int = 0) -> None:
        """
        Args:
            seed: At most 64 bytes; a new one if there is none.
            n: How many were made.
        """
        self.seed, self.n = seed or secrets.token_bytes(16), n

    def renew(self, seed: bytes) -> None:
        """Make others from now on."""
        self.seed, self.n = seed, 0

    def __call__(self, prefix: str) -> str:
        self.n += 1
        made = hashlib.blake2b(self.n.to_bytes(8, "big"), key=self.seed, digest_size=16)
        return _id(prefix, int.from_bytes(made.digest(), "big"))


def _id(prefix: str, number: int) -> str:
    characters = []
    for _ in range(_LENGTHS.get(prefix, 21)):
        number, n = divmod(number, 62)
        characters.append(_BASE62[n])
    return f"{prefix}_{''.join(characters)}"


def event_id() -> str:
    """Of a server event that belongs to no session."""
    return f"event_{secrets.token_hex(10)}"
