"""Ends the sessions whose gateway died and that nobody has resumed.

Any number of gateways sweep, each on its own. An abandoned session is handed out until it is
forgotten, and it is forgotten only once Redis has the fact of its end: whoever dies in
between, another sweeps it again. The fact has the same record id whoever tells it, so it is
stored once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NoReturn

from gateway.sessions.store import Abandoned, Store
from mesh.errors import Unavailable
from mesh.stream import stop_if_cancelled

_AT_ONCE = 100  # sessions of a gateway that died with thousands are ended in portions

log = logging.getLogger(__name__)


async def sweep_forever(
    store: Store,
    bury: Callable[[Abandoned], None],
    flush: Callable[[], Awaitable[bool]],
    *,
    every_s: float,
    patience_s: float,
    clock: Callable[[], float],
) -> NoReturn:
    """
    Args:
        bury: Tells that a session is over. It must not wait.
        flush: Returns whether all that was told is kept for good.
        patience_s: How long nothing is swept at the start, and after the store was away:
            nobody could say then that its sessions live. More than the store's `ttl_s`.
        clock: Monotonic seconds.
    """
    patient_until_s = clock() + patience_s
    while True:
        await asyncio.sleep(every_s)
        stop_if_cancelled()
        try:
            await store.ping()
            if clock() >= patient_until_s:
                await _sweep(store, bury, flush)
        except Unavailable:
            patient_until_s = clock() + patience_s
        except Exception:  # a mistake of ours: it must not end the process
            log.exception("sweeper failed")


async def _sweep(
    store: Store, bury: Callable[[Abandoned], None], flush: Callable[[], Awaitable[bool]]
) -> None:
    """
    Raises:
        Unavailable: the store is away. What is not forgotten is swept again.
    """
    while found := await store.sweep(_AT_ONCE):
        for abandoned in found:
            bury(abandoned)
        if not await flush():
            log.warning("abandoned sessions wait for redis", extra={"sessions": len(found)})
            return
        await store.forgotten([abandoned.session_id for abandoned in found])
        log.info("abandoned sessions ended", extra={"sessions": len(found)})
        if len(found) < _AT_ONCE:
            return
        stop_if_cancelled()
