r"""What the Lua scripts have in common.

Sequences are microseconds and exceed what Lua's `tostring` prints, hence `string.format`. Special
members of the clocks carry their value in their name and stand above every tag: `\0S` (last
sequence), `\0E:` epoch, `\0R:` run_id, `\0N:` run_ids of a cluster's primaries, `\0F:` floor,
`\0B:` largest staleness bound in µs, `\0T:` longest lifetime in use in ms; in the key clock
`\0F:` is the floor of its memory. Of failovers tell `\0X:` (some process does not replay), `\0Q:`
(parent epoch, limit, and until when writers may report), `\0W:` writers that have not reported,
and `\0A:` (parent epoch and limit) once all have. Beside the clock a sorted set holds the writers:
member -> when it was last heard of.

`same` tells whether two envelopes hold the same value: by tags and payload, without the seal of a
signed one; of an encrypted one by the print that its seal begins with.
"""

from __future__ import annotations

from typing import Final

TOP: Final = 9_000_000_000_000_000
"""The score of special members: above every sequence, exact as a double."""
ENROLLED: Final = 60_000_000
"""The time in µs for which a writer is waited for, after a failover, since it was heard of."""
PRELUDE: Final = (
    f"local TOP, ENROLLED = '{TOP}', {ENROLLED}"
    """
local function digits(n) return string.format('%.0f', n) end
local function micros()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000000 + tonumber(t[2])
end
local function specials(key)
  local found = {}
  for _, m in ipairs(redis.call('ZRANGEBYSCORE', key, TOP, '+inf')) do
    local name, value = string.match(m, '^%z(%u):(.*)$')
    if name and name ~= 'N' and name ~= 'W' then found[name] = value end
  end
  return found
end
local function put(key, found, name, value)
  if found[name] == value then return end
  if found[name] then redis.call('ZREM', key, '\\0' .. name .. ':' .. found[name]) end
  redis.call('ZADD', key, TOP, '\\0' .. name .. ':' .. value)
  found[name] = value
end
local function take(key, found, name)
  if found[name] then redis.call('ZREM', key, '\\0' .. name .. ':' .. found[name]) end
  found[name] = nil
end
local function writers(clock) return string.sub(clock, 1, -2) .. 'w' end
local function heir(s, epoch, asof)
  if tonumber(s.E) == epoch then return true end
  local parent, limit = string.match(s.A or '', '^(%d+):(%d+)$')
  return parent and tonumber(parent) == epoch and asof <= tonumber(limit)
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
local function store(key, envelope, asof, epoch, life)
  if #envelope < 65536 then
    redis.call('SET', key, stamped(envelope, asof, epoch), 'PX', life)
  else -- a large string is not copied within Lua
    redis.call('SET', key, envelope, 'PX', life)
    redis.call('SETRANGE', key, 4, stamp(asof, epoch))
  end
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
  return asof, epoch, string.byte(head, 3), string.byte(head, 4)
end
local function is_counter(raw)
  return #raw > 76 and string.byte(raw, 3) == 1 and string.byte(raw, 4) % 4 >= 2
end
local function counted(raw)
  return 77 + struct.unpack('>I4', raw, 65)
end
local function recounted(envelope, key)
  if not is_counter(envelope) then return envelope end
  local raw = redis.call('GET', key)
  if not raw or not is_counter(raw) then return envelope end
  return string.sub(envelope, 1, counted(envelope) - 1) .. string.sub(raw, counted(raw))
end
local function same(raw, envelope)
  if not raw or #raw ~= #envelope or string.sub(raw, 1, 4) ~= string.sub(envelope, 1, 4)
    or string.sub(raw, 53, 72) ~= string.sub(envelope, 53, 72) then
    return false
  end
  local flags = string.byte(raw, 4)
  local tags, etag = struct.unpack('>I4I2', raw, 65)
  local seal = 77 + tags + etag
  local last, after = #raw, #raw + 1
  if flags % 32 >= 16 then
    last = seal + 15
  elseif flags % 64 >= 32 then
    last, after = seal - 1, seal + 32
  end
  return string.sub(raw, 77, last) == string.sub(envelope, 77, last)
    and string.sub(raw, after) == string.sub(envelope, after)
end
"""
)

DROPPING: Final = """
local function drop(key, members)
  if #members > 0 then redis.call('ZREM', key, unpack(members)) end
end
"""

BUMPING: Final = """
local function compact(key, found, surplus, horizon, limit)
  local function may_go(member, score)
    return string.byte(member) ~= 0 and (surplus > 0 or score < horizon)
  end
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  if not first[1] or not may_go(first[1], tonumber(first[2])) then return end
  local oldest = redis.call('ZRANGE', key, 0, limit, 'WITHSCORES')
  local gone, floor = {}, tonumber(found.F)
  for i = 1, #oldest, 2 do
    local q = tonumber(oldest[i + 1])
    if not may_go(oldest[i], q) then break end
    gone[#gone + 1] = oldest[i]
    surplus = surplus - 1
    if q > floor then floor = q end
  end
  drop(key, gone)
  put(key, found, 'F', digits(floor))
end
local function surplus(key, most) return redis.call('ZCARD', key) - tonumber(most) end
-- common arguments: 1 run_id, 2 epoch, 3 cursor, 4 channel, 5 max_tags, 6 max_keys, 7 load time in
-- us, 8 memory of the key clock in us, 9 whether in a cluster: 1 or 0; a longer word is the member
-- of a writer that replays. With a negative cursor there is neither hint nor delta: the next call
-- of the same pipeline brings them.
local function begin()
  local s = specials(KEYS[1])
  s.S = last(KEYS[1])
  s.keys = specials(KEYS[2])
  if not s.S or not s.E or not s.F or not s.keys.F or s.R ~= ARGV[1] then return nil end
  local E, my_epoch, cursor = tonumber(s.E), tonumber(ARGV[2]), tonumber(ARGV[3])
  if E < my_epoch or (E == my_epoch and s.S < math.abs(cursor)) then return nil end
  if (s.A or s.Q) and s.E ~= ARGV[2] then return nil end
  local now = micros()
  if #ARGV[9] > 1 then
    local heard = redis.call('ZSCORE', writers(KEYS[1]), ARGV[9])
    if not heard or tonumber(heard) < now - ENROLLED then return nil end
    redis.call('ZADD', writers(KEYS[1]), digits(now), ARGV[9])
  end
  s.now = now
  s.q = math.max(s.S + 1, now)
  s.quiet = cursor < 0
  s.cursor = s.quiet and s.q or cursor
  local news = redis.call('ZCOUNT', KEYS[1], '(' .. digits(s.cursor), '(' .. TOP)
  if not s.quiet and (s.E ~= ARGV[2] or news > 20000) then s.cursor = s.S end
  redis.call('ZADD', KEYS[1], digits(s.q), '\\0S')
  return s
end
local function finish(s, added)
  if added > 8 or s.q % 8 == 0 then
    local limit = added + 255
    local horizon = s.T and s.now - tonumber(s.T) * 1000 - tonumber(ARGV[7]) or 0
    compact(KEYS[1], s, surplus(KEYS[1], ARGV[5]), horizon, limit)
    compact(KEYS[2], s.keys, surplus(KEYS[2], ARGV[6]), s.now - tonumber(ARGV[8]), limit)
  end
  if ARGV[4] ~= '' and not s.quiet then
    redis.call(ARGV[9] == '1' and 'SPUBLISH' or 'PUBLISH', ARGV[4], digits(s.q))
  end
  return {s.E, digits(s.cursor), digits(s.q), s.F, s.keys.F,
    delta(KEYS[1], s.cursor), delta(KEYS[2], s.cursor), s.B or '0'}
end
"""

INDEXING: Final = """
local function last_until(key, dead_at)
  -- GT takes a key without an end for one that never ends.
  if redis.call('PEXPIREAT', key, dead_at, 'GT') == 0 and redis.call('PTTL', key) < 0 then
    redis.call('PEXPIREAT', key, dead_at)
  end
end
local function index(registry, first, tags, at, count, member, dead_at, now_ms)
  if count == 0 then return end
  local tidies = string.byte(now_ms, -1) % 8 == 0
  local function tidy(key)
    if tidies then drop(key, redis.call('ZRANGEBYSCORE', key, '-inf', now_ms, 'LIMIT', 0, 48)) end
  end
  local listed = {}
  for i = 0, count - 1 do
    local key = KEYS[first + i]
    redis.call('ZADD', key, dead_at, member)
    last_until(key, dead_at)
    tidy(key)
    listed[#listed + 1] = dead_at
    listed[#listed + 1] = tags[at + i]
  end
  redis.call('ZADD', registry, 'GT', unpack(listed))
  last_until(registry, dead_at)
  tidy(registry)
end
"""

UNTOUCHED: Final = """
local function untouched(s, epoch, asof, key, first, count)
  local clean = s.E == epoch and asof >= tonumber(s.F) and asof >= tonumber(s.keys.F)
    and tonumber(redis.call('ZSCORE', KEYS[2], key) or 0) <= asof
  for i = first, first + count - 1 do
    clean = clean and tonumber(redis.call('ZSCORE', KEYS[1], ARGV[i]) or 0) <= asof
  end
  return clean
end
"""
