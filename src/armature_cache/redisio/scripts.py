r"""The Lua scripts of the coherence protocol; each is atomic on the server.

Sequences are microseconds and exceed what Lua's `tostring` prints, hence `string.format`. Special
members of the clocks carry their value in their name and stand above every tag: `\0S` (last
sequence), `\0E:` epoch, `\0R:` run_id, `\0N:` run_ids of a cluster's primaries, `\0F:` floor,
`\0B:` largest staleness bound in µs, `\0T:` longest lifetime in use in ms; in the key clock
`\0F:` is the floor of its memory.
"""

from __future__ import annotations

from typing import Final

from armature_cache.redisio.port import Script

TOP: Final = 9_000_000_000_000_000
"""The score of special members: above every sequence, exact as a double."""

_PRELUDE: Final = """
local TOP = '9000000000000000'
local function digits(n) return string.format('%.0f', n) end
local function micros()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000000 + tonumber(t[2])
end
local function specials(key)
  local found = {}
  for _, m in ipairs(redis.call('ZRANGEBYSCORE', key, TOP, '+inf')) do
    local name, value = string.match(m, '^%z(%u):(.*)$')
    if name and name ~= 'N' then found[name] = value end
  end
  return found
end
local function put(key, found, name, value)
  if found[name] == value then return end
  if found[name] then redis.call('ZREM', key, '\\0' .. name .. ':' .. found[name]) end
  redis.call('ZADD', key, TOP, '\\0' .. name .. ':' .. value)
  found[name] = value
end
local function last(key)
  local s = redis.call('ZSCORE', key, '\\0S')
  return s and tonumber(s)
end
local function delta(key, cursor)
  return redis.call('ZRANGEBYSCORE', key, '(' .. digits(cursor), '(' .. TOP, 'WITHSCORES')
end
local PRIME = 4294967291
local function stamp(asof, epoch)
  local check = (asof % PRIME + 7 * (epoch % PRIME)) % PRIME
  return struct.pack('>I8I8I4', asof, epoch, check)
end
local function stamped(envelope, asof, epoch)
  return string.sub(envelope, 1, 4) .. stamp(asof, epoch) .. string.sub(envelope, 25)
end
local function head_of(key)
  local head = redis.call('GETRANGE', key, 0, 75)
  if #head < 76 then return head end
  return head .. redis.call('GETRANGE', key, 76, 75 + struct.unpack('>I4', head, 65))
end
local function read_stamp(key)
  local head = redis.call('GETRANGE', key, 0, 23)
  if #head < 24 or string.sub(head, 1, 2) ~= 'AC' then return nil end
  local asof, epoch = struct.unpack('>I8I8', head, 5)
  if stamp(asof, epoch) ~= string.sub(head, 5) then return nil end
  return asof, epoch, string.byte(head, 3)
end
"""

_BUMP: Final = """
local function drop(key, members)
  if #members > 0 then redis.call('ZREM', key, unpack(members)) end
end
local function compact_tags(c, s, now, max_tags, load_time, limit)
  local surplus = redis.call('ZCARD', c) - max_tags
  local horizon = s.T and now - tonumber(s.T) * 1000 - load_time or 0
  local oldest = redis.call('ZRANGE', c, 0, limit, 'WITHSCORES')
  local gone, floor = {}, tonumber(s.F)
  for i = 1, #oldest, 2 do
    local q = tonumber(oldest[i + 1])
    if string.byte(oldest[i]) == 0 or (surplus <= 0 and q >= horizon) then break end
    gone[#gone + 1] = oldest[i]
    surplus = surplus - 1
    if q > floor then floor = q end
  end
  drop(c, gone)
  put(c, s, 'F', digits(floor))
end
local function compact_keys(k, ks, now, max_keys, memory, limit)
  local surplus = redis.call('ZCARD', k) - max_keys
  local oldest = redis.call('ZRANGE', k, 0, limit, 'WITHSCORES')
  local gone, floor = {}, tonumber(ks.F)
  for i = 1, #oldest, 2 do
    local q = tonumber(oldest[i + 1])
    if string.byte(oldest[i]) == 0 or (surplus <= 0 and q >= now - memory) then break end
    gone[#gone + 1] = oldest[i]
    surplus = surplus - 1
    if q > floor then floor = q end
  end
  drop(k, gone)
  put(k, ks, 'F', digits(floor))
end
-- common arguments: 1 run_id, 2 epoch, 3 cursor, 4 channel, 5 max_tags, 6 max_keys,
-- 7 load time in us, 8 memory of the key clock in us, 9 whether in a cluster
local function begin()
  local s = specials(KEYS[1])
  s.S = last(KEYS[1])
  s.keys = specials(KEYS[2])
  if not s.S or not s.E or not s.F or not s.keys.F or s.R ~= ARGV[1] then return nil end
  local E, my_epoch = tonumber(s.E), tonumber(ARGV[2])
  if E < my_epoch or (E == my_epoch and s.S < tonumber(ARGV[3])) then return nil end
  local now = micros()
  s.now = now
  s.q = math.max(s.S + 1, now)
  s.cursor = tonumber(ARGV[3])
  local news = redis.call('ZCOUNT', KEYS[1], '(' .. digits(s.cursor), '(' .. TOP)
  if s.E ~= ARGV[2] or news > 20000 then s.cursor = s.S end
  redis.call('ZADD', KEYS[1], digits(s.q), '\\0S')
  return s
end
local function finish(s, added)
  local limit = added + 31
  compact_tags(KEYS[1], s, s.now, tonumber(ARGV[5]), tonumber(ARGV[7]), limit)
  compact_keys(KEYS[2], s.keys, s.now, tonumber(ARGV[6]), tonumber(ARGV[8]), limit)
  if ARGV[4] ~= '' then
    redis.call(ARGV[9] == '1' and 'SPUBLISH' or 'PUBLISH', ARGV[4], digits(s.q))
  end
  return {s.E, digits(s.cursor), digits(s.q), s.F, s.keys.F,
    delta(KEYS[1], s.cursor), delta(KEYS[2], s.cursor), s.B or '0'}
end
"""

_INDEX: Final = """
local function index(registry, first, tags, at, count, member, dead_at, now_ms)
  for i = 0, count - 1 do
    local key = KEYS[first + i]
    redis.call('ZADD', key, dead_at, member)
    if redis.call('PTTL', key) < 0 then
      redis.call('PEXPIREAT', key, dead_at)
    else
      redis.call('PEXPIREAT', key, dead_at, 'GT')
    end
    redis.call('ZADD', registry, 'GT', dead_at, tags[at + i])
    drop(key, redis.call('ZRANGEBYSCORE', key, '-inf', now_ms, 'LIMIT', 0, 8))
  end
  if count == 0 then return end
  if redis.call('PTTL', registry) < 0 then
    redis.call('PEXPIREAT', registry, dead_at)
  else
    redis.call('PEXPIREAT', registry, dead_at, 'GT')
  end
  drop(registry, redis.call('ZRANGEBYSCORE', registry, '-inf', now_ms, 'LIMIT', 0, 8))
end
"""

SYNC: Final = Script(
    _PRELUDE
    + """
-- KEYS clock, key clock; ARGV epoch, last, bound in us, longest ttl in ms, restart, channel, nonce,
-- in a cluster the run_ids of all primaries
local function nodes(key)
  local found, any = {}, false
  for _, m in ipairs(redis.call('ZRANGEBYSCORE', key, TOP, '+inf')) do
    if string.sub(m, 1, 3) == '\\0N:' then
      found[string.sub(m, 4)] = true
      any = true
    end
  end
  return found, any
end
local c, k = KEYS[1], KEYS[2]
local s = specials(c)
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or 'unknown'
local S, E = last(c), tonumber(s.E)
local my_epoch, my_last = tonumber(ARGV[1]), tonumber(ARGV[2])
local now = micros()
local reset = ARGV[5] == '1' or not S or not E or not s.F or s.R ~= run or E < my_epoch
  or (E == my_epoch and S < my_last)
local known, any = nodes(c)
for i = 8, #ARGV do
  if any and not known[ARGV[i]] then reset = true end
end
if reset then
  local q = math.max((S or 0) + 1, my_last + 1, now)
  local NONCES = 1048576
  local number = math.max(math.floor((E or 0) / NONCES) + 1, math.floor(my_epoch / NONCES) + 1,
    math.floor(now / 1000000))
  E = number * NONCES + tonumber(ARGV[7])
  redis.call('UNLINK', c, k)
  local B, T = s.B, s.T
  s, S = {}, q
  put(c, s, 'E', digits(E))
  put(c, s, 'R', run)
  put(c, s, 'F', digits(q))
  if B then put(c, s, 'B', B) end
  if T then put(c, s, 'T', T) end
  redis.call('ZADD', c, digits(q), '\\0S')
  any = false
end
if not any then
  known = {}
  for i = 8, #ARGV do
    redis.call('ZADD', c, TOP, '\\0N:' .. ARGV[i])
    known[ARGV[i]] = true
  end
end
local listed = {}
for node in pairs(known) do listed[#listed + 1] = node end
local ks = specials(k)
if not ks.F then
  if not reset then
    S = math.max(S + 1, now)
    redis.call('ZADD', c, digits(S), '\\0S')
  end
  put(k, ks, 'F', digits(S))
  put(c, s, 'F', digits(S))
end
if tonumber(ARGV[3]) > tonumber(s.B or 0) then put(c, s, 'B', ARGV[3]) end
if tonumber(ARGV[4]) > tonumber(s.T or 0) then put(c, s, 'T', ARGV[4]) end
local cursor = my_last
if E ~= my_epoch or redis.call('ZCOUNT', c, '(' .. digits(cursor), '(' .. TOP) > 20000 then
  cursor = S
end
if reset and ARGV[6] ~= '' then
  redis.call(#ARGV > 7 and 'SPUBLISH' or 'PUBLISH', ARGV[6], digits(S))
end
return {run, digits(E), digits(cursor), digits(S), s.F, ks.F, digits(now),
  delta(c, cursor), delta(k, cursor), listed, s.B or '0', s.T or '0'}
"""
)
"""Read the clock with authority: declares, repairs, and resets it when it cannot be trusted."""

BUMP: Final = Script(
    _PRELUDE
    + _BUMP
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
"""
)
"""Record an invalidation of tags and keys; returns the complete delta up to it."""

SET: Final = Script(
    _PRELUDE
    + _BUMP
    + _INDEX
    + """
-- KEYS clock, key clock, value, registry, indexes...; ARGV common, 10 expected header ('' absent,
-- '*' any), 11 life in ms, 12 dead_at in ms, 13 key, 14 key digest, 15 envelope, 16 number of
-- tag digests if what stands must be valid, else -1, tag digests..., tags...
if ARGV[10] ~= '*' and redis.call('GETRANGE', KEYS[3], 0, 75) ~= ARGV[10] then
  return {'CHANGED'}
end
local judged = tonumber(ARGV[16])
if judged >= 0 then
  local c, asof, epoch = specials(KEYS[1]), read_stamp(KEYS[3])
  local stands = asof and tonumber(c.E) == epoch and tonumber(c.F or 0) <= asof
    and tonumber(redis.call('ZSCORE', KEYS[2], ARGV[14]) or 0) <= asof
  for i = 17, 16 + judged do
    stands = stands and tonumber(redis.call('ZSCORE', KEYS[1], ARGV[i]) or 0) <= asof
  end
  if not stands then return {'CHANGED'} end
end
local s = begin()
if not s then return {'RESYNC'} end
redis.call('ZADD', KEYS[2], digits(s.q), ARGV[14])
redis.call('SET', KEYS[3], stamped(ARGV[15], s.q, tonumber(s.E)), 'PX', ARGV[11])
index(KEYS[4], 5, ARGV, 17 + math.max(judged, 0), #KEYS - 4, ARGV[13], ARGV[12],
  digits(s.now / 1000))
return finish(s, 1)
"""
)
"""Store a value that is current now: its key is bumped and its asof is that sequence.

What takes over a value that stands does so only while that one is valid: else it would revive it.
"""

FILL: Final = Script(
    _PRELUDE
    + """
local function drop(key, members)
  if #members > 0 then redis.call('ZREM', key, unpack(members)) end
end
"""
    + _INDEX
    + """
-- KEYS key clock, value, registry, indexes...; ARGV epoch, asof, version, latest moment in ms,
-- life in ms, dead_at in ms, key, key digest, envelope, tags...
local now = micros() / 1000
if now > tonumber(ARGV[4]) then return -1 end
local my_epoch, my_asof = tonumber(ARGV[1]), tonumber(ARGV[2])
local floor = specials(KEYS[1]).F
if not floor or my_asof < tonumber(floor) then return 0 end
if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[8]) or 0) > my_asof then return 0 end
local asof, epoch, version = read_stamp(KEYS[2])
if asof then
  if epoch > my_epoch or (epoch == my_epoch and asof > my_asof) then return 0 end
  if version > tonumber(ARGV[3]) then return 0 end
end
redis.call('SET', KEYS[2], ARGV[9], 'PX', ARGV[5])
index(KEYS[3], 4, ARGV, 10, #KEYS - 3, ARGV[7], ARGV[6], digits(now))
return 1
"""
)
"""Store a value that was loaded: refused where something of a higher stamp stands.

The key clock is asked too, for a tombstone may have been evicted.
"""

_UNTOUCHED: Final = """
local function untouched(s, epoch, asof, key, first, count)
  local clean = s.E == epoch and asof >= tonumber(s.F) and asof >= tonumber(s.keys.F)
    and tonumber(redis.call('ZSCORE', KEYS[2], key) or 0) <= asof
  for i = first, first + count - 1 do
    clean = clean and tonumber(redis.call('ZSCORE', KEYS[1], ARGV[i]) or 0) <= asof
  end
  return clean
end
"""

OFFER: Final = Script(
    _PRELUDE
    + _BUMP
    + _INDEX
    + _UNTOUCHED
    + """
-- KEYS clock, key clock, value, registry, indexes...; ARGV common, 10 epoch and 11 asof of the
-- lease, 12 life in ms, 13 dead_at in ms, 14 key, 15 key digest, 16 envelope, 17 tombstone,
-- 18 its life in ms, then for each tag its digest, then the tags
local s = begin()
if not s then return {'RESYNC'} end
local asof, count = tonumber(ARGV[11]), #KEYS - 4
local clean = untouched(s, ARGV[10], asof, ARGV[15], 19, count)
local stored, epoch = read_stamp(KEYS[3])
if stored and (epoch > tonumber(s.E) or (epoch == tonumber(s.E) and stored > asof)) then
  clean = false
end
redis.call('ZADD', KEYS[2], digits(s.q), ARGV[15])
if clean then
  redis.call('SET', KEYS[3], stamped(ARGV[16], s.q, tonumber(s.E)), 'PX', ARGV[12])
  index(KEYS[4], 5, ARGV, 19 + count, count, ARGV[14], ARGV[13], digits(s.now / 1000))
else
  redis.call('SET', KEYS[3], stamped(ARGV[17], s.q, tonumber(s.E)), 'PX', ARGV[18])
end
local reply = finish(s, 1)
reply[#reply + 1] = clean and 1 or 0
return reply
"""
)
"""Store a value that was read or made after a miss, if nothing has happened to it since.

It then replaces whatever is there, like an explicit set, since nobody knows whether it was read
or written; otherwise a tombstone does.
"""

INCREMENT: Final = Script(
    _PRELUDE
    + """
-- KEYS value, scratch; ARGV epoch, least asof, tags, expected header ('' to go by the least asof),
-- delta
local raw = redis.call('GET', KEYS[1])
if not raw then return {0} end
local asof, epoch, version = read_stamp(KEYS[1])
local counter = asof and version == 1 and string.byte(raw, 4) % 4 >= 2 and #raw > 76
if not counter then return {0, raw} end
local start = 77 + struct.unpack('>I4', raw, 65)
local tags = string.sub(raw, 77, start - 1)
local known
if ARGV[4] ~= '' then
  known = string.sub(raw, 1, 76) == ARGV[4]
else
  known = epoch == tonumber(ARGV[1]) and asof >= tonumber(ARGV[2]) and tags == ARGV[3]
end
if not known then return {0, raw} end
redis.call('SET', KEYS[2], string.sub(raw, start), 'PX', 60000)
local sum = redis.pcall('INCRBY', KEYS[2], ARGV[5])
if type(sum) == 'table' then
  redis.call('DEL', KEYS[2])
  return {-1}
end
local text = redis.call('GET', KEYS[2])
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[1], string.sub(raw, 1, start - 1) .. text, 'KEEPTTL')
return {1, text}
"""
)
"""Add to a counter in place, keeping its stamp and its lifetime."""

PRUNE: Final = Script(
    """
-- KEYS index; ARGV member, score, ...
for i = 1, #ARGV, 2 do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if score and tonumber(score) == tonumber(ARGV[i + 1]) then
    redis.call('ZREM', KEYS[1], ARGV[i])
  end
end
return 1
"""
)
"""Drop members of a listing index that still have the score at which they were found dead."""


CHECK: Final = Script(
    _PRELUDE
    + _BUMP
    + _UNTOUCHED
    + """
-- KEYS clock, key clock; ARGV common, 10 epoch and 11 asof of the lease, 12 key digest, digests of
-- tags...
local s = begin()
if not s then return {'RESYNC'} end
local clean = untouched(s, ARGV[10], tonumber(ARGV[11]), ARGV[12], 13, #ARGV - 12)
redis.call('ZADD', KEYS[2], digits(s.q), ARGV[12])
local reply = finish(s, 1)
reply[#reply + 1] = clean and 1 or 0
return reply
"""
)
"""Bump a key, and tell whether anything had happened to it or its tags since a lease.

The first of the two steps of OFFER in a cluster.
"""

PLACE: Final = Script(
    _PRELUDE
    + """
local function drop(key, members)
  if #members > 0 then redis.call('ZREM', key, unpack(members)) end
end
"""
    + _INDEX
    + """
-- KEYS value, registry, indexes...; ARGV 1 epoch, 2 asof, 3 version, 4 expected header ('' absent,
-- '*' any), 5 highest asof to replace ('' any), 6 life in ms, 7 dead_at in ms, 8 key, 9 envelope,
-- 10 tombstone, 11 its life in ms, 12 latest moment in ms ('' any), tags...
local now = micros() / 1000
if ARGV[12] ~= '' and now > tonumber(ARGV[12]) then return -1 end
if ARGV[4] ~= '*' and redis.call('GETRANGE', KEYS[1], 0, 75) ~= ARGV[4] then return 2 end
local my_epoch, my_asof = tonumber(ARGV[1]), tonumber(ARGV[2])
local asof, epoch, version = read_stamp(KEYS[1])
if asof then
  if epoch > my_epoch or (epoch == my_epoch and asof > my_asof) then return 0 end
  if version > tonumber(ARGV[3]) then return 0 end
  if ARGV[5] ~= '' and epoch == my_epoch and asof > tonumber(ARGV[5]) then
    redis.call('SET', KEYS[1], ARGV[10], 'PX', ARGV[11])
    return 0
  end
end
redis.call('SET', KEYS[1], ARGV[9], 'PX', ARGV[6])
index(KEYS[2], 3, ARGV, 13, #KEYS - 2, ARGV[8], ARGV[7], digits(now))
return 1
"""
)
"""Store a value in a cluster, where the clock is elsewhere: refused below a higher stamp."""

BURY: Final = Script(
    _PRELUDE
    + """
-- KEYS value; ARGV epoch, asof, tombstone, its life in ms
local head = head_of(KEYS[1])
local my_epoch, my_asof = tonumber(ARGV[1]), tonumber(ARGV[2])
local asof, epoch = read_stamp(KEYS[1])
if not asof or epoch < my_epoch or (epoch == my_epoch and asof <= my_asof) then
  redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
end
return head
"""
)
"""Put a tombstone on a value in a cluster, unless something newer stands there."""
