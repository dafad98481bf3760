"""How a process gives its sessions to others before it ends (R1.2).

Balancers are told first. Then each session between two turns is closed with 1012, and its
client goes on at another gateway; one that speaks or is spoken to is waited for. When the time
is over the others are moved in the middle of what they do. Closings are spread over some time,
so that the other gateways can take them all.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping
from contextlib import suppress

from gateway.connection import Connection

SETTLE_S = 0.7
"""Balancers ask every half second whether we are ready."""
_LOOK_S = 0.05
_LEAVE_S = 3.0
_MOST_SPREAD = 1 / 3  # of the time there is

log = logging.getLogger(__name__)


async def drain(live: Mapping[str, Connection], *, within_s: float, per_s: float) -> None:
    """Move every session elsewhere.

    Args:
        live: The sessions of this process; each leaves it when it has moved.
        within_s: How long what is being said may take to end.
        per_s: How many clients a second others can take; 0 is any number.
    """
    if not live:
        return
    loop = asyncio.get_running_loop()
    log.info("draining", extra={"sessions": len(live)})
    began_s = loop.time()
    spread_s = min(len(live) / per_s, within_s * _MOST_SPREAD) if per_s else 0.0
    due_s = {sid: began_s + random.uniform(0, spread_s) for sid in live}
    async with asyncio.TaskGroup() as tasks:
        moving: set[str] = set()
        while left := [sid for sid in live if sid not in moving]:
            is_late = loop.time() - began_s > within_s - SETTLE_S
            for sid in left:
                if is_late or (live[sid].is_quiet and due_s.get(sid, 0.0) <= loop.time()):
                    moving.add(sid)
                    tasks.create_task(_move(live[sid]), name=f"move {sid}")
            await asyncio.sleep(_LOOK_S)
    log.info("drained", extra={"sessions": len(moving)})


async def _move(connection: Connection) -> None:
    await connection.drain()
    with suppress(TimeoutError):
        async with asyncio.timeout(_LEAVE_S):
            await connection.has_left.wait()  # what is kept of it is all there
