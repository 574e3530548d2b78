-- Sockets are gone: their sessions become inactive, unless another connection owns them now.
-- ARGV[4] node id · [5] reason · then per session (≤ 500): id, sid, generation, by whom
-- Returns per session 'ok', 'stale' (nothing changed) or 'missing'.
local node_id, reason, answers = ARGV[4], ARGV[5], {}
call('ZREM', tag .. 'active', '') -- first write: frees, so that the rest runs at maxmemory too
for i = 6, #ARGV, 4 do
  local id, sid, generation = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local is = call('HMGET', key('session', id), 'generation', 'node_id', 'sid', 'is_connected')
  local answer = 'ok'
  if not is[1] then
    answer = 'missing'
  elseif is[1] ~= generation or is[2] ~= node_id or is[3] ~= sid or is[4] ~= '1' then
    answer = 'stale'
  else
    go_inactive(id, node_id, reason, 'disconnected', ARGV[i + 3])
  end
  answers[#answers + 1] = answer
end
return answers
