"""What a keeper asks of sessions, so that the trouble of one is not the trouble of all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress

from gateway.sessions.kept import Kept
from gateway.sessions.store import Outcome, Write
from mesh.errors import Unavailable

PORTION_BYTES = 8 << 20
"""Of one round trip: more takes longer than the store may be silent."""

_FAILED = "session cannot be kept"

log = logging.getLogger(__name__)

News = tuple[Kept, Write, int]
"""A session, what is to be written of it, and the number of its last event."""


def portions(batch: list[Kept]) -> Iterator[list[News]]:
    """What there is to write of these sessions, as much at a time as one round trip carries."""
    portion: list[News] = []
    n_bytes = 0
    for kept in batch:
        write = news(kept)
        if write is None:
            continue
        size = len(write.state or b"") + sum(map(len, write.entries))
        if portion and n_bytes + size > PORTION_BYTES:
            yield portion
            portion, n_bytes = [], 0
        portion.append((kept, write, kept.journal.seq))
        n_bytes += size
    if portion:
        yield portion


def news(kept: Kept) -> Write | None:
    """What to write of a session now; None if there is nothing. It never fails."""
    try:
        return kept.write()
    except Exception:  # a mistake of ours: it ends this session and no other
        log.exception(_FAILED, extra={"session_id": kept.session_id})
        _give_up(kept)
        return None


def written(kept: Kept, write: Write, outcome: Outcome, made: int) -> None:
    """See `Kept.written`. It never fails."""
    try:
        kept.written(write, outcome, made)
    except Exception:  # as above
        log.exception(_FAILED, extra={"session_id": kept.session_id})
        _give_up(kept)


async def revived(kept: Kept, revive: Callable[[Kept], Awaitable[None]]) -> None:
    """Make it anew in the store.

    Raises:
        Unavailable: the store is away again.
    """
    try:
        await revive(kept)
    except Unavailable:
        raise
    except Exception:  # as above
        log.exception(_FAILED, extra={"session_id": kept.session_id})
        _give_up(kept)


def _give_up(kept: Kept) -> None:
    with suppress(Exception):
        kept.lose(Outcome.GONE)


def settle(waiting: Iterable[asyncio.Future[None]], error: Unavailable | None = None) -> None:
    """Tell those who wait for a write what became of it."""
    for future in waiting:
        if future.done():
            continue  # it has waited for long enough
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(Unavailable(error.detail, tier=error.tier))
