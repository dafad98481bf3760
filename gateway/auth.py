"""Who is calling: an API key or a client secret, in a header or, from browsers, in a subprotocol.

Source: realtime contract §1.2 and §1.3. The tenant comes from the key and nowhere else; that
of a client secret is its maker's. Organization and project, which some clients name, are not
looked at.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from gateway import client_secrets
from gateway.client_secrets import Expired, Preset, Secrets
from gateway.realtime.refusals import SERVER_ERROR, Refusal, Refused
from mesh import keys
from mesh.errors import Unavailable

PROTOCOL = "realtime"
_KEY_PROTOCOL = "openai-insecure-api-key."

log = logging.getLogger(__name__)

NO_KEY = Refusal(None, "Missing bearer or basic authentication in header")
EXPIRED = Refusal(
    "token_expired",
    "This client secret has expired. Create a new one.",
    type="authentication_error",
)
NEEDS_KEY = Refusal(
    "insufficient_permissions",
    "A client secret opens Realtime sessions and nothing else. Use an API key.",
)
AWAY = Refusal(
    "service_unavailable",
    "Client secrets cannot be looked up right now. Please try again.",
    type=SERVER_ERROR,
)


class Unauthorized(Refused):
    """Nobody that we let in. 401, or close 3000."""


class Unready(Refused):
    """We cannot say who it is, or not serve them, for now. 503, or close 1011."""


@dataclass(frozen=True, slots=True)
class Who:
    """Who was let in."""

    tenant: str
    key_hash: str
    """Of the API key; of a client secret's holder, its maker's."""
    preset: Preset | None = None
    """What their client secret opens; None for who has an API key."""


class Keyring:
    """The keys file. It is read again when it changes, so that a key can be revoked."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            keys.KeyFileError: there is no file, or it is not one.
        """
        self._path = path
        self._file = keys.load(path)
        self._changed_ns = path.stat().st_mtime_ns
        self._complained_of = ""

    def find(self, key: str) -> keys.Key | None:
        """Whose key it is; None if it is none of ours."""
        return self._current().find(key) if key.isascii() else None

    def has(self, key_hash: str) -> bool:
        """Whether the key with that hash is let in."""
        return any(known.hash == key_hash for known in self._current().keys)

    def _current(self) -> keys.KeyFile:
        try:
            changed_ns = self._path.stat().st_mtime_ns
            if changed_ns != self._changed_ns:
                self._file, self._changed_ns = keys.load(self._path), changed_ns
        except (OSError, keys.KeyFileError) as error:
            # Half-written or gone: what was read last holds until it is whole again.
            if str(error) != self._complained_of:
                self._complained_of = str(error)
                log.error("keys file not read", extra={"reason": self._complained_of})
        else:
            self._complained_of = ""
        return self._file


class Doorman:
    """Knows the keys and the client secrets."""

    def __init__(self, keyring: Keyring, secrets: Secrets) -> None:
        self._keyring, self._secrets = keyring, secrets

    async def who(self, headers: Mapping[str, str]) -> Who:
        """Whose request this is.

        Raises:
            Unauthorized: no key, none of ours, or a client secret that has expired.
            Unready: client secrets cannot be looked up.
        """
        key = _key(headers)
        if not key:
            raise Unauthorized(NO_KEY)
        if key.startswith(client_secrets.PREFIX):
            return await self._holder(key)
        known = self._keyring.find(key)
        if known is None:
            raise Unauthorized(_unknown(key))
        return Who(known.tenant, known.hash)

    async def _holder(self, secret: str) -> Who:
        try:
            preset = await self._secrets.find(secret)
        except Expired:
            raise Unauthorized(EXPIRED) from None
        except Unavailable as error:
            log.error("client secrets away", extra={"reason": error.detail})
            raise Unready(AWAY) from error
        if preset is None or not self._keyring.has(preset.key_hash):
            raise Unauthorized(_unknown(secret))
        return Who(preset.tenant, preset.key_hash, preset)

    def knows(self, key_hash: str) -> bool:
        """Whether the key with that hash is let in, or has been revoked."""
        return self._keyring.has(key_hash)


DOORMAN = web.AppKey("doorman", Doorman)


async def who(request: web.Request, *, secrets: bool = True) -> Who:
    """Who asks.

    Args:
        secrets: Whether a client secret is enough.

    Raises:
        Unauthorized: nobody we let in.
        Unready: client secrets cannot be looked up.
    """
    found = await request.app[DOORMAN].who(request.headers)
    if found.preset is not None and not secrets:
        raise Unauthorized(NEEDS_KEY)
    return found


def _key(headers: Mapping[str, str]) -> str:
    kind, _, value = headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer" and value.strip():
        return value.strip()
    if azure := headers.get("api-key", "").strip():
        return azure
    for offered in headers.get("Sec-WebSocket-Protocol", "").split(","):
        if offered.strip().startswith(_KEY_PROTOCOL):
            return offered.strip().removeprefix(_KEY_PROTOCOL)
    return ""


def _unknown(key: str) -> Refusal:
    shown = f"{key[:5]}***{key[-4:]}" if len(key) >= 16 and key.isascii() else "***"
    return Refusal(
        "invalid_api_key",
        f"Incorrect API key provided: {shown}. You can find your API key at "
        "https://platform.openai.com/account/api-keys.",
    )
