"""Sessions in memory. The same contract suite runs on those in Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from gateway.sessions.store import Abandoned, Found, Meta, Outcome, Taken, Write
from mesh.errors import Unavailable

LEASE_S = 10.0


@dataclass
class Kept:
    """One session."""

    meta: Meta
    owner: str
    epoch: int
    state: bytes
    base: int = 0
    entries: list[bytes] = field(default_factory=list)
    claimed_s: float = field(default_factory=time.monotonic)
    is_swept: bool = False

    @property
    def next(self) -> int:
        return self.base + len(self.entries)


class World:
    """What all the stores of a test share. `is_away` makes every call fail."""

    def __init__(self) -> None:
        self.sessions: dict[str, Kept] = {}
        self.live: dict[str, float] = {}
        self.marks: dict[tuple[str, str], tuple[int, bytes]] = {}
        self.inboxes: dict[str, list[bytes]] = {}
        self.is_away = False
        self.told = asyncio.Condition()


class MemoryStore:
    """`is_away` makes the calls of this one fail, as when its network is cut."""

    def __init__(self, world: World, gateway_id: str, ttl_s: float = 30.0) -> None:
        self.world, self._gateway_id, self.ttl_s = world, gateway_id, ttl_s
        self.is_away = False
        self._heard_s = time.monotonic()

    @property
    def gateway_id(self) -> str:
        return self._gateway_id

    async def create(self, session_id: str, meta: Meta, state: bytes, epoch: int = 1) -> None:
        self._answer()
        kept = self.world.sessions.get(session_id)
        if kept is not None:
            same = (kept.meta, kept.owner, kept.epoch, kept.next)
            if same != (meta, self._gateway_id, epoch, 0):
                raise Taken(session_id)
        self.world.sessions[session_id] = Kept(meta, self._gateway_id, epoch, state)
        self._lives(session_id)

    async def claim(self, session_id: str, tenant: str) -> Found | None:
        self._answer()
        kept = self.world.sessions.get(session_id)
        if kept is None or kept.meta.tenant != tenant or kept.is_swept:
            return None
        if kept.meta.expires_at_s <= time.time():
            return None
        former, kept.owner = kept.owner, self._gateway_id
        kept.epoch += 1
        kept.claimed_s = time.monotonic()
        self._lives(session_id)
        if former != self._gateway_id:
            moved = {"kind": "moved", "session_id": session_id, "epoch": kept.epoch}
            await self._put(former, msgspec.msgpack.encode(moved))
        epoch, mark = self.world.marks.get((former, session_id), (0, b""))
        return Found(
            kept.meta,
            kept.epoch,
            kept.base,
            kept.state,
            tuple(kept.entries),
            mark if epoch == kept.epoch - 1 else None,
        )

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        self._answer()
        return [self._write(write) for write in writes]

    def _write(self, write: Write) -> Outcome:
        kept = self.world.sessions.get(write.session_id)
        if kept is None or kept.is_swept:
            return Outcome.GONE
        if (kept.owner, kept.epoch) != (self._gateway_id, write.epoch):
            return Outcome.MOVED
        if write.state is not None and write.first >= kept.base:
            kept.entries = kept.entries[write.first - kept.base :]
            kept.state, kept.base = write.state, write.first
        elif write.first > kept.next:
            return Outcome.MISSING
        kept.entries += write.entries[max(0, kept.next - write.first) :]
        return Outcome.KEPT

    async def close(self, session_id: str, epoch: int) -> bool:
        self._answer()
        kept = self.world.sessions.get(session_id)
        if kept is None or kept.is_swept or (kept.owner, kept.epoch) != (self._gateway_id, epoch):
            return False
        del self.world.sessions[session_id]
        self.world.live.pop(session_id, None)
        return True

    async def mark(self, marks: Mapping[str, tuple[int, bytes]]) -> None:
        self._answer()
        for session_id, mark in marks.items():
            self.world.marks[self._gateway_id, session_id] = mark

    async def beat(self, session_ids: Iterable[str]) -> None:
        self._answer()
        for session_id in session_ids:
            self._lives(session_id)

    def _lives(self, session_id: str) -> None:
        until_s = time.monotonic() + self.ttl_s
        self.world.live[session_id] = max(until_s, self.world.live.get(session_id, 0.0))

    async def sweep(self, most: int = 100) -> list[Abandoned]:
        self._answer()
        now_s = time.monotonic()
        if now_s - self._heard_s < self.ttl_s:
            return []
        found: list[Abandoned] = []
        for session_id in [s for s, at_s in self.world.live.items() if at_s <= now_s][:most]:
            kept = self.world.sessions.get(session_id)
            if kept is None:
                del self.world.live[session_id]
            elif not kept.is_swept and now_s - kept.claimed_s < self.ttl_s:
                self._lives(session_id)
            else:
                kept.is_swept = True
                self.world.live[session_id] = now_s + LEASE_S
                found.append(Abandoned(session_id, kept.meta))
        return found

    async def forgotten(self, session_ids: Iterable[str]) -> None:
        self._answer()
        for session_id in session_ids:
            kept = self.world.sessions.get(session_id)
            if kept is not None and kept.is_swept:
                del self.world.sessions[session_id]
            self.world.live.pop(session_id, None)

    async def owner(self, session_id: str, tenant: str) -> str | None:
        self._answer()
        kept = self.world.sessions.get(session_id)
        if kept is None or kept.meta.tenant != tenant or kept.is_swept:
            return None
        return kept.owner

    async def tell(self, gateway_id: str, message: bytes) -> None:
        self._answer()
        await self._put(gateway_id, message)

    async def _put(self, gateway_id: str, message: bytes) -> None:
        async with self.world.told:
            self.world.inboxes.setdefault(gateway_id, []).append(message)
            self.world.told.notify_all()

    async def inbox(self) -> AsyncIterator[bytes]:
        messages = self.world.inboxes.setdefault(self._gateway_id, [])
        at = len(messages)
        while True:
            async with self.world.told:
                while len(messages) == at:
                    await self.world.told.wait()
            yield messages[at]
            at += 1

    async def ping(self) -> None:
        self._answer()

    async def aclose(self) -> None:
        pass

    def _answer(self) -> None:
        if self.is_away or self.world.is_away:
            self._heard_s = time.monotonic()
            raise Unavailable("ConnectionError", tier="redis")
