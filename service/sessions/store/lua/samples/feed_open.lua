-- Where the feed stands. Its epoch is new when Redis lost or may have lost data.
-- ARGV[4] a random word: the epoch, should a new one be needed
-- Returns {epoch, last id, first id} (first = last + 1 when the feed is empty).
local epoch = tag .. 'epoch'
local run_id, primary = string.match(server_life(), '^(%x*):(%x*)$')
local is = call('HMGET', epoch, 'epoch', 'run_id', 'last', 'primary')
-- A process may have been a replica meanwhile: then the feed went on elsewhere. Earlier versions noted no primary.
if not is[1] or is[2] ~= run_id or (is[4] and is[4] ~= primary) then
  is[1] = ARGV[4]
  call('HSET', epoch, 'epoch', is[1], 'run_id', run_id)
end
if is[4] ~= primary then call('HSET', epoch, 'primary', primary) end
local last = tonumber(is[3] or 0)
local oldest = call('XRANGE', tag .. 'feed', '-', '+', 'COUNT', 1)[1]
local first = oldest and tonumber(string.match(oldest[1], '^(%d+)')) or last + 1
return {is[1], text(last), text(first)}
