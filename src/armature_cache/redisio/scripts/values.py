"""Scripts that run where a value is; each is atomic on the server."""

from __future__ import annotations

from typing import Final

from armature_cache.redisio.port import Script
from armature_cache.redisio.scripts.parts import DROPPING, INDEXING, PRELUDE

FILL: Final = Script(
    PRELUDE
    + DROPPING
    + INDEXING
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

PLACE: Final = Script(
    PRELUDE
    + DROPPING
    + INDEXING
    + """
-- KEYS value, registry, indexes...; ARGV 1 epoch, 2 asof, 3 version, 4 expected header ('' absent,
-- '*' any), 5 highest asof to replace ('' any), 6 life in ms, 7 dead_at in ms, 8 key, 9 envelope,
-- 10 tombstone, 11 its life in ms, 12 latest moment in ms ('' any), 13 whether it takes over what
-- stands, tags...
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
local value = ARGV[13] == '1' and recounted(ARGV[9], KEYS[1]) or ARGV[9]
redis.call('SET', KEYS[1], value, 'PX', ARGV[6])
index(KEYS[2], 3, ARGV, 14, #KEYS - 2, ARGV[8], ARGV[7], digits(now))
return 1
"""
)
"""Store a value in a cluster, where the clock is elsewhere: refused below a higher stamp."""

TOUCH: Final = Script(
    PRELUDE
    + DROPPING
    + INDEXING
    + """
-- KEYS value, registry, indexes...; ARGV 1 epoch and 2 asof of the entry, 3 its new asof, 4 life in
-- ms, 5 dead_at in ms, 6 key, 7 an epoch that is inherited from, tags...
local asof, epoch = read_stamp(KEYS[1])
if not asof or asof ~= tonumber(ARGV[2]) then return 0 end
if epoch ~= tonumber(ARGV[1]) and epoch ~= tonumber(ARGV[7]) then return 0 end
redis.call('SETRANGE', KEYS[1], 4, stamp(tonumber(ARGV[3]), tonumber(ARGV[1])))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
index(KEYS[2], 3, ARGV, 8, #KEYS - 2, ARGV[6], ARGV[5], digits(micros() / 1000))
return 1
"""
)
"""Start the lifetime of a sliding entry anew, and note as of when it was found valid."""

SAME: Final = Script(
    PRELUDE
    + """
-- KEYS value; ARGV envelope
if same(redis.call('GET', KEYS[1]), ARGV[1]) then return redis.call('GETRANGE', KEYS[1], 0, 75) end
return ''
"""
)
"""The header of what is stored, if it is the same value; in a cluster."""

BURY: Final = Script(
    PRELUDE
    + """
-- KEYS value; ARGV epoch, asof, tombstone, its life in ms
local head = head_of(KEYS[1])
local my_epoch, my_asof = tonumber(ARGV[1]), tonumber(ARGV[2])
local asof, epoch = read_stamp(KEYS[1])
if not asof or epoch < my_epoch or (epoch == my_epoch and asof <= my_asof) then
  redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
end
return head
""",
    when_full=True,
)
"""Put a tombstone on a value in a cluster, unless something newer stands there."""

INCREMENT: Final = Script(
    PRELUDE
    + """
-- KEYS value; ARGV epoch, least asof, tags, expected header ('' to go by the least asof),
-- delta
local raw = redis.call('GET', KEYS[1])
if not raw then return {0} end
local asof, epoch = read_stamp(KEYS[1])
if not asof or not is_counter(raw) then return {0, raw} end
local start = counted(raw)
local tags = string.sub(raw, 77, start - 1)
local known
if ARGV[4] ~= '' then
  known = string.sub(raw, 1, 76) == ARGV[4]
else
  known = epoch == tonumber(ARGV[1]) and asof >= tonumber(ARGV[2]) and tags == ARGV[3]
end
if not known then return {0, raw} end
-- The server adds, for Lua's numbers have 53 bits.
redis.call('SET', KEYS[1], string.sub(raw, start), 'KEEPTTL')
local sum = redis.pcall('INCRBY', KEYS[1], ARGV[5])
if type(sum) == 'table' then
  redis.call('SET', KEYS[1], raw, 'KEEPTTL')
  return {-1}
end
local text = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], string.sub(raw, 1, start - 1) .. text, 'KEEPTTL')
return {1, text}
"""
)
"""Add to a counter in place, keeping its stamp and its lifetime."""

WAKE: Final = b"w:"
"""What the channel's messages begin with that name, by its digest, a key whose claim has ended."""

CLAIM: Final = Script(
    PRELUDE
    + """
-- KEYS claim, value; ARGV nonce|epoch|asof, life in ms, nonce that may be replaced
local held = redis.call('GET', KEYS[1])
local asof, epoch = read_stamp(KEYS[2])
local fresh = redis.call('GETRANGE', KEYS[2], 32, 39)
local fresh_until = asof and #fresh == 8 and digits(struct.unpack('>I8', fresh)) or ''
if not held or (ARGV[3] ~= '' and string.sub(held, 1, #ARGV[3] + 1) == ARGV[3] .. '|') then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return {ARGV[1], ARGV[2], epoch and digits(epoch) or '', asof and digits(asof) or '', fresh_until}
end
if string.sub(held, -1) ~= '+' then
  held = held .. '+'
  redis.call('SET', KEYS[1], held, 'KEEPTTL')
end
return {string.sub(held, 1, -2), redis.call('PTTL', KEYS[1]),
  epoch and digits(epoch) or '', asof and digits(asof) or '', fresh_until}
"""
)
"""Claim the load of a key, or else leave word that somebody waits for it."""

RELEASE: Final = Script(
    """
-- KEYS claim; ARGV nonce, channel ('' for none), message
local held = redis.call('GET', KEYS[1])
if not held or string.sub(held, 1, #ARGV[1] + 1) ~= ARGV[1] .. '|' then return 0 end
redis.call('DEL', KEYS[1])
if string.sub(held, -1) ~= '+' then return 1 end
if ARGV[2] ~= '' then redis.call('PUBLISH', ARGV[2], ARGV[3]) end
return 2
""",
    when_full=True,
)
"""Give a claim up; 2 if somebody waits for it, who is told by this where there is a channel."""

RECLAIM: Final = Script(
    """
-- KEYS values; ARGV their headers
local taken, size = 0, #(ARGV[1] or '')
for i, key in ipairs(KEYS) do
  if redis.call('GETRANGE', key, 0, size - 1) == ARGV[i] then
    taken = taken + redis.call('UNLINK', key)
  end
end
return taken
""",
    when_full=True,
)
"""Drop values that still have the headers with which they were found dead."""

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
""",
    when_full=True,
)
"""Drop members of a listing index that still have the score at which they were found dead."""
