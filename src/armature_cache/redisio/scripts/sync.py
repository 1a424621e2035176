"""The script that reads a clock with authority, and decides what becomes of it."""

from __future__ import annotations

from typing import Final

from armature_cache.redisio.port import Script
from armature_cache.redisio.scripts.parts import DROPPING, PRELUDE

_FAILOVER: Final = """
-- A server that was promoted while it was up goes on with the clock that it has.
local function adopts(s, ks, run, my_epoch, my_last)
  if ARGV[8] ~= '1' or ARGV[5] == '1' or #ARGV > 11 or s.X or not ks.F or s.R == run then
    return false
  end
  if s.E == ARGV[1] and my_last > s.S + ENROLLED then return false end
  local up = tonumber(string.match(s.info, 'uptime_in_seconds:(%d+)') or '0') - 1  -- it rounds
  return s.now - up * 1000000 <= s.S and redis.call('ZCARD', writers(KEYS[1])) > 0
end
-- Until all whom it knows to have written lately have reported, nothing is inherited.
local function await(s)
  local newest = tonumber(redis.call('ZRANGE', writers(KEYS[1]), -1, -1, 'WITHSCORES')[2])
  local since = digits(math.max(s.S, newest) - ENROLLED)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', writers(KEYS[1]), since, '+inf')) do
    redis.call('ZADD', KEYS[1], TOP, '\\0W:' .. member)
  end
  take(KEYS[1], s, 'A')
  put(KEYS[1], s, 'Q', s.E .. ':' .. digits(s.S) .. ':' .. digits(s.now + tonumber(ARGV[11])))
end
local function enrol(s)
  redis.call('ZADD', writers(KEYS[1]), digits(s.now), ARGV[9])
  drop(writers(KEYS[1]), redis.call('ZRANGEBYSCORE', writers(KEYS[1]), '-inf',
    digits(s.now - 2 * ENROLLED), 'LIMIT', 0, 64))
end
local function settle(s)
  for _, m in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], TOP, '+inf')) do
    if string.sub(m, 1, 3) == '\\0W:' then return end
  end
  put(KEYS[1], s, 'A', string.match(s.Q, '^(%d+:%d+):'))
  take(KEYS[1], s, 'Q')
end
"""

SYNC: Final = Script(
    PRELUDE
    + DROPPING
    + _FAILOVER
    + """
-- KEYS clock, key clock; ARGV 1 epoch, 2 last, 3 bound in us, 4 longest ttl in ms, 5 restart,
-- 6 channel, 7 nonce, 8 whether this process replays, 9 its member if it enrols, 10 its member if
-- it has replayed, 11 the time in us that writers have to report, in a cluster the run_ids of all
-- primaries
local c, k = KEYS[1], KEYS[2]
local function nodes()
  local found, any = {}, false
  for _, m in ipairs(redis.call('ZRANGEBYSCORE', c, TOP, '+inf')) do
    if string.sub(m, 1, 3) == '\\0N:' then
      found[string.sub(m, 4)] = true
      any = true
    end
  end
  return found, any
end
local s, ks = specials(c), specials(k)
s.info = redis.call('INFO', 'server')
s.S, s.now = last(c), micros()
local run = string.match(s.info, 'run_id:(%w+)') or 'unknown'
local E, now = tonumber(s.E), s.now
local my_epoch, my_last = tonumber(ARGV[1]), tonumber(ARGV[2])
local lost = not s.S or not E or not s.F or E < my_epoch
local goes_on = not lost and adopts(s, ks, run, my_epoch, my_last)
local reset = not goes_on and (ARGV[5] == '1' or lost or s.R ~= run
  or (E == my_epoch and s.S < my_last)
  or (s.Q and now > tonumber(string.match(s.Q, ':(%d+)$'))))
local known, any = nodes()
for i = 12, #ARGV do
  if any and not known[ARGV[i]] then reset = true end
end
if reset or goes_on then
  local NONCES = 1048576
  local number = math.max(math.floor((E or 0) / NONCES) + 1, math.floor(my_epoch / NONCES) + 1,
    math.floor(now / 1000000))
  E = number * NONCES + tonumber(ARGV[7])
  local q = math.max((s.S or 0) + 1, my_last + 1, now)
  if goes_on then
    await(s)
  else
    redis.call('UNLINK', c, k)
    local B, T = s.B, s.T
    s, ks = {now = now}, {}
    put(c, s, 'F', digits(q))
    if B then put(c, s, 'B', B) end
    if T then put(c, s, 'T', T) end
    any = false
  end
  put(c, s, 'E', digits(E))
  put(c, s, 'R', run)
  s.S = q
  redis.call('ZADD', c, digits(q), '\\0S')
end
if not any then
  known = {}
  for i = 12, #ARGV do
    redis.call('ZADD', c, TOP, '\\0N:' .. ARGV[i])
    known[ARGV[i]] = true
  end
end
local listed = {}
for node in pairs(known) do listed[#listed + 1] = node end
if not ks.F then
  if not reset then
    s.S = math.max(s.S + 1, now)
    redis.call('ZADD', c, digits(s.S), '\\0S')
  end
  put(k, ks, 'F', digits(s.S))
  put(c, s, 'F', digits(s.S))
end
if tonumber(ARGV[3]) > tonumber(s.B or 0) then put(c, s, 'B', ARGV[3]) end
if tonumber(ARGV[4]) > tonumber(s.T or 0) then put(c, s, 'T', ARGV[4]) end
if ARGV[8] == '0' then put(c, s, 'X', '1') end
if ARGV[9] ~= '' then enrol(s) end
if ARGV[10] ~= '' and E == my_epoch then redis.call('ZREM', c, '\\0W:' .. ARGV[10]) end
if s.Q then settle(s) end
local cursor = my_last
if E ~= my_epoch or redis.call('ZCOUNT', c, '(' .. digits(cursor), '(' .. TOP) > 20000 then
  cursor = s.S
end
if (reset or goes_on) and ARGV[6] ~= '' then
  redis.call(#ARGV > 11 and 'SPUBLISH' or 'PUBLISH', ARGV[6], digits(s.S))
end
return {run, digits(E), digits(cursor), digits(s.S), s.F, ks.F, digits(now),
  delta(c, cursor), delta(k, cursor), listed, s.B or '0', s.T or '0', s.Q or '', s.A or '',
  s.X or ''}
""",
    when_full=True,
)
"""Read the clock with authority: declares, repairs, and resets it when it cannot be trusted.

With writers that replay, a promoted server's clock goes on in an epoch that inherits.
"""

RESIGN: Final = Script(
    """
-- KEYS writers; ARGV member, when it was last heard of
local heard = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not heard or tonumber(heard) ~= tonumber(ARGV[2]) then return 0 end
return redis.call('ZREM', KEYS[1], ARGV[1])
""",
    when_full=True,
)
"""Take a writer off the list, unless it has written again meanwhile."""
