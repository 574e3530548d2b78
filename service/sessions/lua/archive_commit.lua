-- A session leaves Redis: its archive file is safely on disk, and it is unchanged since it was read.
-- ARGV[4] id · [5] generation and [6] rev it was read with · [7] name of the file · [8] rev in the
--   file · [9] summary JSON, as the file's header has it
-- Returns {'ok'} (also when this very file was committed before), or why not, and then nothing changed:
--   {'busy'} somebody joined or a command is open · {'missing'} nobody knows the session: Redis was
--   emptied · {'older'} Redis holds an older state than the file · {'newer', name} Redis or the index
--   has something newer, and still needs the file of that name ('' for none) · {'deleted'} a tombstone
-- NOTE: the caller removes its file when told 'newer' (unless it is the one named) or 'deleted'.
local id, generation, rev, name = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local session, names = key('session', id), tag .. 'archive_names'
call('ZREM', tag .. 'archived', '') -- first write: frees, so that the rest runs at maxmemory too
if tonumber(call('GET', key('tombstone', id)) or -1) >= generation then return {'deleted'} end
local is = call('HMGET', session, 'generation', 'rev', 'state', 'open_commands', 'archived_as')
if not is[1] then
  local indexed = call('HGET', names, id)
  if not indexed then return {'missing'} end
  return indexed == name and {'ok'} or {'newer', indexed}
end
local is_generation, is_rev = tonumber(is[1]), tonumber(is[2])
if is_generation ~= generation or is_rev ~= rev then
  local newer = is_generation > generation or (is_generation == generation and is_rev > rev)
  return newer and {'newer', is[5] or ''} or {'older'}
end
if is[3] ~= 'inactive' or tonumber(is[4] or 0) > 0 or call('SCARD', key('clients', id)) > 0 then
  return {'busy'}
end

call('ZREM', tag .. 'inactive', id)
call('ZREM', tag .. 'idle', id)
local gone, histories = {key('registers', id)}, history_key(id, '')
for _, data_key in ipairs(call('HKEYS', key('latest', id))) do
  gone[#gone + 1] = histories .. data_key
  if #gone == 1000 then
    call('UNLINK', unpack(gone))
    gone = {}
  end
end
call('HSET', session, 'state', 'archived', 'rev', ARGV[8])
feed_state(id)
for _, kind in ipairs(KINDS) do gone[#gone + 1] = key(kind, id) end
call('UNLINK', unpack(gone))
call('ZADD', tag .. 'archived', now_ms, id)
call('HSET', names, id, name)
call('HSET', tag .. 'archive_summaries', id, ARGV[9])
return {'ok'}
