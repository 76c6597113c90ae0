-- Learns from an upstream's refusal what caution.ts says: to go evenly after a surprise, to pause after a cluster.
-- Promises: however many replicas report at once, a pause begins once and lasts as long as each of them is told.
--
-- KEYS 1 state hash · 2 zset of recent refusals (slot id -> time ms) · 3 zset of the first scope (slot id -> time ms)
-- ARGV 1 slot id · 2 slots · 3 window ms · 4 ms to add to the clock (tests) · 5 ms that the account is kept
--      6 cluster · 7 cluster ms · 8 first pause ms · 9 longest pause ms · 10 first smooth ms · 11 longest smooth ms · 12 surprise
-- returns { paused until (0: not), smooth until (0: not) } as text
local state, refusals, scope = KEYS[1], KEYS[2], KEYS[3]
local slot, slots, window, shift, keep = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local cluster, clusterMs, firstPause, longestPause = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local firstSmooth, longestSmooth, surprise = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + clock[2] / 1000 + shift
local text = function(number) return string.format('%.3f', number) end

redis.call('ZREMRANGEBYSCORE', refusals, '-inf', text(now - clusterMs))
redis.call('ZREMRANGEBYSCORE', refusals, '(' .. text(now), '+inf')
redis.call('ZADD', refusals, text(now), slot)
redis.call('PEXPIRE', refusals, clusterMs)

-- Its place among the slots of its window, by time and then by order of reservation; unknown once it is forgotten.
local rankOf = function()
  local at = tonumber(redis.call('ZSCORE', scope, slot) or nil)
  if not at then return nil end
  local rank = 0
  local entries = redis.call('ZRANGEBYSCORE', scope, '(' .. text(at - window), text(at), 'WITHSCORES')
  for i = 1, #entries, 2 do
    if tonumber(entries[i + 1]) < at or entries[i] <= slot then rank = rank + 1 end
  end
  return rank
end

local known = redis.call('HMGET', state, 'paused', 'pause', 'probing', 'smooth', 'smoothFor')
local paused, smooth = tonumber(known[1]) or 0, tonumber(known[4]) or 0
-- One that was on its way before the pause began tells nothing new.
if now >= paused then
  if known[3] == '1' or redis.call('ZCARD', refusals) >= cluster then
    local pause = math.min(math.max((tonumber(known[2]) or 0) * 2, firstPause), longestPause)
    paused = now + pause
    redis.call('HSET', state, 'paused', text(paused), 'pause', pause, 'probing', '1')
    redis.call('DEL', refusals)
    -- What its first refusals taught is not so: the upstream did not count them, it was away.
    local span = tonumber(known[5]) or 0
    if smooth - span > now - clusterMs then
      smooth = 0
      redis.call('HSET', state, 'smooth', '0', 'smoothFor', span / 2)
    end
  elseif now >= smooth then
    local rank = rankOf()
    if rank and rank <= slots * surprise then
      -- Longer each time; but a time as long as the longest without a surprise is forgotten.
      local last = now < smooth + longestSmooth and tonumber(known[5]) or 0
      local span = math.min(math.max(last * 2, firstSmooth), longestSmooth)
      smooth = now + span
      redis.call('HSET', state, 'smooth', text(smooth), 'smoothFor', span)
    end
  end
end
redis.call('PEXPIRE', state, keep)
return { paused > now and text(paused) or '0', smooth > now and text(smooth) or '0' }
