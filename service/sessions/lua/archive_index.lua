-- Archive files found on disk are put into the index; none replaces what is newer.
-- ARGV[4] then per file (≤ 500): id, name, generation, rev, archived at (ms), summary JSON
-- Returns per file 'ok', 'known' (this or a newer one is indexed), 'live' (the session is in Redis)
--   or 'deleted' (a tombstone).
local names, answers = tag .. 'archive_names', {}
for i = 4, #ARGV, 6 do
  local id, name, generation, rev = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  local indexed, answer = call('HGET', names, id), 'ok'
  local known_generation, known_rev = string.match(indexed or '', '~(%d+)%-(%d+)%.[^~]*$')
  known_generation, known_rev = tonumber(known_generation or -1), tonumber(known_rev or -1)
  if call('EXISTS', key('session', id)) == 1 then
    answer = 'live'
  elseif tonumber(call('GET', key('tombstone', id)) or -1) >= generation then
    answer = 'deleted'
  elseif known_generation > generation or (known_generation == generation and known_rev >= rev) then
    answer = 'known'
  else
    local summary = cjson.decode(ARGV[i + 5])
    call('ZADD', tag .. 'archived', 'NX', ARGV[i + 4], id)
    call('HSET', names, id, name)
    call('HSET', tag .. 'archive_summaries', id, ARGV[i + 5])
    local project = summary.project_id or ''
    if project ~= '' then call('ZADD', tag .. 'project:' .. project, 'NX', summary.created_at or now_ms, id) end
  end
  answers[#answers + 1] = answer
end
return answers
