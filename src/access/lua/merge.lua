-- Merges what one replica has learnt of a token into what all know, and tells it what that is.
-- Promises: the latest acceptance and the latest refusal stand, in whatever order, how late and how often they are told:
-- a refusal beats every acceptance of a request that was sent before the refused one. Nothing is kept for longer than it
-- can matter. A first sight is given once. A message goes out after what it tells of is stored.
--
-- All times are on Redis's own clock, and told as bounds: an acceptance no later than it was, a refusal no earlier. So it
-- does not matter how long a call lay in a stalled connection. Each epoch is one unbroken run of that clock: when it is
-- set, or its memory is lost, another begins, and times of one say nothing in another.
--
-- KEYS 1 clock hash · 2 hash of the token's facts · 3 first sight of what the token proves to be
-- ARGV 1 epoch of the times given · 2 accepted ms (0: not) · 3 proven ms (0: not) · 4 refused ms (0: not) · 5 what the
--      refusal was about · 6 ms that a fact is kept · 7 ms until the token ends · 8 first sight: '' not asked, 'claim', or
--      'spend', so that nobody gets it any more · 9 ms that a first sight is remembered · 10 channel · 11 message ('': none)
--      12 '1' if the caller has found that the clock was set in that epoch, which ends with it · 13 ms to add to the
--      clock (tests)
-- returns { now, epoch, accepted (0: not), proven (0: not), refused (0: not), about, first seen (0: not asked) } as text
local clock, facts, sight = KEYS[1], KEYS[2], KEYS[3]
local keep, ends, shift = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[13])
local SET_BACK = 100 -- ms; less than this is left to the callers to notice: only they have another clock
local CLOCK_KEEP = 86400000 -- ms; longer than any fact is kept
local SPENT = 1 -- a first sight of so long ago that its window has passed

local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000 + shift
local text = function(number) return string.format('%.3f', number) end

-- 1. Which run of the clock this is.
local run = redis.call('HMGET', clock, 'epoch', 'seen')
local epoch, seen = run[1], tonumber(run[2]) or 0
if not epoch or now < seen - SET_BACK or (ARGV[12] == '1' and ARGV[1] == epoch) then
  epoch, seen = string.format('%.0f', time[1] * 1000000 + time[2]), now
end
redis.call('HSET', clock, 'epoch', epoch, 'seen', text(math.max(seen, now)))
redis.call('PEXPIRE', clock, CLOCK_KEEP)

-- 2. What is known. Of the facts of another run, only that the token was refused last is still worth something.
local stored = redis.call('HMGET', facts, 'epoch', 'accepted', 'proven', 'refused', 'about')
local accepted, proven = tonumber(stored[2]) or 0, tonumber(stored[3]) or 0
local refused, about = tonumber(stored[4]) or 0, stored[5] or ''
local hasNews = false
if stored[1] and stored[1] ~= epoch then
  hasNews = true
  if refused > 0 and refused >= accepted then refused = now else refused = 0 end
  accepted, proven = 0, 0
end

-- 3. What is new. Nothing was accepted in the future, and no refusal is later than now.
local newAccepted, newProven, newRefused = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if ARGV[1] ~= epoch then
  newAccepted, newProven = 0, 0
  if newRefused > 0 then newRefused = now end
end
if newAccepted > 0 and newAccepted <= now then
  accepted, hasNews = math.max(accepted, newAccepted), true
end
if newProven > 0 and newProven <= now then
  proven, hasNews = math.max(proven, newProven), true
end
newRefused = math.min(newRefused, now)
if newRefused > 0 and newRefused >= refused then
  refused, about, hasNews = newRefused, ARGV[5], true
end
if refused >= accepted then accepted = 0 end
if refused >= proven then proven = 0 end

-- 4. A refusal is kept for as long as an acceptance from before it could be.
if hasNews then
  local last = math.max(accepted, proven)
  local left = 0
  if last > 0 then left = math.min(last + keep - now, ends) end
  if refused > 0 then left = math.max(left, refused + keep - now) end
  if left >= 1 then
    redis.call('HSET', facts, 'epoch', epoch, 'accepted', text(accepted), 'proven', text(proven), 'refused', text(refused), 'about', about)
    redis.call('PEXPIRE', facts, math.floor(left))
  else
    redis.call('DEL', facts)
  end
end

-- 5. The first sight, for whoever claims it first; one of another run of the clock was long ago.
local first = 0
if ARGV[8] == 'spend' then
  redis.call('SET', sight, epoch .. ';' .. SPENT, 'PX', ARGV[9])
elseif ARGV[8] == 'claim' then
  if redis.call('SET', sight, epoch .. ';' .. text(now), 'NX', 'PX', ARGV[9]) then
    first = now
  else
    local run, at = string.match(redis.call('GET', sight), '^(.+);(.+)$')
    first = run == epoch and tonumber(at) or SPENT
  end
end

-- A refusal that an acceptance has overtaken is nobody's news.
if ARGV[11] ~= '' and (newRefused == 0 or accepted == 0) then redis.call('PUBLISH', ARGV[10], ARGV[11]) end
return { text(now), epoch, text(accepted), text(proven), text(refused), about, text(first) }
