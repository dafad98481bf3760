"""Ends what an API key opened, after the key has been taken out of the keys file."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from gateway import endings
from gateway.connection import Connection
from gateway.sideband import Sideband

LOOK_S = 5.0

log = logging.getLogger(__name__)


async def watch(
    live: Mapping[str, Connection],
    sidebands: Iterable[Sideband],
    is_let_in: Callable[[str], bool],
    *,
    every_s: float,
) -> None:
    """Until cancelled.

    Args:
        live: The sessions of this process.
        sidebands: Those of this process.
        is_let_in: Whether the key of that hash is.
    """
    while True:
        await asyncio.sleep(every_s)
        # All, each time: a session whose key is gone may come from another process.
        keys = {connection.kept.meta.key_hash for connection in live.values()}
        keys |= {sideband.key_hash for sideband in sidebands}
        if gone := {key for key in keys if not is_let_in(key)}:
            _end(gone, live, sidebands)


def _end(gone: set[str], live: Mapping[str, Connection], sidebands: Iterable[Sideband]) -> None:
    log.info("keys revoked", extra={"keys": len(gone)})
    for connection in list(live.values()):
        if connection.kept.meta.key_hash in gone:
            connection.end(endings.Revoked())
    for sideband in sidebands:
        if sideband.key_hash in gone:
            sideband.end(endings.REVOKED, at_once=True)
