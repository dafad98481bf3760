"""What Redis does with a session in one step, in Lua.

All keys of a session lie in one slot: its tag is the session id. In `meta`, a hash:

    meta            the session's Meta, msgpack
    tenant, expires_at   of it, so that a claim need not unpack it; unix seconds
    gone_at         when Redis forgets the keys if nobody does, unix ms: a safety net
    owner, epoch    whose it is; a write or close that names others changes nothing
    claimed_at      unix ms by the clock of Redis
    claim, from     the last claim's token and whom it took the session from: so that a claim
                    whose answer got lost is not done twice
    base, next      how many entries the state holds; how many there have been in all
    swept           it is over, and somebody is about to write down that it is
    closed          what is left of a session that its owner closed: a note for a minute, so
                    that a close whose answer got lost can be repeated

The times are Redis's own: the clocks of gateways differ.
"""

from __future__ import annotations

from mesh.script import Script

LEASE_MS = 10_000
"""For how long an abandoned session is one sweeper's."""


_NOW = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
"""

CREATE = Script(
    """
local meta, state, journal = KEYS[1], KEYS[2], KEYS[3]
local owner, epoch, packed, tenant, expires_at, gone_at = unpack(ARGV, 1, 6)
"""
    + _NOW
    + """
local had = redis.call('HMGET', meta, 'epoch', 'owner', 'meta', 'next')
if had[1] then
  if had[1] == epoch and had[2] == owner and had[3] == packed and had[4] == '0' then return 1 end
  return 0
end
redis.call('DEL', meta, state, journal)
redis.call('HSET', meta, 'meta', packed, 'tenant', tenant, 'expires_at', expires_at,
  'gone_at', gone_at, 'owner', owner, 'epoch', epoch, 'claimed_at', now, 'base', 0, 'next', 0)
redis.call('SET', state, ARGV[7], 'PXAT', gone_at)
redis.call('PEXPIREAT', meta, gone_at)
return 1
"""
)
"""→ 1, or 0 if the id is taken."""

CLAIM = Script(
    """
local meta, state, journal = KEYS[1], KEYS[2], KEYS[3]
local owner, tenant, token = ARGV[1], ARGV[2], ARGV[3]
"""
    + _NOW
    + """
local has = redis.call('HMGET', meta, 'tenant', 'expires_at', 'epoch', 'owner', 'swept', 'claim')
if not has[3] or has[1] ~= tenant or has[5] then return false end
if tonumber(has[2]) * 1000 <= now then return false end
if has[6] ~= token then
  redis.call('HINCRBY', meta, 'epoch', 1)
  redis.call('HSET', meta, 'owner', owner, 'claimed_at', now, 'claim', token, 'from', has[4])
end
local is = redis.call('HMGET', meta, 'meta', 'epoch', 'base', 'from')
return {is[1], is[2], is[3], is[4], redis.call('GET', state), redis.call('LRANGE', journal, 0, -1)}
"""
)
"""→ meta, epoch, base, former owner, state, entries; nil if there is none to claim."""

WRITE = Script("""
local meta, state, journal = KEYS[1], KEYS[2], KEYS[3]
local owner, epoch, first, given = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local has = redis.call('HMGET', meta, 'epoch', 'owner', 'swept', 'base', 'next', 'gone_at')
if not has[1] or has[3] then return 2 end
if has[1] ~= epoch or has[2] ~= owner then return 1 end
local base, next, gone_at = tonumber(has[4]), tonumber(has[5]), has[6]
if given == '1' and first >= base then
  redis.call('SET', state, ARGV[5], 'PXAT', gone_at)
  if first >= next then
    redis.call('DEL', journal)
    next = first
  elseif first > base then
    redis.call('LTRIM', journal, first - base, -1)
  end
  base = first
elseif first > next then
  return 3
end
local start, stop = 6 + math.max(0, next - first), #ARGV
for at = start, stop, 1000 do
  redis.call('RPUSH', journal, unpack(ARGV, at, math.min(at + 999, stop)))
end
if stop >= start then
  if next == base then redis.call('PEXPIREAT', journal, gone_at) end
  next = next + stop - start + 1
end
redis.call('HSET', meta, 'base', base, 'next', next)
return 0
""")
"""→ the place of the Outcome: KEPT, MOVED, GONE, MISSING."""

CLOSE = Script("""
local meta, state, journal = KEYS[1], KEYS[2], KEYS[3]
local who = ARGV[1] .. ' ' .. ARGV[2]
local has = redis.call('HMGET', meta, 'owner', 'epoch', 'swept', 'closed')
if has[4] == who then return 1 end
if not has[2] or has[3] or has[1] .. ' ' .. has[2] ~= who then return 0 end
redis.call('DEL', meta, state, journal)
redis.call('HSET', meta, 'closed', who)
redis.call('PEXPIRE', meta, 60000)
return 1
""")

BEAT = Script(
    _NOW
    + """
for n = 2, #ARGV do redis.call('ZADD', KEYS[1], 'GT', now + ARGV[1], ARGV[n]) end
return #ARGV - 1
"""
)

LEASE = Script(
    _NOW
    + """
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, id in ipairs(due) do redis.call('ZADD', KEYS[1], now + ARGV[2], id) end
return due
"""
)
"""→ ids that nobody else is given until the lease is over."""

SWEEP = Script(
    _NOW
    + """
local has = redis.call('HMGET', KEYS[1], 'meta', 'epoch', 'claimed_at', 'swept')
if not has[2] then return 0 end
if not has[4] then
  if now - has[3] < tonumber(ARGV[1]) then return 1 end
  redis.call('HSET', KEYS[1], 'swept', 1)
end
return has[1]
"""
)
"""→ its Meta; 0 if there is no such session any more, 1 if somebody has just claimed it."""

FORGET = Script("""
if redis.call('HEXISTS', KEYS[1], 'swept') == 1 then redis.call('DEL', unpack(KEYS)) end
return 1
""")
