-- Reserves slots for one replica, all of them or, while the upstream is given a pause, none.
-- Promises: in no scope do more than `slots` lie in any `window`; every slot is in the future of Redis's own clock.
--
-- KEYS 1 state hash · 2 members zset (id -> expiry ms) · 3 replicas hash (id -> "active clients;slots;window;…")
--      4.. one zset per scope (slot id -> time ms)
-- ARGV 1 replica id · 2 slots wanted · 3 clients that wait there · 4 time ms after which nothing may be granted (0: none)
--      5 hold ms for an account that is new, or that a replica comes back to · 6 1 if it comes back to it
--      7 pacing: auto, smooth or burst · 8 1 if the upstream has accepted an attempt since the last call
--      9 ms that a replica stays a member · 10 ms that the account is kept unused · 11 ms to add to the clock (tests)
--      12 catch-up factor · 13 ms between probes · then per scope: slots, window ms
-- returns { now, ask again at (0: no need), members, clients of all, mean ms between slots, 1 if another's rate is lower,
--           id, at, id, at, … }, times as text: a Lua number would lose its fraction on the way
local state, members, replicas = KEYS[1], KEYS[2], KEYS[3]
local id, count, active, deadline = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local hold, resumes, pacing, accepted = tonumber(ARGV[5]), ARGV[6] == '1', ARGV[7], ARGV[8] == '1'
local memberTtl, keep, shift, catchUp, probe = tonumber(ARGV[9]), ARGV[10], tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(ARGV[13])

local clock = redis.call('TIME')
local now = clock[1] * 1000 + clock[2] / 1000 + shift
local text = function(number) return string.format('%.3f', number) end

-- A call that sat in a stalled connection must grant nothing: nobody is waiting for its slots any more.
if deadline > 0 and now > deadline then return { text(now), 'late' } end

-- Who is here, how many clients wait everywhere, and the lowest rate that anybody believes in.
redis.call('ZADD', members, text(now + memberTtl), id)
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', members, '-inf', text(now))) do
  redis.call('ZREM', members, gone)
  redis.call('HDEL', replicas, gone)
end
local scopes, own = {}, tostring(active)
for i = 4, #KEYS do
  local slots, window = tonumber(ARGV[14 + (i - 4) * 2]), tonumber(ARGV[15 + (i - 4) * 2])
  scopes[#scopes + 1] = { key = KEYS[i], slots = slots, window = window }
  own = own .. ';' .. slots .. ';' .. window
end
redis.call('HSET', replicas, id, own)
local everybody, isLowered, memberCount = 0, 0, 0
for _, info in ipairs(redis.call('HVALS', replicas)) do
  local fields = {}
  for field in string.gmatch(info, '[^;]+') do fields[#fields + 1] = tonumber(field) end
  memberCount = memberCount + 1
  everybody = everybody + fields[1]
  local first = scopes[1]
  if fields[2] and fields[2] / fields[3] < first.slots / first.window then
    first.slots, first.window, isLowered = fields[2], fields[3], 1
  end
end
redis.call('PEXPIRE', members, keep)
redis.call('PEXPIRE', replicas, keep)

-- What is known of the upstream's mood. An account without a birth is new, or lost: others may have slots it forgot.
local known = redis.call('HMGET', state, 'born', 'hold', 'resumed', 'paused', 'probing', 'smooth', 'seq')
local held, paused, smooth = tonumber(known[2]) or 0, tonumber(known[4]) or 0, tonumber(known[6]) or 0
local isProbing = known[5] == '1'
if not known[1] then
  held = now + hold
  redis.call('HSET', state, 'born', text(now), 'hold', text(held), 'resumed', text(now))
elseif resumes and (tonumber(known[3]) or 0) < now - hold then
  -- The first to come back asks everybody to wait until all have left their own account; the others find the hold.
  held = math.max(held, now + hold)
  redis.call('HSET', state, 'hold', text(held), 'resumed', text(now))
end
if accepted and isProbing and now >= paused then
  isProbing = false
  redis.call('HDEL', state, 'probing', 'pause')
end

local pace = scopes[1].window / scopes[1].slots
local reply = { text(now), '0', tostring(memberCount), tostring(everybody), text(pace), tostring(isLowered) }
if now < paused then
  reply[2] = text(paused)
  count = 0
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
    elseif gap > 0 and next and next < at + gap then
      at = next + gap
    else
      local moved = at
      for earlier = math.min(slots, before), 0, -1 do
        local first, last = at, at
        if earlier > 0 then first = times[before - earlier + 1] end
        if earlier < slots then last = times[before + slots - earlier] end
        if not last then break end
        if last - first < window then
          if earlier == 0 then moved = times[before + 1] else moved = first + window end
          break
        end
      end
      if moved == at then return at end
      at = moved
    end
  end
end

if count > 0 then
  for _, scope in ipairs(scopes) do
    redis.call('ZREMRANGEBYSCORE', scope.key, '-inf', text(now - 2 * scope.window))
    scope.times = {}
    local entries = redis.call('ZRANGE', scope.key, 0, -1, 'WITHSCORES')
    for i = 2, #entries, 2 do scope.times[#scope.times + 1] = tonumber(entries[i]) end
    -- Slots far ahead are those of a clock that has gone back since: they would block the account for as long.
    if #scope.times > 0 and scope.times[#scope.times] > now + 2 * hold + scope.window + 10000 then
      redis.call('DEL', scope.key)
      scope.times = {}
      held = now + hold
      redis.call('HSET', state, 'hold', text(held))
    end
  end
  local from = math.max(now, held)
  local seq = tonumber(known[7]) or 0
  for _ = 1, count do
    for _, scope in ipairs(scopes) do
      local even = scope.window / scope.slots
      local isSaturated = #scope.times - upTo(scope.times, from - scope.window) >= scope.slots
      if isProbing then scope.gap = math.max(probe, even)
      elseif pacing == 'smooth' or now < smooth then scope.gap = even
      elseif pacing == 'auto' and isSaturated then scope.gap = even * catchUp
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
    local slot = string.format('%012d', seq)
    for _, scope in ipairs(scopes) do
      redis.call('ZADD', scope.key, text(at), slot)
      table.insert(scope.times, upTo(scope.times, at) + 1, at)
    end
    reply[#reply + 1] = slot
    reply[#reply + 1] = text(at)
  end
  redis.call('HSET', state, 'seq', seq)
  for _, scope in ipairs(scopes) do redis.call('PEXPIRE', scope.key, keep) end
end
redis.call('PEXPIRE', state, keep)
return reply
