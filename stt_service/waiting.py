"""Turns that wait, as a worker takes them out of the queue; see `mesh.turns` for what it is.

Workers are one consumer group. A turn that is being worked on is the worker's, as long as it
says so now and then; of one that died it goes to the next worker.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from mesh.errors import Broken
from mesh.redis import Command, each
from mesh.script import Call, Script, run_one
from mesh.stream import Entry, Group
from mesh.turns import KEPT_S, NOW, STREAM, Heard, audio_key, keys_of, tell, turn_key
from ovos.stt.v1 import stt_pb2 as pb

GROUP = "stt"
READ_WAIT_MS = 500
"""How long `take` waits; the client's timeout is above it."""
IDLE_MS = 5000
"""A worker that has said nothing for so long is dead."""

_PIECES = 8  # that are read at a time: 2 MiB

_START = Script(
    NOW
    + """
local has = redis.call('HMGET', KEYS[1], 'stage', 'due', 'session', 'utterance', 'inbox', 'config',
  'by')
if not has[1] or has[1] == 'over' then return {} end
local late = now > tonumber(has[2]) and 1 or 0
if has[7] ~= ARGV[1] then redis.call('HINCRBY', KEYS[1], 'attempts', 1) end
redis.call('HSET', KEYS[1], 'stage', 'started', 'by', ARGV[1])
local attempts = tonumber(redis.call('HGET', KEYS[1], 'attempts'))
return {attempts, late, has[3], has[4], has[5], has[6], redis.call('LLEN', KEYS[2])}
"""
)
"""→ nothing, if nobody waits for it any more."""

_STAY = Script(
    NOW
    + """
if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1, ARGV[3]) == 0 then return 0 end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, ARGV[2], 'JUSTID')
if redis.call('PTTL', KEYS[4]) < 60000 and redis.call('PEXPIRE', KEYS[4], 60000) == 1 then
  redis.call('ZADD', KEYS[3], now + 60000, ARGV[4])
end
return 1
"""
)
"""→ whether it is still that worker's."""

_GIVE_BACK = Script("""
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('XDEL', KEYS[1], ARGV[2])
if redis.call('EXISTS', KEYS[5]) == 0 then return 0 end
redis.call('HSET', KEYS[5], 'stage', 'queued')
redis.call('HINCRBY', KEYS[5], 'attempts', ARGV[5])
redis.call('XADD', KEYS[1], '*', 'tenant', ARGV[3], 'turn', ARGV[4])
return 1
""")

_FINISH = Script("""
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('HDEL', KEYS[2], ARGV[3])
redis.call('ZREM', KEYS[3], ARGV[3])
redis.call('DEL', KEYS[4])
local stage = redis.call('HGET', KEYS[5], 'stage')
local inbox = redis.call('HGET', KEYS[5], 'inbox') or ''
if not stage or stage == 'over' then return {0, inbox} end
redis.call('HSET', KEYS[5], 'stage', 'over', 'result', ARGV[4])
redis.call('PEXPIRE', KEYS[5], ARGV[5])
return {1, inbox}
""")
"""→ whether this is its result (or there is one before), and where it is wanted by now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A turn that is ours to recognise."""

    entry: Entry
    tenant: str
    id: str
    attempt: int
    """1 the first time."""
    is_late: bool
    """Whether it has waited for too long."""
    session_id: str
    utterance: str
    inbox: str
    n_pieces: int
    """Of audio."""
    config: pb.SubmissionConfig

    @property
    def name(self) -> str:
        return f"{self.tenant}/{self.id}"


class Waiting:
    """The queue for one worker. Every method raises RedisError or OSError while Redis is away."""

    def __init__(self, redis: Redis, worker_id: str, *, idle_ms: int = IDLE_MS) -> None:
        """
        Args:
            redis: With a timeout above READ_WAIT_MS.
        """
        self._redis, self._worker_id, self.idle_ms = redis, worker_id, idle_ms
        self._group = Group(redis, [STREAM], GROUP, worker_id)
        self._ours: set[str] = set()  # entries: while we stood still they look abandoned

    async def join(self) -> None:
        await self._group.create()

    async def take(self) -> Taken | None:
        """The next turn, if one comes soon."""
        return await self._start(await self._group.read(1, READ_WAIT_MS))

    async def take_over(self) -> Taken | None:
        """A turn of a worker that died."""
        return await self._start(await self._group.claim(self.idle_ms, 1))

    async def _start(self, entries: list[Entry]) -> Taken | None:
        for entry in entries:
            if entry.id in self._ours:
                continue
            tenant, turn_id = entry.fields[b"tenant"].decode(), entry.fields[b"turn"].decode()
            keys = turn_key(f"{tenant}/{turn_id}"), audio_key(f"{tenant}/{turn_id}")
            found = await self._run(Call(_START, keys, (secrets.token_hex(8),)))
            if not found:
                await self._group.ack([entry])
                continue
            attempt, late, session, utterance, inbox, config, n_pieces = found
            self._ours.add(entry.id)
            return Taken(
                entry=entry,
                tenant=tenant,
                id=turn_id,
                attempt=int(attempt),
                is_late=bool(late),
                session_id=session.decode(),
                utterance=utterance.decode(),
                inbox=inbox.decode(),
                n_pieces=int(n_pieces),
                config=pb.SubmissionConfig.FromString(config),
            )
        return None

    async def audio(self, taken: Taken) -> AsyncIterator[bytes]:
        """All of its audio, in pieces.

        Raises:
            Broken: it is not there any more.
        """
        key, at = audio_key(taken.name), 0
        while at < taken.n_pieces or not at:
            command = Command(key, ("LRANGE", key, at, at + _PIECES - 1))
            [pieces] = await each(self._redis, [command])
            if isinstance(pieces, Exception):
                raise pieces
            if len(pieces) < min(_PIECES, taken.n_pieces - at) or not pieces:
                raise Broken("its audio is gone", tier="stt")
            for piece in pieces:
                yield piece
            at += _PIECES

    async def stay(self, taken: Taken) -> bool:
        """Say that we work on it. Returns whether it is still ours."""
        args = GROUP, taken.entry.id, self._worker_id, taken.name
        return bool(await self._run(Call(_STAY, keys_of(taken.name), args)))

    async def give_back(self, taken: Taken, *, is_attempt: bool) -> None:
        """Somebody may take it again, at once.

        Args:
            is_attempt: Whether it counts as one.
        """
        refund = 0 if is_attempt else -1
        args = GROUP, taken.entry.id, taken.tenant, taken.id, refund
        await self._run(Call(_GIVE_BACK, keys_of(taken.name), args))
        self._ours.discard(taken.entry.id)

    async def finish(self, taken: Taken, result: pb.TurnResult) -> bool:
        """Tell who waits for it, keep the result, and drop the audio.

        In this order, for whoever dies between the two: to be told twice harms nobody.

        Returns:
            Whether there was no result before.
        """
        packed = result.SerializeToString()
        heard = Heard(taken.session_id, taken.tenant, taken.utterance, packed)
        if taken.inbox:
            await tell(self._redis, taken.inbox, taken.id, heard)
        args = GROUP, taken.entry.id, taken.name, packed, round(KEPT_S * 1000)
        is_new, inbox = await self._run(Call(_FINISH, keys_of(taken.name), args))
        if inbox and inbox.decode() != taken.inbox:  # its session moved meanwhile
            await tell(self._redis, inbox.decode(), taken.id, heard)
        self._ours.discard(taken.entry.id)
        return bool(is_new)

    def forget(self, taken: Taken) -> None:
        """It is somebody else's now."""
        self._ours.discard(taken.entry.id)

    async def _run(self, call: Call) -> Any:
        return await run_one(self._redis, call)
