"""Where sessions are kept, so that another gateway can go on with one: the port.

A session has one owner and an **epoch**, a fencing number that every claim raises. A write
that carries an older epoch changes nothing and is told so. What is kept of a session is a
snapshot and a journal: the inputs since the snapshot, numbered from the session's first one.
Beside them each process keeps **marks**: how far the clients of its sessions have been told.
They are small and written often, for all sessions of a process at once.

Every method raises mesh.errors.Unavailable where the store is away. Then nothing is known of
what was asked: it may have been done. All of them can be asked again.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

import msgspec

log = logging.getLogger(__name__)


class Meta(msgspec.Struct, frozen=True):
    """What is fixed when a session begins."""

    tenant: str
    key_hash: str
    """Of the API key that opened it."""
    model: str
    expires_at_s: int  # unix time
    conversation_id: str
    beta: bool = False


def meta_of(session_id: str, packed: bytes) -> Meta | None:
    """What is packed. None if it is not ours: nobody ends such a session, and its keys expire."""
    try:
        return msgspec.msgpack.decode(packed, type=Meta)
    except msgspec.MsgspecError:
        log.error("session not understood", extra={"session_id": session_id})
        return None


@dataclass(frozen=True, slots=True)
class Write:
    """News of one session."""

    session_id: str
    epoch: int
    first: int
    """Number of the first of `entries`; how many came before it."""
    entries: tuple[bytes, ...] = ()
    state: bytes | None = None
    """A snapshot that holds all entries before `first`: those need not be kept any more."""


class Outcome(Enum):
    """What became of a write."""

    KEPT = auto()
    MOVED = auto()
    """Another gateway owns the session: it is lost to us."""
    GONE = auto()
    """There is no such session any more."""
    MISSING = auto()
    """Entries before `first` never came: only a write with a state can follow."""
    AWAY = auto()
    """The part of the store that has this session cannot be reached; others can."""


@dataclass(frozen=True, slots=True)
class Found:
    """A session that is ours from now on."""

    meta: Meta
    epoch: int
    first: int
    """How many entries came before those in `entries`: what `state` holds."""
    state: bytes
    entries: tuple[bytes, ...]
    mark: bytes | None
    """The last owner's last mark, if there is one of its epoch."""


@dataclass(frozen=True, slots=True)
class Abandoned:
    """A session whose owner has not been heard of, and that nobody has resumed."""

    session_id: str
    meta: Meta


class Taken(Exception):
    """There is a session of that id."""


class Store(Protocol):
    """One for each gateway process; it knows the name of its process."""

    @property
    def gateway_id(self) -> str:
        """The process, among all that ever ran."""

    async def create(self, session_id: str, meta: Meta, state: bytes, epoch: int = 1) -> None:
        """Begin a session that is ours, with a snapshot that holds no entries.

        Args:
            epoch: Above 1 for a session that was lost with the store, and lives here.

        Raises:
            Taken: see there.
        """

    async def claim(self, session_id: str, tenant: str) -> Found | None:
        """Make a session ours; its owner, if it lives, finds so in its inbox (`moved`).

        Returns:
            None if there is no such session of that tenant, or its time is over.
        """

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """Keep news of several sessions in one round trip. What was kept before is not kept
        twice, so a write that may have failed can be repeated."""

    async def close(self, session_id: str, epoch: int) -> bool:
        """Forget a session of ours. Returns whether it was ours and is gone now."""

    async def mark(self, marks: Mapping[str, tuple[int, bytes]]) -> None:
        """Note where our sessions are: session id → its epoch, and what to note."""

    async def beat(self, session_ids: Iterable[str]) -> None:
        """Say that these sessions of ours live: each for `ttl_s` from now on."""

    async def sweep(self, most: int = 100) -> list[Abandoned]:
        """Sessions that nobody has said to live for `ttl_s`. They can no longer be claimed or
        written to. Each is handed out again, to any gateway, until it is `forgotten`."""

    async def forgotten(self, session_ids: Iterable[str]) -> None:
        """What had to be done about abandoned sessions is done."""

    async def owner(self, session_id: str, tenant: str) -> str | None:
        """The gateway that owns that session of that tenant."""

    async def tell(self, gateway_id: str, message: bytes) -> None:
        """Put something into the inbox of a gateway."""

    def inbox(self) -> AsyncIterator[bytes]:
        """What others tell this process, from now on. Goes on by itself when the store has been
        away; what was told meanwhile comes then."""

    async def ping(self) -> None:
        """Whether the store is there."""

    async def aclose(self) -> None:
        """Give its connections back."""
