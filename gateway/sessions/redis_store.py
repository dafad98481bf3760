"""Sessions in Redis: one node, Sentinel or Cluster. See gateway.sessions.store for the port.

    ovos:{sid}:meta       hash; see gateway.sessions.scripts
    ovos:{sid}:state      the snapshot
    ovos:{sid}:journal    list of the entries since then
    ovos:live:<0..15>     sorted sets of session ids by when they are abandoned, unix ms
    ovos:gw:<id>:in       stream: the inbox of a gateway process
    ovos:gw:<id>:marks    hash: session id → epoch and mark

Everything here can be asked twice without harm: the client repeats a command whose answer
was lost.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.sessions import inbox, scripts
from gateway.sessions.store import Abandoned, Found, Meta, Outcome, Taken, Write, meta_of
from mesh.errors import Unavailable
from mesh.redis import Command, connect, each
from mesh.script import Call, run, run_one

SHARDS = 16
_ID = re.compile(r"[0-9A-Za-z_-]{1,128}")

_OUTCOMES = Outcome.KEPT, Outcome.MOVED, Outcome.GONE, Outcome.MISSING
_LONGEST_S = 1.5  # of anything that is asked here; the client's own patience adds up
_SAFETY_S = 3600  # how long keys outlive a session that nobody closed
_SAFETY_MOST_S = 30 * 24 * 3600
_MARKS_KEPT_S = 120.0
_BEATS_AT_ONCE, _REST_S = 250, 0.05
_CLAIMS_KEPT = 1000


class RedisStore:
    """A Store for one gateway process."""

    def __init__(self, redis: Redis, gateway_id: str, *, ttl_s: float, reader: Redis) -> None:
        """
        Args:
            reader: A second client, for the inbox, with a timeout above inbox.BLOCK_MS.
            ttl_s: After how long of silence a session is abandoned.
        """
        self._redis, self._reader, self._gateway_id = redis, reader, gateway_id
        self._ttl_ms = round(ttl_s * 1000)
        self._marks = f"ovos:gw:{gateway_id}:marks"
        self._marked: dict[str, float] = {}  # session id → when last, monotonic
        self._claiming: dict[str, str] = {}  # session id → token of a claim without an answer
        self._heard_s = time.monotonic()  # since when Redis has been there without a break

    @classmethod
    def at(cls, url: str, gateway_id: str, *, ttl_s: float) -> RedisStore:
        """
        Raises:
            ValueError: it is no URL of a Redis.
        """
        reader = connect(url, timeout_s=inbox.BLOCK_MS / 1000 + 0.5)
        return cls(connect(url), gateway_id, ttl_s=ttl_s, reader=reader)

    @property
    def gateway_id(self) -> str:
        return self._gateway_id

    async def create(self, session_id: str, meta: Meta, state: bytes, epoch: int = 1) -> None:
        longest_s = time.time() + _SAFETY_MOST_S
        gone_at_ms = round(min(meta.expires_at_s + _SAFETY_S, longest_s) * 1000)
        packed = msgspec.msgpack.encode(meta)
        about = packed, meta.tenant, meta.expires_at_s, gone_at_ms
        create = Call(scripts.CREATE, _keys(session_id), (self._gateway_id, epoch, *about, state))
        async with self._asking():
            # Should the beat fail, the next one comes soon.
            made, _ = await run(self._redis, [create, *self._beats([session_id])])
        if not _good(made):
            raise Taken(session_id)

    async def claim(self, session_id: str, tenant: str) -> Found | None:
        if not _ID.fullmatch(session_id):
            return None  # braces and the like would make keys of another slot
        # Asked again, a claim whose answer was lost is the same one.
        token = self._claiming.pop(session_id, "") or secrets.token_hex(8)
        claim = Call(scripts.CLAIM, _keys(session_id), (self._gateway_id, tenant, token))
        try:
            async with self._asking():
                answer = await run_one(self._redis, claim)
        except Unavailable:
            if len(self._claiming) < _CLAIMS_KEPT:
                self._claiming[session_id] = token
            raise
        if answer is None:
            return None
        packed, epoch, base, former, state, entries = answer
        mark = await self._take_over(session_id, int(epoch), former.decode())
        meta = msgspec.msgpack.decode(packed, type=Meta)
        return Found(meta, int(epoch), int(base), state or b"", tuple(entries), mark)

    async def _take_over(self, session_id: str, epoch: int, former: str) -> bytes | None:
        """What follows a claim. None of it can undo the claim, so failures are let go.

        Returns:
            The former owner's last mark.
        """
        marks = f"ovos:gw:{former}:marks"
        commands = [
            Command(marks, ("HGET", marks, session_id)),
            *(call.by_hash() for call in self._beats([session_id])),
        ]
        if former != self._gateway_id:
            moved = {"kind": "moved", "session_id": session_id, "epoch": epoch}
            commands += inbox.telling(former, msgspec.msgpack.encode(moved))
        try:
            async with self._asking():
                noted, *_ = await each(self._redis, commands)
        except Unavailable:
            return None
        if not isinstance(noted, bytes):
            return None
        of_epoch, _, mark = noted.partition(b" ")
        return mark if int(of_epoch) == epoch - 1 else None

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        if not writes:
            return []
        async with self._asking():
            answers = await run(self._redis, [self._written(write) for write in writes])
            failed = [answer for answer in answers if isinstance(answer, Exception)]
            if len(failed) == len(writes):
                raise failed[0]
        if failed:
            self._heard_s = time.monotonic()
        return [
            Outcome.AWAY if isinstance(answer, Exception) else _OUTCOMES[answer]
            for answer in answers
        ]

    def _written(self, write: Write) -> Call:
        state = ("0", "") if write.state is None else ("1", write.state)
        args = self._gateway_id, write.epoch, write.first, *state, *write.entries
        return Call(scripts.WRITE, _keys(write.session_id), args)

    async def close(self, session_id: str, epoch: int) -> bool:
        close = Call(scripts.CLOSE, _keys(session_id), (self._gateway_id, epoch))
        async with self._asking():
            is_closed = bool(await run_one(self._redis, close))
            if is_closed:
                self._marked.pop(session_id, None)
                live = _live(session_id)
                # What stays behind here is swept up.
                await each(
                    self._redis,
                    [
                        Command(live, ("ZREM", live, session_id)),
                        Command(self._marks, ("HDEL", self._marks, session_id)),
                    ],
                )
        return is_closed

    async def mark(self, marks: Mapping[str, tuple[int, bytes]]) -> None:
        if not marks:
            return
        now_s = time.monotonic()
        fields: list[Any] = []
        for session_id, (epoch, mark) in marks.items():
            fields += session_id, b"%d %b" % (epoch, mark)
            self._marked[session_id] = now_s
        await self._all(
            Command(self._marks, ("HSET", self._marks, *fields)),
            Command(self._marks, ("PEXPIRE", self._marks, round(_MARKS_KEPT_S * 1000))),
        )

    async def beat(self, session_ids: Iterable[str]) -> None:
        living = set(session_ids)
        await self._drop_marks(living)
        # One by one, with room in between: all of 15,000 at once stop all else.
        rest_s = _REST_S if len(living) > _BEATS_AT_ONCE else 0.0
        for beat in self._beats(living):
            async with self._asking():
                _good(await run_one(self._redis, beat))
            await asyncio.sleep(rest_s)

    def _beats(self, session_ids: Iterable[str]) -> Iterator[Call]:
        by_shard: dict[str, list[str]] = {}
        for session_id in session_ids:
            by_shard.setdefault(_live(session_id), []).append(session_id)
        for shard, ids in by_shard.items():
            for start in range(0, len(ids), _BEATS_AT_ONCE):
                some = ids[start : start + _BEATS_AT_ONCE]
                yield Call(scripts.BEAT, (shard,), (self._ttl_ms, *some))

    async def _drop_marks(self, living: set[str]) -> None:
        """Forget the marks of sessions that left; whoever has them has read them by now."""
        long_ago_s = time.monotonic() - _MARKS_KEPT_S
        left = [s for s, at_s in self._marked.items() if at_s < long_ago_s and s not in living]
        keep = Command(self._marks, ("PEXPIRE", self._marks, round(_MARKS_KEPT_S * 1000)))
        drop = [Command(self._marks, ("HDEL", self._marks, *left))] if left else []
        await self._all(keep, *drop)
        for session_id in left:
            del self._marked[session_id]

    async def sweep(self, most: int = 100) -> list[Abandoned]:
        shards = [f"ovos:live:{n}" for n in range(SHARDS)]
        if time.monotonic() - self._heard_s < self._ttl_ms / 1000:
            # While Redis was away nobody could say that a session lives: let them, first.
            await self._all(*(Command(shard, ("ZCARD", shard)) for shard in shards))
            return []
        share = max(1, most // SHARDS)
        leases = [Call(scripts.LEASE, (shard,), (share, scripts.LEASE_MS)) for shard in shards]
        async with self._asking():
            found = [_good(answer) for answer in await run(self._redis, leases)]
            # Those above `most` come again when their lease is over.
            ids = [raw.decode() for due in found for raw in due][:most]
            looks = [Call(scripts.SWEEP, (_keys(s)[0],), (self._ttl_ms,)) for s in ids]
            states = [_good(answer) for answer in await run(self._redis, looks)] if ids else []
        known = dict(zip(ids, states, strict=True))
        if gone := [s for s, state in known.items() if state == 0]:
            await self._all(*map(_unlisted, gone))
        if claimed := [s for s, state in known.items() if state == 1]:
            await self.beat(claimed)
        packed = {s: state for s, state in known.items() if isinstance(state, bytes)}
        return [Abandoned(s, meta) for s, raw in packed.items() if (meta := meta_of(s, raw))]

    async def forgotten(self, session_ids: Iterable[str]) -> None:
        ids = list(session_ids)
        if not ids:
            return
        async with self._asking():
            for answer in await run(self._redis, [Call(scripts.FORGET, _keys(s)) for s in ids]):
                _good(answer)
        await self._all(*map(_unlisted, ids))

    async def owner(self, session_id: str, tenant: str) -> str | None:
        if not _ID.fullmatch(session_id):
            return None
        meta = _keys(session_id)[0]
        [found] = await self._all(Command(meta, ("HMGET", meta, "tenant", "owner", "swept")))
        of, owner, swept = found
        return owner.decode() if of == tenant.encode() and not swept else None

    async def tell(self, gateway_id: str, message: bytes) -> None:
        await self._all(*inbox.telling(gateway_id, message))

    def inbox(self) -> AsyncIterator[bytes]:
        return inbox.told(self._reader, self._gateway_id)

    async def ping(self) -> None:
        # A write: a replica, or a Redis without memory, would answer PING.
        name = f"ovos:gw:{self._gateway_id}:up"
        await self._all(Command(name, ("SET", name, 1, "PX", 60_000)))

    async def aclose(self) -> None:
        await self._redis.aclose()
        await self._reader.aclose()

    async def _all(self, *commands: Command) -> list[Any]:
        async with self._asking():
            return [_good(answer) for answer in await each(self._redis, commands)]

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        """Turn Redis's errors into ours."""
        try:
            async with asyncio.timeout(_LONGEST_S):
                yield
        except (RedisError, OSError, TimeoutError) as error:
            self._heard_s = time.monotonic()
            raise Unavailable(type(error).__name__, tier="redis") from error


def _keys(session_id: str) -> tuple[str, str, str]:
    tag = f"ovos:{{{session_id}}}:"
    return tag + "meta", tag + "state", tag + "journal"


def _live(session_id: str) -> str:
    return f"ovos:live:{zlib.crc32(session_id.encode()) % SHARDS}"


def _unlisted(session_id: str) -> Command:
    live = _live(session_id)
    return Command(live, ("ZREM", live, session_id))


def _good(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer
