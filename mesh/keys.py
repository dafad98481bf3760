"""API keys at rest: a file that holds a hash and a tenant for each, never a key.

    {"pepper": "<hex>", "keys": [{"hash": "sha256:<hex>", "tenant": "acme", "name": "phone bot"}]}

The command line writes the file, the gateway reads it. A hash is HMAC-SHA256 of the key
under the file's pepper. Why nothing slower: our keys are 256 random bits, so nobody
guesses them, and the gateway hashes one at every connection.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from pathlib import Path

import msgspec

_TENANT = re.compile(r"[!-~]([ -~]*[!-~])?")  # what gRPC metadata can carry


class KeyFileError(ValueError):
    """The keys file is missing or not as it should be. The message says where."""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """What the file knows of one key."""

    hash: str
    tenant: str
    name: str = ""

    def __post_init__(self) -> None:
        if not _TENANT.fullmatch(self.tenant):
            raise KeyFileError(f"tenant {self.tenant!r} is not printable ASCII")


class KeyFile(msgspec.Struct, frozen=True, kw_only=True):
    """The keys that are let in."""

    pepper: str
    keys: tuple[Key, ...] = ()

    def find(self, key: str) -> Key | None:
        """Whose key it is; None if it is nobody's."""
        # Not a constant-time comparison: whoever tries keys cannot choose their hashes.
        hashed = hash_key(self.pepper, key)
        return next((known for known in self.keys if known.hash == hashed), None)


def hash_key(pepper: str, key: str) -> str:
    """
    Args:
        pepper: Hexadecimal.
    """
    digest = hmac.new(bytes.fromhex(pepper), key.encode(), hashlib.sha256)
    return f"sha256:{digest.hexdigest()}"


def load(path: Path) -> KeyFile:
    """
    Raises:
        KeyFileError: there is no such file, or it cannot be read.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=KeyFile)
        bytes.fromhex(found.pepper)
    except FileNotFoundError as error:
        raise KeyFileError(f"{path} is not there; `voicemesh keys add` makes it") from error
    except (OSError, ValueError) as error:
        raise KeyFileError(f"{path}: {error}") from error
    if not found.pepper:
        raise KeyFileError(f"{path}: the pepper is empty")
    return found
