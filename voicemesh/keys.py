"""API keys: making, listing and revoking them. The format is `mesh.keys`."""

from __future__ import annotations

import secrets
import string
from pathlib import Path

import msgspec

from mesh.keys import Key, KeyFile, hash_key, load
from voicemesh import private
from voicemesh.trouble import NoSuchKey

DEVELOPMENT = "development"

_ALPHABET = string.digits + string.ascii_letters
_CHARACTERS = 43  # of 62 kinds: 256 bits
_ID_CHARACTERS = 8


def new_key(prefix: str = "sk-") -> str:
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_CHARACTERS))


def add(file: Path, tenant: str, name: str = "") -> str:
    """Make a key for a tenant. The file, made if need be, keeps its hash only.

    Returns:
        The key; this is the one time it can be seen.
    """
    key = new_key()
    known = _known(file)
    _write(file, known, (*known.keys, _hashed(known, key, tenant, name)))
    return key


def development(key_file: Path, keys_file: Path) -> str:
    """The key for trying things out, made and let in where it is not yet.

    Args:
        key_file: Keeps the key itself, for `voicemesh talk` and for people.
    """
    key = private.kept(key_file, lambda: new_key("sk-dev-"))
    known = _known(keys_file)
    if known.find(key) is None:
        others = tuple(one for one in known.keys if one.name != DEVELOPMENT)
        _write(keys_file, known, (*others, _hashed(known, key, "dev", DEVELOPMENT)))
    return key


def identity(key: Key) -> str:
    """What a key goes by: the beginning of its hash."""
    return key.hash.partition(":")[2][:_ID_CHARACTERS]


def revoke(file: Path, wanted: str) -> Key:
    """Let a key in no longer.

    Args:
        wanted: Its identity, or its name if no other key has that.

    Raises:
        NoSuchKey: there is no such key, or there are several.
    """
    known = load(file)
    found = [key for key in known.keys if wanted in (identity(key), key.name)]
    if len(found) != 1:
        raise NoSuchKey(f"{len(found)} keys of {file} go by {wanted!r}")
    _write(file, known, tuple(key for key in known.keys if key is not found[0]))
    return found[0]


def _known(file: Path) -> KeyFile:
    return load(file) if file.exists() else KeyFile(pepper=secrets.token_hex(32))


def _hashed(known: KeyFile, key: str, tenant: str, name: str) -> Key:
    return Key(hash=hash_key(known.pepper, key), tenant=tenant, name=name)


def _write(file: Path, known: KeyFile, keys: tuple[Key, ...]) -> None:
    changed = msgspec.structs.replace(known, keys=keys)
    private.write(file, msgspec.json.format(msgspec.json.encode(changed), indent=2).decode() + "\n")
