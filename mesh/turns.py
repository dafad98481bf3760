"""Recordings that wait to be recognised, in Redis: whoever queued one may die, and so may whoever
recognises it.

    turns = Turns(redis)
    await turns.add("acme", "t1", 0, pcm)        # its audio, piece by piece
    await turns.put(Turn(...))                   # queued
    await turns.look("acme", "t1")               # how it is

Who takes them out is in the stt tier. What is recorded and how to recognise it
(ovos.stt.v1.SubmissionConfig), and what came of it (TurnResult), are bytes here.

    ovos:stt:turns                          stream: tenant and id of each that is not over
    {ovos:stt:turns}:sizes                  hash: `tenant/id` → bytes of its audio
    {ovos:stt:turns}:due                    sorted set: `tenant/id` → until when those count, ms
    {ovos:stt:turns}:audio:<tenant>/<id>    list: PCM16, in pieces
    {ovos:stt:turns}:turn:<tenant>/<id>     hash: all else

The tag makes a cluster keep all keys with the stream. Ids have no `/`, so no tenant's name can
make another one's key. The clock is that of Redis. All can be asked twice without harm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from mesh.errors import Overloaded, Unavailable
from mesh.redis import Command, each
from mesh.script import Call, Script, run_one

STREAM = "ovos:stt:turns"
SIZES, DUE = "{ovos:stt:turns}:sizes", "{ovos:stt:turns}:due"

PIECE_BYTES = 256 << 10
"""Of audio, that goes to Redis at a time."""
MOST_BYTES = 64 << 20
"""Of one recording."""
KEPT_S = 3600.0
"""How long results are kept."""

_ALL_BYTES, _ALL_TURNS = 256 << 20, 1000  # of the queue; a tenant has half of it at most
_UPLOAD_S = 60.0  # between two pieces of a recording
_INBOX, _INBOX_MS = 10_000, 600_000  # as the gateway keeps them

QUEUED, STARTED, OVER = "queued", "started", "over"


class Heard(msgspec.Struct, frozen=True, tag_field="kind", tag="heard"):
    """What became of a session's turn: told to the gateway that queued it, through its inbox."""

    session_id: str
    tenant: str
    utterance: str
    result: bytes
    """ovos.stt.v1.TurnResult."""
    hops: int = 0
    """How often one gateway passed it on to another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A recording to be recognised."""

    tenant: str
    id: str
    config: bytes
    """ovos.stt.v1.SubmissionConfig."""
    patience_s: float
    """How long it may wait."""
    session_id: str = ""
    utterance: str = ""
    inbox: str = ""
    """The stream where a `Heard` is wanted; empty if nobody waits there."""

    @property
    def name(self) -> str:
        return f"{self.tenant}/{self.id}"


@dataclass(frozen=True, slots=True)
class State:
    """How a turn is."""

    stage: str
    """QUEUED, STARTED or OVER."""
    attempts: int
    """How often it was started."""
    result: bytes
    """TurnResult, once it is over. Empty of one that nobody took in time."""


def audio_key(name: str) -> str:
    return f"{{ovos:stt:turns}}:audio:{name}"


def turn_key(name: str) -> str:
    return f"{{ovos:stt:turns}}:turn:{name}"


def keys_of(name: str) -> tuple[str, ...]:
    """All that have something of a turn, in the order in which scripts take them."""
    return STREAM, SIZES, DUE, audio_key(name), turn_key(name)


NOW = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
"""

_ADD = Script(
    NOW
    + """
local late = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 1000)
if #late > 0 then
  redis.call('HDEL', KEYS[2], unpack(late))
  redis.call('ZREM', KEYS[3], unpack(late))
end
local name, n, piece, own_prefix = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local most, most_turns = tonumber(ARGV[5]), tonumber(ARGV[6])
local has = redis.call('LLEN', KEYS[4])
if has > n or redis.call('EXISTS', KEYS[5]) == 1 then return 1 end
if has < n then return -1 end
local all, own, own_turns = #piece, #piece, 0
local sizes = redis.call('HGETALL', KEYS[2])
for i = 1, #sizes, 2 do
  all = all + sizes[i + 1]
  if string.sub(sizes[i], 1, #own_prefix) == own_prefix then
    own = own + sizes[i + 1]
    own_turns = own_turns + 1
  end
end
if all > most or own > most / 2 then return 0 end
if n == 0 and (#sizes / 2 >= most_turns or own_turns >= most_turns / 2) then return 0 end
redis.call('RPUSH', KEYS[4], piece)
redis.call('PEXPIRE', KEYS[4], ARGV[7])
redis.call('HINCRBY', KEYS[2], name, #piece)
redis.call('ZADD', KEYS[3], now + ARGV[7], name)
return 1
"""
)
"""→ 1 if the piece is there, 0 if there is no room, -1 if those before it are gone."""

_PUT = Script(
    NOW
    + """
local tenant, id, name, wait, kept, most, inbox = unpack(ARGV, 1, 7)
if redis.call('EXISTS', KEYS[5]) == 1 then
  redis.call('HSET', KEYS[5], 'inbox', inbox)
  return 1
end
if redis.call('EXISTS', KEYS[4]) == 0 then return -1 end
redis.call('HSET', KEYS[5], 'stage', 'queued', 'attempts', 0, 'put', now, 'due', now + wait,
  'inbox', inbox, unpack(ARGV, 8))
redis.call('PEXPIRE', KEYS[5], wait + kept)
redis.call('PEXPIRE', KEYS[4], wait + 60000)
redis.call('ZADD', KEYS[3], now + wait + 60000, name)
redis.call('XADD', KEYS[1], 'MAXLEN', '~', most, '*', 'tenant', tenant, 'turn', id)
return 1
"""
)
"""→ 1 if it is queued, or was before; -1 if its audio is gone."""

_LOOK = Script(
    NOW
    + """
local has = redis.call('HMGET', KEYS[1], 'stage', 'attempts', 'result', 'due')
if not has[1] then return {} end
if has[1] == 'queued' and now > tonumber(has[4]) then has[1] = 'over' end
return {has[1], has[2], has[3] or ''}
"""
)

_AGE = Script(
    NOW
    + """
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
if #first == 0 then return {0, 0} end
local put = string.match(first[1][1], '^%d+')
return {redis.call('XLEN', KEYS[1]), math.max(0, now - put)}
"""
)


class Turns:
    """The queue, for those who put something in. Every method raises `Unavailable` while Redis
    is away."""

    def __init__(
        self, redis: Redis, *, all_bytes: int = _ALL_BYTES, all_turns: int = _ALL_TURNS
    ) -> None:
        """
        Args:
            redis: Of `mesh.redis.connect`; it stays the caller's.
            all_bytes: Audio in the queue.
            all_turns: Turns in it.
        """
        self._redis = redis
        self._bounds = all_bytes, all_turns

    async def add(self, tenant: str, turn_id: str, n: int, piece: bytes) -> None:
        """The piece number `n` of a recording, PIECE_BYTES at most. It is forgotten after a
        minute unless more comes, or it is put.

        Raises:
            Overloaded: the queue has no room, or none for this tenant.
        """
        name = f"{tenant}/{turn_id}"
        bounds = *self._bounds, round(_UPLOAD_S * 1000)
        answer = await self._run(Call(_ADD, keys_of(name), (name, n, piece, f"{tenant}/", *bounds)))
        if answer == 0:
            raise Overloaded("the queue is full", tier="stt", retry_after_s=10.0)
        if answer < 0:
            raise Unavailable("the recording was not kept", tier="stt")

    async def put(self, turn: Turn) -> None:
        """Queue a recording whose audio is there. One that is known already is queued once, and
        told about where it was put last."""
        fields: dict[str, Any] = {
            "tenant": turn.tenant,
            "id": turn.id,
            "session": turn.session_id,
            "utterance": turn.utterance,
            "config": turn.config,
        }
        pairs = [part for pair in fields.items() for part in pair]
        times_ms = round(turn.patience_s * 1000), round(KEPT_S * 1000)
        most = 10 * self._bounds[1]  # entries of those nobody took in time are still there
        args = turn.tenant, turn.id, turn.name, *times_ms, most, turn.inbox, *pairs
        if await self._run(Call(_PUT, keys_of(turn.name), args)) < 0:
            raise Unavailable("the recording was not kept", tier="stt")

    async def look(self, tenant: str, turn_id: str) -> State | None:
        """How that tenant's turn is; None if there is none."""
        found = await self._run(Call(_LOOK, (turn_key(f"{tenant}/{turn_id}"),)))
        if not found:
            return None
        stage, attempts, result = found
        return State(stage.decode(), int(attempts), result)

    async def waiting(self) -> tuple[int, float]:
        """How many are not over, and how many seconds ago the oldest of them came."""
        n, age_ms = await self._run(Call(_AGE, (STREAM,)))
        return int(n), int(age_ms) / 1000

    async def _run(self, call: Call) -> Any:
        try:
            return await run_one(self._redis, call)
        except (RedisError, OSError, TimeoutError) as error:
            raise Unavailable(f"redis is away ({type(error).__name__})", tier="stt") from error


async def tell(redis: Redis, inbox: str, turn_id: str, heard: Heard) -> None:
    """Put the news of a turn into a gateway's inbox; there, one of an id is read once.

    Raises:
        RedisError, OSError: Redis is away.
    """
    fields = "id", turn_id, "message", msgspec.msgpack.encode(heard)
    commands = [
        Command(inbox, ("XADD", inbox, "MAXLEN", "~", _INBOX, "*", *fields)),
        Command(inbox, ("PEXPIRE", inbox, _INBOX_MS)),
    ]
    for answer in await each(redis, commands):
        if isinstance(answer, Exception):
            raise answer
