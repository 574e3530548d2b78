-- An archived session leaves the index, because its file is bad, was purged, or is gone.
-- ARGV[4] id · [5] name of the file it was indexed with
-- Returns 'ok', or 'changed' when the index names another file (nothing was changed).
local id, names = ARGV[4], tag .. 'archive_names'
if call('HGET', names, id) ~= ARGV[5] then return 'changed' end
local project = unarchive(id) or ''
call('ZREM', tag .. 'active', id) -- of a device that sleeps
end_deadline(id)
if project ~= '' then call('ZREM', tag .. 'project:' .. project, id) end
feed_add({'removed', id, 'project_id', project})
return 'ok'
