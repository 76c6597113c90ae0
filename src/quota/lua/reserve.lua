-- Reserves slots for one replica, all of them or, while the upstream is given a pause or is probed, fewer.
-- Promises: in no scope do more than `slots` lie in any `window` (to a hundredth of a ms); every slot is in the future of
-- Redis's own clock; whatever that clock does, none is granted that others may have had already.
--
-- KEYS 1 state hash · 2 members zset (id -> expiry ms) · 3 clients hash (id -> "proven;unproven" clients that wait there)
--      then per scope: a zset (slot id -> time ms) and a hash of what each replica believes (id -> "slots;window ms")
-- ARGV 1 replica id · 2 slots wanted (0: a heartbeat) · 3 clients that wait there, "proven;unproven" · 4 time ms after which nothing may be
--      granted (0: none) · 5 hold ms for an account that is new, or that a replica comes back to · 6 1 if it comes back
--      7 pacing: auto, smooth or burst · 8 1 if the upstream has accepted an attempt since the last call
--      9 ms that a replica stays a member · 10 ms that the account is kept unused · 11 ms to add to the clock (tests)
--      12 catch-up factor · 13 ms between probes · 14 first pause ms · 15 what all unproven clients together weigh at most,
--      per proven one that waits · then per scope: slots, window ms
-- returns { now, ask again at (0: no need), members, this replica's part of all clients, mean ms between slots, slots still to be had at once,
--           when the next comes after those, for each scope 1 if another's rate is lower, 1 if a slot of the egress alone
--           would have come before the last one granted, id, at, id, at, … }
--      times as text: a Lua number would lose its fraction on the way
local state, members, clients = KEYS[1], KEYS[2], KEYS[3]
local id, count, waiting, deadline = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local hold, resumes, pacing, accepted = tonumber(ARGV[5]), ARGV[6] == '1', ARGV[7], ARGV[8] == '1'
local memberTtl, keep, shift = tonumber(ARGV[9]), ARGV[10], tonumber(ARGV[11])
local catchUp, probe, firstPause, lane = tonumber(ARGV[12]), tonumber(ARGV[13]), tonumber(ARGV[14]), tonumber(ARGV[15])
local PAST_WINDOWS = 10 -- kept for refused.lua, which ranks a slot among those of its window
local SCOPE_KEEP = 60000 -- ms; the slots of a scope say nothing once they have passed
local HAIR = 0.01 -- ms; what rounding may take from a distance: a slot that was given back must fit again
local SET_BACK = 100 -- ms; what a clock goes back without having been set

local clock = redis.call('TIME')
local now = clock[1] * 1000 + clock[2] / 1000 + shift
local text = function(number) return string.format('%.3f', number) end

-- A call that sat in a stalled connection must grant nothing: nobody is waiting for its slots any more.
if deadline > 0 and now > deadline then return { text(now), 'late' } end

-- 1. Who is here, how many clients wait everywhere, and the lowest rate that anybody believes in.
redis.call('ZADD', members, text(now + memberTtl), id)
redis.call('HSET', clients, id, waiting)
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', members, '-inf', text(now))) do
  redis.call('ZREM', members, gone)
  redis.call('HDEL', clients, gone)
end
local memberCount, proven, unproven = redis.call('ZCARD', members), 0, 0
for _, theirs in ipairs(redis.call('HVALS', clients)) do
  local good, new = string.match(theirs, '^(.+);(.+)$')
  proven, unproven = proven + tonumber(good), unproven + tonumber(new)
end
-- However many unproven clients wait at however many replicas, together they weigh no more than their lane.
local weight, share = 1, 1
if proven > 0 and unproven > 0 then weight = math.min(1, lane * proven / unproven) end
if proven + unproven > 0 then
  local good, new = string.match(waiting, '^(.+);(.+)$')
  share = (tonumber(good) + tonumber(new) * weight) / (proven + unproven * weight)
end
redis.call('PEXPIRE', members, keep)
redis.call('PEXPIRE', clients, keep)
local scopes, lowered = {}, ''
for i = 4, #KEYS, 2 do
  local slots, window, isLowered = tonumber(ARGV[12 + i]), tonumber(ARGV[13 + i]), '0'
  local rates = KEYS[i + 1]
  redis.call('HSET', rates, id, slots .. ';' .. window)
  local believed = redis.call('HGETALL', rates)
  for j = 1, #believed, 2 do
    local theirSlots, theirWindow = string.match(believed[j + 1], '^(.+);(.+)$')
    if believed[j] ~= id and not redis.call('ZSCORE', members, believed[j]) then
      redis.call('HDEL', rates, believed[j])
    elseif theirSlots / theirWindow < slots / window then
      slots, window, isLowered = tonumber(theirSlots), tonumber(theirWindow), '1'
    end
  end
  redis.call('PEXPIRE', rates, SCOPE_KEEP)
  scopes[#scopes + 1] = { key = KEYS[i], slots = slots, window = window }
  lowered = lowered .. isLowered
end

-- 2. What is known of the upstream's mood. An account without a birth is new, or lost: others may have slots it forgot.
local known = redis.call('HMGET', state, 'born', 'hold', 'resumed', 'paused', 'probing', 'smooth', 'seq', 'seen', 'pause')
local born, seq, seen = known[1], tonumber(known[7]) or 0, tonumber(known[8]) or 0
local held, resumed = tonumber(known[2]) or 0, tonumber(known[3]) or 0
local paused, smooth, isProbing = tonumber(known[4]) or 0, tonumber(known[6]) or 0, known[5] == '1'
local learnt = { 'seen', text(now) }
local learn = function(name, value)
  learnt[#learnt + 1] = name
  learnt[#learnt + 1] = value
end
if not born then
  born = string.format('%.0f', now)
  held = now + hold
  resumed = now
  learn('born', born)
elseif now < seen - SET_BACK then
  -- The clock was set back (or a Redis with another one took over). The old times mean nothing on it: the account is
  -- born again, all wait until what was reserved before has passed, and what lay in the future keeps its distance.
  born = string.format('%.0f', now)
  learn('born', born)
  held = now + hold
  resumed = now
  if paused > seen then paused = paused - seen + now else paused = 0 end
  if smooth > seen then smooth = smooth - seen + now else smooth = 0 end
  learn('paused', text(paused))
  learn('smooth', text(smooth))
elseif resumes and resumed < now - hold then
  -- The first to come back asks everybody to wait until all have left their own account; the others find the hold.
  held = math.max(held, now + hold)
  resumed = now
end
if resumed == now then
  learn('hold', text(held))
  learn('resumed', text(now))
end
-- In the first pause, attempts from before it are still answered; later on, only probes can be.
if accepted and isProbing and (now >= paused or (tonumber(known[9]) or 0) > firstPause) then
  isProbing, paused = false, 0
  redis.call('HDEL', state, 'probing', 'pause', 'paused')
end

local upTo = function(times, at)
  local low, high = 1, #times + 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    if times[middle] <= at then low = middle + 1 else high = middle end
  end
  return low - 1
end

-- The earliest time from `at` on at which one scope has room (rule.ts tells the rule; here lists begin at 1).
local fit = function(scope, at)
  local times, slots, window, gap = scope.times, scope.slots, scope.window, scope.gap
  while true do
    local before = upTo(times, at)
    local previous, next = times[before], times[before + 1]
    if gap > 0 and previous and at < previous + gap then
      at = previous + gap
    elseif gap > 0 and next and next < at + gap - HAIR then
      at = next + gap
    else
      local moved = at
      for earlier = math.min(slots, before), 0, -1 do
        local first, last = at, at
        if earlier > 0 then first = times[before - earlier + 1] end
        if earlier < slots then last = times[before + slots - earlier] end
        if not last then break end
        if last < first + window - HAIR then
          if earlier == 0 then moved = times[before + 1] else moved = first + window end
          break
        end
      end
      if moved == at then return at end
      at = moved
    end
  end
end

-- 3. The slots of each scope that still count: those in a window that ends now or later.
local from, pace = math.max(now, held), 0
for _, scope in ipairs(scopes) do
  redis.call('ZREMRANGEBYSCORE', scope.key, '-inf', text(now - PAST_WINDOWS * scope.window))
  scope.times = {}
  local entries = redis.call('ZRANGEBYSCORE', scope.key, '(' .. text(now - scope.window), '+inf', 'WITHSCORES')
  for i = 1, #entries, 2 do
    if string.sub(entries[i], 1, #born + 1) == born .. '-' then
      scope.times[#scope.times + 1] = tonumber(entries[i + 1])
    else
      -- Of a clock that was set back since: it would block the account for as long.
      redis.call('ZREM', scope.key, entries[i])
    end
  end
  scope.even = scope.window / scope.slots
  pace = math.max(pace, scope.even)
end

-- 4. While the upstream is given a pause, nobody gets a slot; then one at a time, until an attempt is accepted.
local again, times = 0, scopes[1].times
if now < paused then
  again, count = paused, 0
elseif isProbing and times[#times] and times[#times] > now then
  again, count = times[#times], 0
elseif isProbing then
  count = math.min(count, 1)
end

-- 5. Each slot at the earliest time that all scopes agree on.
local granted = {}
for _ = 1, count do
  for _, scope in ipairs(scopes) do
    local isSaturated = #scope.times - upTo(scope.times, from - scope.window) >= scope.slots
    if isProbing then scope.gap = math.max(probe, scope.even)
    elseif pacing == 'smooth' or now < smooth then scope.gap = scope.even
    elseif pacing == 'auto' and isSaturated then scope.gap = scope.even * catchUp
    else scope.gap = 0 end
  end
  local at, before = from, nil
  repeat
    before = at
    for _, scope in ipairs(scopes) do at = fit(scope, at) end
  until at == before
  -- Kept and told with the same three decimals, and never earlier than the rule allows.
  at = math.ceil(at * 1000) / 1000
  seq = seq + 1
  -- The birth is part of the name: who still has a slot of a lost account must not give back somebody else's.
  local slot = string.format('%s-%012d', born, seq)
  for _, scope in ipairs(scopes) do
    redis.call('ZADD', scope.key, text(at), slot)
    table.insert(scope.times, upTo(scope.times, at) + 1, at)
  end
  granted[#granted + 1] = slot
  granted[#granted + 1] = text(at)
  if isProbing then again = at end
end

local heldUp = '0'
if #scopes > 1 and #granted > 0 and fit(scopes[1], from) < tonumber(granted[#granted]) - HAIR then heldUp = '1' end
local room, refill = isProbing and 0 or math.huge, now
for _, scope in ipairs(scopes) do
  local left = scope.slots - #scope.times + upTo(scope.times, from - scope.window)
  if pacing == 'smooth' or now < smooth or now < paused then left = 0
  else refill = math.max(refill, (scope.times[1] or now) + scope.window) end
  room = math.max(0, math.min(room, left))
  local last = scope.times[#scope.times] or now
  redis.call('PEXPIRE', scope.key, math.ceil(math.max(0, last - now)) + SCOPE_KEEP)
end
if count > 0 then learn('seq', seq) end
redis.call('HSET', state, unpack(learnt))
redis.call('PEXPIRE', state, keep)
return { text(now), again == 0 and '0' or text(again), tostring(memberCount), tostring(share), text(pace), tostring(room), text(refill), lowered, heldUp, unpack(granted) }
