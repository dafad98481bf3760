"""What a tenant may ask in a minute, counted in Redis for all gateways together.

One Lua call for each check, with Redis's own clock, so it does not matter what time a gateway
has. A tenant has one hash: for each second in which something was spent, how much, and when
the last of it. A second is forgotten a minute after the last of it, so that no minute,
wherever it begins, has more than the limit. The price: what came early in its second counts
for up to a second longer.

While Redis is away each process decides alone, with the same limits. It goes on from what it
has counted itself, and asks Redis again every second.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisClusterException, RedisError

from gateway import metrics
from gateway.allowance import Limits, LocalAllowance, figures
from gateway.realtime.server_events import RateLimit
from mesh.breaker import Breaker

PATIENCE_S = 0.25
_AGAIN_S = 1.0
_AT_ONCE = 8
"""Checks under way. It keeps Redis busy; more only open connections, at the worst moment."""

_SCRIPT = """
-- KEYS: a tenant's hash: second -> requests, tokens, and the µs within that second when the
--   last request and the last token came.
-- ARGV: the limits of both (0: none), what to add to both, 1 to add only if there is room;
--   in tests a second and its µs, instead of the server's.
-- Returns µs to wait (-1: it is added), what is spent, µs until nothing is: both of each.
local ROW, WINDOW = '<I8I8I4I4', 60000000
local now = redis.call('TIME')
local second, us = tonumber(ARGV[6] or now[1]), tonumber(ARGV[7] or now[2])

-- µs until an amount is forgotten; 0 if it is. If the clock was set back (another server has
-- taken over), what it left behind lies in the future.
local function left_of(amount, at_second, at_us)
  local left = (at_second - second) * 1000000 + at_us - us + WINDOW
  return amount > 0 and left > 0 and left <= 2 * WINDOW and left or 0
end

local rows, seconds, old, spent, resets = {}, {}, {}, {0, 0}, {0, 0}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local s = tonumber(all[i])
  local r, t, r_us, t_us = struct.unpack(ROW, all[i + 1])
  local r_left, t_left = left_of(r, s, r_us), left_of(t, s, t_us)
  if r_left > 0 then
    spent[1], resets[1] = spent[1] + r, math.max(resets[1], r_left)
  end
  if t_left > 0 then
    spent[2], resets[2] = spent[2] + t, math.max(resets[2], t_left)
  end
  if r_left > 0 or t_left > 0 then
    rows[s], seconds[#seconds + 1] = all[i + 1], s
  else
    old[#old + 1] = all[i]
  end
end

-- µs until less than the limit is spent, if it is not now.
local function wait_for(what)
  local limit, sum = tonumber(ARGV[what]), spent[what]
  if limit == 0 or sum < limit then
    return -1
  end
  table.sort(seconds)
  for _, s in ipairs(seconds) do
    local row = {struct.unpack(ROW, rows[s])}
    local left = left_of(row[what], s, row[what + 2])
    if left > 0 then
      sum = sum - row[what]
      if sum < limit then
        return left
      end
    end
  end
end

local wait = ARGV[5] == '1' and math.max(wait_for(1), wait_for(2)) or -1
if wait < 0 and (ARGV[3] ~= '0' or ARGV[4] ~= '0') then
  local row = rows[second] and {struct.unpack(ROW, rows[second])} or {0, 0, 0, 0}
  for what = 1, 2 do
    local n = tonumber(ARGV[what + 2])
    if n > 0 then
      row[what], row[what + 2] = row[what] + n, math.max(row[what + 2], us)
      local left = left_of(n, second, row[what + 2])
      spent[what], resets[what] = spent[what] + n, math.max(resets[what], left)
    end
  end
  if #old > 0 then
    redis.call('HDEL', KEYS[1], unpack(old))
  end
  local packed = struct.pack(ROW, row[1], row[2], row[3], row[4])
  if redis.call('HSET', KEYS[1], string.format('%d', second), packed) == 1 then
    redis.call('EXPIRE', KEYS[1], 120)
  end
end
return {wait, spent[1], spent[2], resets[1], resets[2]}
"""
_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What Redis says of a tenant."""

    wait_s: float | None
    """None: it is counted."""
    figures: tuple[RateLimit, ...]


class RedisAllowance:
    """Counts for all tenants of all gateways."""

    def __init__(
        self,
        redis: Redis,
        limits: Limits,
        fallback: LocalAllowance,
        *,
        clock: Callable[[], float] = time.monotonic,
        server_time: Callable[[], float] | None = None,
    ) -> None:
        """
        Args:
            redis: Closed by who made it.
            fallback: Decides while Redis is away, and is told what Redis lets through.
            clock: Seconds that never go back; when to ask Redis again.
            server_time: Seconds that stand for the server's; for tests.
        """
        self._redis, self._limits, self._local = redis, limits, fallback
        self._clock, self._server_time = clock, server_time
        self._breaker = Breaker(failures=1, rest_s=_AGAIN_S)
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def take_request(self, tenant: str) -> float | None:
        answer = await self._ask(tenant, n_requests=1, only_if_room=True)
        if answer is None:
            return await self._local.take_request(tenant)
        if answer.wait_s is None:
            await self._local.count_request(tenant)
        return answer.wait_s

    async def count_request(self, tenant: str) -> None:
        await self._ask(tenant, n_requests=1)
        await self._local.count_request(tenant)

    async def spend_tokens(self, tenant: str, n_tokens: int) -> tuple[RateLimit, ...]:
        answer = await self._ask(tenant, n_tokens=max(0, n_tokens))
        left = await self._local.spend_tokens(tenant, n_tokens)
        return left if answer is None else answer.figures

    async def _ask(
        self, tenant: str, *, n_requests: int = 0, n_tokens: int = 0, only_if_room: bool = False
    ) -> _Answer | None:
        """None if Redis is away, or has nothing to say: who has no limit is not counted there."""
        limits = self._limits.of(tenant)
        if not any(limits):
            return None
        args = (*limits, n_requests, n_tokens, int(only_if_room))
        before = _cancellations()
        async with self._turn:
            found = await self._patiently(key(tenant), *args)
        if _cancellations() > before:  # redis-py lost one: a loop that asks us would go on
            raise asyncio.CancelledError
        if found is None:
            metrics.LIMITS_ALONE.inc()
            return None
        wait_us, *rest = found
        spent, resets_s = rest[:2], [us / 1e6 for us in rest[2:]]
        left = figures(limits, spent, resets_s)
        return _Answer(None if wait_us < 0 else wait_us / 1e6, left)

    async def _patiently(self, *args: str | int) -> list[int] | None:
        """What the script returns; None if it is not there in time, or was not lately."""
        if not self._breaker.allows(self._clock()):
            return None
        try:
            with metrics.LIMIT_CHECK.time():
                async with asyncio.timeout(PATIENCE_S):
                    found = await self._call(*args, *self._time())
        except (RedisError, RedisClusterException, OSError) as error:
            if self._breaker.failed(self._clock()):
                self._tell(away=True, why=type(error).__name__)
            return None
        except asyncio.CancelledError:
            self._breaker.released()
            raise
        if self._breaker.succeeded():
            self._tell(away=False)
        return found

    async def _call(self, *args: str | int) -> list[int]:
        try:
            return cast(list[int], await self._redis.evalsha(_SHA, 1, *args))
        except NoScriptError:  # the first call, or another server has taken over
            return cast(list[int], await self._redis.eval(_SCRIPT, 1, *args))

    def _time(self) -> tuple[int, ...]:
        if self._server_time is None:
            return ()
        return divmod(round(self._server_time() * 1e6), 1_000_000)

    def _tell(self, *, away: bool, why: str = "") -> None:
        metrics.LIMITS_AWAY.set(away)
        if away:
            log.error("limits hold for this process alone", extra={"reason": f"redis: {why}"})
        else:
            log.warning("limits hold for all gateways again")


def _cancellations() -> int:
    """Of this task, so far. What it spent is counted also when it is about to end."""
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


def key(tenant: str) -> str:
    """Where a tenant's minute is. Hashed: a tenant's name may have braces and spaces."""
    return f"ovos:limit:{hashlib.sha256(tenant.encode()).hexdigest()[:32]}"
