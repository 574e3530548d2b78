-- A session leaves Redis: its archive file is safely on disk, and it is what the file holds.
-- ARGV[4] id · [5] name of the file · [6] rev in the file · [7] summary JSON, as the file's header has
--   it · [8] life of the Redis it was read from · then every field of the session as it was read: name,
--   value
-- Returns {'ok'} (also when this very file was committed before), or why not, and then nothing changed:
--   {'busy'} somebody joined, a command is open or its device is there · {'missing'} nobody knows the session: Redis was
--   emptied · {'older'} Redis may not hold what the file does: its state is older, or it lost something
--   since · {'newer', name} the session went on, and still needs the file of that name ('' for none) ·
--   {'deleted'} a tombstone
-- NOTE: the caller removes its file when told 'newer' (unless it is the one named) or 'deleted'.
local id, name = ARGV[4], ARGV[5]
local session, indexes = key('session', id), tag .. 'archive_names'
call('ZREM', tag .. 'archived', '') -- first write: frees, so that the rest runs at maxmemory too
local fields, captured = {}, {}
for i = 9, #ARGV, 2 do
  fields[#fields + 1] = ARGV[i]
  captured[ARGV[i]] = ARGV[i + 1]
end
local generation, rev = tonumber(captured.generation), tonumber(captured.rev or 0)
if tonumber(call('GET', key('tombstone', id)) or -1) >= generation then return {'deleted'} end
local is = call('HMGET', session, 'generation', 'rev', 'state', 'open_commands', 'archived_as', 'created_at',
  'is_connected')
if not is[1] then
  local indexed = call('HGET', indexes, id)
  if not indexed then return {'missing'} end
  if indexed == name then return {'ok'} end
  return life() == ARGV[8] and {'newer', indexed} or {'older'}
end
local same = call('HLEN', session) == #fields
for i, value in ipairs(call('HMGET', session, unpack(fields))) do
  same = same and value == captured[fields[i]]
end
if not same then
  local is_generation, is_rev = tonumber(is[1]), tonumber(is[2] or 0)
  local went_on = is_generation > generation or (is_generation == generation and is_rev >= rev)
  if went_on and is[6] == captured.created_at and life() == ARGV[8] then return {'newer', is[5] or ''} end
  return {'older'}
end
-- A device that sleeps without a socket: its session stays active until its deadline.
local asleep = is[3] == 'active' and is[7] ~= '1' and call('EXISTS', key('waiting', id)) == 0
  and tonumber(call('ZSCORE', tag .. 'deadlines', id) or 0) > now
if not (asleep or is[3] == 'inactive') or tonumber(is[4] or 0) > 0 or call('SCARD', key('clients', id)) > 0 then
  return {'busy'}
end

call('ZREM', tag .. 'inactive', id)
call('ZREM', tag .. 'idle', id)
call('ZREM', tag .. 'asleep', id)
call('HSET', session, 'state', asleep and 'active' or 'archived', 'rev', ARGV[6])
feed_state(id)
unlink_all(id)
if not asleep then call('ZADD', tag .. 'archived', now_ms, id) end
call('HSET', indexes, id, name)
call('HSET', tag .. 'archive_summaries', id, asleep and ASLEEP .. string.sub(ARGV[7], 2) or ARGV[7])
return {'ok'}
