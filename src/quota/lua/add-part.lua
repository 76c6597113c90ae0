-- Adds the bytes of one part to the sum of its upload, if that stays within what a file may weigh.
-- Promises: however many parts come at once, at whichever replicas, no sum exceeds its limit. Nothing is added to an upload
-- that was never begun, or is forgotten.
--
-- KEYS 1 the upload's sum
-- ARGV 1 bytes to add (negative: they were refused, and are given back) · 2 limit in bytes · 3 ms that a sum is kept
-- returns 1: added · 0: it would be too much · -1: not known
local sum = redis.call('GET', KEYS[1])
if not sum then return -1 end
if tonumber(sum) + tonumber(ARGV[1]) > tonumber(ARGV[2]) then return 0 end
redis.call('INCRBY', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
