"""Scripts that run where the clock is; each is atomic on the server."""

from __future__ import annotations

from typing import Final

from armature_cache.redisio.port import Script
from armature_cache.redisio.scripts.parts import BUMPING, DROPPING, INDEXING, PRELUDE, UNTOUCHED

BUMP: Final = Script(
    PRELUDE
    + DROPPING
    + BUMPING
    + """
-- KEYS clock, key clock, values...; ARGV common, 10 tombstone life in ms, 11 number of tags,
-- 12 number of keys without a value here, their digests, then for each value its key digest and
-- tombstone
local s = begin()
if not s then return {'RESYNC'} end
local q, at = s.q, 13
for _ = 1, tonumber(ARGV[11]) do
  redis.call('ZADD', KEYS[1], digits(q), ARGV[at])
  at = at + 1
end
for _ = 1, tonumber(ARGV[12]) do
  redis.call('ZADD', KEYS[2], digits(q), ARGV[at])
  at = at + 1
end
local heads = {}
for i = 3, #KEYS do
  redis.call('ZADD', KEYS[2], digits(q), ARGV[at])
  heads[#heads + 1] = head_of(KEYS[i])
  redis.call('SET', KEYS[i], stamped(ARGV[at + 1], q, tonumber(s.E)), 'PX', ARGV[10])
  at = at + 2
end
local reply = finish(s, tonumber(ARGV[11]) + tonumber(ARGV[12]) + #KEYS - 2)
reply[#reply + 1] = heads
return reply
""",
    when_full=True,
)
"""Record an invalidation of tags and keys; returns the complete delta up to it."""

SET: Final = Script(
    PRELUDE
    + DROPPING
    + BUMPING
    + INDEXING
    + """
-- KEYS clock, key clock, value, registry, indexes...; ARGV common, 10 expected header ('' absent,
-- '*' any), 11 life in ms, 12 dead_at in ms, 13 key, 14 key digest, 15 envelope, 16 number of
-- digests and soft marks if what stands must be valid, else -1, these..., tags...
if ARGV[10] ~= '*' and redis.call('GETRANGE', KEYS[3], 0, 75) ~= ARGV[10] then
  return {'CHANGED'}
end
local judged = tonumber(ARGV[16])
if judged >= 0 then
  local c, asof, epoch = specials(KEYS[1]), read_stamp(KEYS[3])
  local stands = asof and heir(c, epoch, asof) and tonumber(c.F or 0) <= asof
    and tonumber(redis.call('ZSCORE', KEYS[2], ARGV[14]) or 0) <= asof
  for i = 17, 16 + judged do
    stands = stands and tonumber(redis.call('ZSCORE', KEYS[1], ARGV[i]) or 0) <= asof
  end
  if not stands then return {'CHANGED'} end
end
local s = begin()
if not s then return {'RESYNC'} end
redis.call('ZADD', KEYS[2], digits(s.q), ARGV[14])
local value = judged >= 0 and recounted(ARGV[15], KEYS[3]) or ARGV[15]
store(KEYS[3], value, s.q, tonumber(s.E), ARGV[11])
index(KEYS[4], 5, ARGV, 17 + math.max(judged, 0), #KEYS - 4, ARGV[13], ARGV[12],
  digits(s.now / 1000))
return finish(s, 1)
"""
)
"""Store a value that is current now: its key is bumped and its asof is that sequence.

What takes over a value that stands does so only while that one is valid: else it would revive it.
A counter that takes over a counter goes on from there, for counting does not change the header.
"""

OFFER: Final = Script(
    PRELUDE
    + DROPPING
    + BUMPING
    + INDEXING
    + UNTOUCHED
    + """
-- KEYS clock, key clock, value, registry, indexes...; ARGV common, 10 epoch and 11 asof of the
-- lease, 12 life in ms, 13 dead_at in ms, 14 key, 15 key digest, 16 envelope, 17 tombstone,
-- 18 its life in ms, 19 '1' if it is known to be written, then for each tag its digest and its soft
-- mark, then the tags
local s = begin()
if not s then return {'RESYNC'} end
local asof, count = tonumber(ARGV[11]), #KEYS - 4
local clean = untouched(s, ARGV[10], asof, ARGV[15], 20, 2 * count)
local stored, epoch, _, flags = read_stamp(KEYS[3])
if stored and (epoch > tonumber(s.E) or (epoch == tonumber(s.E) and stored > asof)) then
  clean = false
end
local function done(outcome)
  local reply = finish(s, 1)
  reply[#reply + 1] = digits(stored or 0)
  reply[#reply + 1] = outcome
  return reply
end
if not clean and ARGV[19] ~= '1' and stored and epoch == tonumber(s.E) and stored > asof then
  if flags % 2 == 1 then return done(0) end
  if same(redis.call('GET', KEYS[3]), ARGV[16])
    and untouched(s, s.E, stored, ARGV[15], 20, 2 * count) then
    return done(2)
  end
end
redis.call('ZADD', KEYS[2], digits(s.q), ARGV[15])
if clean then
  store(KEYS[3], ARGV[16], s.q, tonumber(s.E), ARGV[12])
  index(KEYS[4], 5, ARGV, 20 + 2 * count, count, ARGV[14], ARGV[13], digits(s.now / 1000))
else
  redis.call('SET', KEYS[3], stamped(ARGV[17], s.q, tonumber(s.E)), 'PX', ARGV[18])
end
return done(clean and 1 or 0)
"""
)
"""Store a value that was read or made after a miss, if nothing has happened to it since.

It then replaces whatever is there, like an explicit set, since nobody knows whether it was read
or written; otherwise a tombstone does. Two exceptions let many who missed at once agree: a valid
entry of the same value stays, and so does a tombstone that is newer than the lease. There are none
for what is known to be written: it makes older values invalid wherever they are. The last two
results are the asof that was found, and 1 for stored, 2 for the same, 0 for overtaken.
"""

CHECK: Final = Script(
    PRELUDE
    + DROPPING
    + BUMPING
    + UNTOUCHED
    + """
-- KEYS clock, key clock; ARGV common, 10 epoch and 11 asof of the lease, 12 key digest, digests and
-- soft marks of tags...
local s = begin()
if not s then return {'RESYNC'} end
local clean = untouched(s, ARGV[10], tonumber(ARGV[11]), ARGV[12], 13, #ARGV - 12)
if clean then redis.call('ZADD', KEYS[2], digits(s.q), ARGV[12]) end
local reply = finish(s, 1)
reply[#reply + 1] = clean and 1 or 0
return reply
"""
)
"""Tell whether anything has happened to a key or its tags since a lease; bump the key if not.

The first of the two steps of OFFER in a cluster.
"""
