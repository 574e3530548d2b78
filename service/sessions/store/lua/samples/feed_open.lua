-- Where the feed stands. Its epoch is new when Redis lost or may have lost data.
-- ARGV[4] a random word: the epoch, should a new one be needed
-- Returns {epoch, last id, first id} (first = last + 1 when the feed is empty).
local epoch = tag .. 'epoch'
local info = redis.pcall('INFO', 'server')
local run_id = type(info) == 'string' and string.match(info, 'run_id:(%x+)') or ''
local is = call('HMGET', epoch, 'epoch', 'run_id', 'last')
if not is[1] or is[2] ~= run_id then
  is[1] = ARGV[4]
  call('HSET', epoch, 'epoch', is[1], 'run_id', run_id)
end
local last = tonumber(is[3] or 0)
local oldest = call('XRANGE', tag .. 'feed', '-', '+', 'COUNT', 1)[1]
local first = oldest and tonumber(string.match(oldest[1], '^(%d+)')) or last + 1
return {is[1], text(last), text(first)}
