-- The first step of a delete: from now on no late reclaim, restore or commit brings the session back.
-- ARGV[4] id · [5] highest generation of its files on disk, 0: none · [6] `generation-rev` that a
--   session in Redis must have, or '' · [7] file it must be archived with, or ''
-- Returns 'ok', or 'unknown' (neither Redis nor the disk knows it) or 'changed' (it is not as wanted):
--   then nothing was written.
-- NOTE: then the files go, then lua/cleanup/delete.lua; a crash between them leaves a session that is still
-- there or is gone, never one that comes back.
local id = ARGV[4]
local generation, rev = unpack(call('HMGET', key('session', id), 'generation', 'rev'))
if ARGV[6] ~= '' and generation and generation .. '-' .. (rev or '0') ~= ARGV[6] then return 'changed' end
local name = call('HGET', tag .. 'archive_names', id)
if ARGV[7] ~= '' and (generation or name ~= ARGV[7]) then return 'changed' end
local archived = name and string.match(name, '~(%d+)%-%d+%.[^~]*$')
if not generation and not name and ARGV[5] == '0' then return 'unknown' end
call('ZREM', tag .. 'archived', '') -- first write: frees, so that it runs at maxmemory too
local highest = math.max(tonumber(generation or 0), tonumber(archived or 0), tonumber(ARGV[5]))
call('SET', key('tombstone', id), text(highest), 'PX', 3600000)
return 'ok'
