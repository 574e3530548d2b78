-- Sessions without a connection that still count as active become inactive, so that they can be archived.
-- ARGV[4…] ids (≤ 500)
-- Returns how many of them changed.
local count = 0
for i = 4, #ARGV do
  local id = ARGV[i]
  local is = call('HMGET', key('session', id), 'state', 'is_connected')
  if is[1] == 'active' and is[2] ~= '1' then
    go_inactive(id, '', 'idle', 'inactive')
    count = count + 1
  end
end
return count
