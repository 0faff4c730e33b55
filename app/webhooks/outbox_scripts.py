"""The outbox's steps as Lua: each reads and writes at once on the server, so that two processes cannot both win.

An event is a hash `nightshift:event:{id}`: type, url, endpoint_id, body, created_at, owner, status, attempts (all there were), tries (since
it was created or sent again), give_up_at, ended_at, endpoint_gone, and while an attempt is under way claim (its
number), claimed_until and claimant. A script that is sent again, since its reply was lost, does what it did once: who claims,
puts off or asks for another delivery has a name of its own. Times are seconds since the epoch.
"""

#: KEYS due; ARGV now, limit, next time, prefix of the hashes, taker. Returns id, attempts, id, attempts, ...
#: Those first that this taker has taken before.
TAKE_DUE = """
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[3], ARGV[3])) do
  local event = redis.call('HMGET', ARGV[4] .. id, 'attempts', 'taken_by')
  if event[2] == ARGV[5] then
    found[#found + 1] = id
    found[#found + 1] = event[1]
  end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2] - #found / 2)) do
  local attempts = redis.call('HGET', ARGV[4] .. id, 'attempts')
  if attempts then
    redis.call('ZADD', KEYS[1], ARGV[3], id)
    redis.call('HSET', ARGV[4] .. id, 'taken_by', ARGV[5])
    found[#found + 1] = id
    found[#found + 1] = attempts
  else
    redis.call('ZREM', KEYS[1], id)
  end
end
return found
"""

#: KEYS event, due; ARGV id, now, claimed until, claimant. Returns {attempt, tries, give_up_at, url, body, endpoint} or nothing;
#: the same again to the claimant that holds it.
CLAIM = """
local event, due = KEYS[1], KEYS[2]
if redis.call('HGET', event, 'status') ~= 'pending' then
  redis.call('ZREM', due, ARGV[1])
  return false
end
local held = redis.call('HMGET', event, 'claimed_until', 'claimant')
if held[2] ~= ARGV[4] then
  if held[1] and tonumber(held[1]) > tonumber(ARGV[2]) then
    redis.call('ZADD', due, held[1], ARGV[1])
    return false
  end
  local attempt = redis.call('HINCRBY', event, 'attempts', 1)
  redis.call('HINCRBY', event, 'tries', 1)
  redis.call('HSET', event, 'claim', attempt, 'claimed_until', ARGV[3], 'claimant', ARGV[4])
  redis.call('ZADD', due, ARGV[3], ARGV[1])
end
return redis.call('HMGET', event, 'claim', 'tries', 'give_up_at', 'url', 'body', 'endpoint_id')
"""

#: KEYS event, history, due, delivered, undelivered, counters; ARGV id, attempt, record, now, status, next time, history's length,
#: seconds to keep, endpoint_gone ('1' or '0'), counter. Returns 1, or 0 if that attempt has no say any more.
#: A late success counts even when its claim has passed to another attempt: the receiver does have the event.
RECORD = """
local event, history, due = KEYS[1], KEYS[2], KEYS[3]
local id, attempt, now, status = ARGV[1], ARGV[2], ARGV[4], ARGV[5]
local before = redis.call('HGET', event, 'status')
if not before or before == 'delivered' then return 0 end
local holds = redis.call('HGET', event, 'claim') == attempt
if status ~= 'delivered' and not (holds and before == 'pending') then return 0 end
redis.call('HINCRBY', KEYS[6], ARGV[10], 1)
redis.call('RPUSH', history, ARGV[3])
redis.call('LTRIM', history, -tonumber(ARGV[7]), -1)
redis.call('HDEL', event, 'claim', 'claimed_until', 'claimant')
if status == 'pending' then
  redis.call('ZADD', due, ARGV[6], id)
  return 1
end
redis.call('HSET', event, 'status', status, 'ended_at', now, 'endpoint_gone', ARGV[9])
redis.call('ZREM', due, id)
redis.call('ZREM', KEYS[5], id)
local index = status == 'delivered' and KEYS[4] or KEYS[5]
local keep = tonumber(ARGV[8])
redis.call('ZADD', index, now, id)
redis.call('ZREMRANGEBYSCORE', index, '-inf', tonumber(now) - keep)
for _, key in ipairs({event, history, index}) do redis.call('EXPIRE', key, keep) end
return 1
"""

#: KEYS event, due; ARGV id, now, first wait, most doublings, longest wait, share of the wait (0.5 to 1.5), who puts it off.
#: Puts an attempt off that has not begun, ever longer; once, however often the same one says so.
POSTPONE = """
local event = redis.call('HMGET', KEYS[1], 'status', 'postponed', 'postponed_by')
if event[1] ~= 'pending' or event[3] == ARGV[7] then return 0 end
local before = tonumber(event[2] or 0)
local wait = math.min(ARGV[3] * 2 ^ math.min(before, ARGV[4]), ARGV[5]) * ARGV[6]
redis.call('ZADD', KEYS[2], string.format('%.6f', ARGV[2] + wait), ARGV[1])
redis.call('HSET', KEYS[1], 'postponed', before + 1, 'postponed_by', ARGV[7])
return 1
"""

#: KEYS event, history, due, delivered, undelivered; ARGV id, now, give up at, who asks. Returns 1, or 0 if there is no such event.
#: Once, however often the same one asks.
#: An attempt that is under way keeps its claim, or the receiver would get two at once.
RESEND = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if redis.call('HGET', KEYS[1], 'resent_by') == ARGV[4] then return 1 end
redis.call('HSET', KEYS[1], 'resent_by', ARGV[4], 'status', 'pending', 'tries', 0, 'give_up_at', ARGV[3], 'postponed', 0)
redis.call('HDEL', KEYS[1], 'ended_at', 'endpoint_gone')
redis.call('PERSIST', KEYS[1])
redis.call('PERSIST', KEYS[2])
redis.call('ZADD', KEYS[3], ARGV[2], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('ZREM', KEYS[5], ARGV[1])
return 1
"""
