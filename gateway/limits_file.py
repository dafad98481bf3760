"""Limits of single tenants, from the operator's file.

    [tenant.acme]
    requests_per_minute = 1000
    tokens_per_minute = 0          # no limit

    [tenant."Zen & Co"]
    tokens_per_minute = 5_000_000

What an entry does not say, and who has none, is as GATEWAY_REQUESTS_PER_MINUTE and
GATEWAY_TOKENS_PER_MINUTE say. The file is read again when it changes.
"""

from __future__ import annotations

import logging
import tomllib
from pathlib import Path
from typing import Annotated, Any

import msgspec

from gateway.allowance import SameForAll

_Amount = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
_Mark = tuple[int, int, int]

log = logging.getLogger(__name__)


class LimitsFileError(ValueError):
    """The limits file is missing or not as it should be. The message says where."""


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    requests_per_minute: _Amount | None = None
    tokens_per_minute: _Amount | None = None


class TenantLimits:
    """How much each tenant may ask, as the file says now."""

    def __init__(self, path: Path | None, usual: SameForAll) -> None:
        """
        Args:
            path: None: there is no file.
            usual: What the file does not say.

        Raises:
            LimitsFileError: it is not there, or not as it should be.
        """
        self._path, self._usual = path, usual
        self._seen: _Mark | None = None
        self._own: dict[str, tuple[int, int]] = {}
        self._complained_of = ""
        if path is not None:
            self._seen, self._own = _mark(path), load(path, usual)

    def of(self, tenant: str) -> tuple[int, int]:
        """Requests and tokens a minute; 0 is no limit."""
        if self._path is not None:
            self._look(self._path)
        return self._own.get(tenant) or self._usual.of(tenant)

    def _look(self, path: Path) -> None:
        """Read the file if it is another than last time. If it is broken or gone, what was
        read last holds until it is whole again."""
        try:
            mark = _mark(path)
            if mark == self._seen:
                return
            self._seen = mark
            self._own = load(path, self._usual)
        except LimitsFileError as error:
            if str(error) != self._complained_of:
                self._complained_of = str(error)
                log.error("limits file not read", extra={"reason": self._complained_of})
        else:
            self._complained_of = ""
            log.info("limits file read again", extra={"tenants": len(self._own)})


def load(path: Path, usual: SameForAll) -> dict[str, tuple[int, int]]:
    """Requests and tokens a minute of each tenant that the file names.

    Raises:
        LimitsFileError: it is not there, or not as it should be.
    """
    try:
        found = tomllib.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:  # TOML and Unicode raise ValueErrors
        raise LimitsFileError(f"{path}: {error}") from error
    tenants = found.pop("tenant", {})
    if found:
        raise LimitsFileError(f"{path}: {next(iter(found))!r} is not known: write [tenant.<name>]")
    if not isinstance(tenants, dict):
        raise LimitsFileError(f"{path}: 'tenant' is no table: write [tenant.<name>]")
    return {name: _limits(path, name, entry, usual) for name, entry in tenants.items()}


def _limits(path: Path, name: str, entry: Any, usual: SameForAll) -> tuple[int, int]:
    try:
        own = msgspec.convert(entry, _Entry)
    except msgspec.ValidationError as error:
        raise LimitsFileError(f"{path}: tenant {name!r}: {error}") from error
    requests, tokens = own.requests_per_minute, own.tokens_per_minute
    return (
        usual.requests if requests is None else requests,
        usual.tokens if tokens is None else tokens,
    )


def _mark(path: Path) -> _Mark:
    """What differs when a file is written or another takes its place.

    Raises:
        LimitsFileError: it is not there.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise LimitsFileError(f"{path}: {error}") from error
    return found.st_mtime_ns, found.st_size, found.st_ino
