"""Client secrets: what a browser may have instead of an API key, for a while.

Source: realtime contract §9.1. A secret is random and says nothing; what it opens is kept
here, in Redis, under a hash of it. Whoever reads Redis has no secret, and a secret that
expired is still known as one for a day, so that its holder can be told so. The session it
opens, with whatever keys to MCP servers are in it, is gone from Redis when it expires.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, Protocol

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from mesh.errors import Unavailable

PREFIX = "ek_"
REMEMBERED_S = 24 * 3600
"""How long after its end an expired secret is still told from an unknown one."""

_SHAPE = re.compile(r"ek_[0-9a-f]{64}")
_LIVE, _KNOWN = "ovos:secret:", "ovos:secret-known:"


class Preset(msgspec.Struct, frozen=True):
    """What a secret opens."""

    tenant: str
    expires_at_s: int  # unix time
    model: str
    is_bound: bool = False
    """Whether its maker chose the model; else the holder may choose another."""
    kind: Literal["realtime", "transcription"] | None = None
    """None: its maker did not say, and either kind may be opened."""
    session: dict[str, Any] | None = None
    """The session object it was made with, checked."""
    key_hash: str = ""
    """Of the API key that made it: when that is revoked, so is this."""


class Expired(Exception):
    """The secret was one of ours."""


class Secrets(Protocol):
    """Raises mesh.errors.Unavailable where the store is away."""

    async def keep(self, secret: str, preset: Preset, ttl_s: float) -> None:
        """Let this secret open that for so long."""

    async def find(self, secret: str) -> Preset | None:
        """What a secret opens; None for one that never was ours.

        Raises:
            Expired: its time is over.
        """

    async def close(self) -> None:
        """Give the store's connections back."""


def new_secret() -> str:
    """256 random bits, so that nobody guesses one."""
    return PREFIX + secrets.token_hex(32)


class RedisSecrets:
    """Two keys for each secret: what it opens, gone when it expires, and that it was ours."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def keep(self, secret: str, preset: Preset, ttl_s: float) -> None:
        hashed, ttl_ms = _hash(secret), round(ttl_s * 1000)
        with _redis_away():
            # Half of it does no harm: then nobody is given the secret.
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.set(_LIVE + hashed, msgspec.json.encode(preset), px=ttl_ms)
                pipe.set(_KNOWN + hashed, b"", px=ttl_ms + REMEMBERED_S * 1000)
                await pipe.execute()

    async def find(self, secret: str) -> Preset | None:
        if not _SHAPE.fullmatch(secret):
            return None
        hashed = _hash(secret)
        with _redis_away():
            live, known = await self._redis.mget(_LIVE + hashed, _KNOWN + hashed)
        if live is not None:
            return msgspec.json.decode(live, type=Preset)
        if known is not None:
            raise Expired
        return None

    async def close(self) -> None:
        await self._redis.aclose()


@contextmanager
def _redis_away() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise Unavailable(f"redis: {type(error).__name__}", tier="gateway") from error


def _hash(secret: str) -> str:
    # No pepper, nothing slow: nobody finds 256 random bits from their hash. In braces, so that
    # a cluster keeps both keys of a secret in one slot.
    return "{sha256:" + hashlib.sha256(secret.encode()).hexdigest() + "}"
