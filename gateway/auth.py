"""Who is calling: a bearer key, in a header or, from browsers, in a subprotocol.

Source: realtime contract §1.2 and §1.3. The tenant comes from the key and nowhere else.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from gateway.realtime.refusals import Refusal, Refused
from mesh import keys

PROTOCOL = "realtime"
_KEY_PROTOCOL = "openai-insecure-api-key."

log = logging.getLogger(__name__)

NO_KEY = Refusal(None, "Missing bearer or basic authentication in header")


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

    def tenant(self, headers: Mapping[str, str]) -> str:
        """Whose request this is.

        Raises:
            Refused: no key, or none of ours.
        """
        key = _key(headers)
        if not key:
            raise Refused(NO_KEY)
        known = self._current().find(key) if key.isascii() else None
        if known is None:
            raise Refused(_unknown(key))
        return known.tenant

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


def _key(headers: Mapping[str, str]) -> str:
    kind, _, value = headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer" and value.strip():
        return value.strip()
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
