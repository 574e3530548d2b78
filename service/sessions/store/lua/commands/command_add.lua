-- A command is queued for a session.
-- ARGV[4] id · [5] command id · [6] command · [7] params JSON · [8] time to live, ms · [9] ms within
--   which it must be delivered, or '' for the time to live; then only while the device is connected
--   · [10] idempotency key or '' · [11] node that waits for it or '' · [12] most open commands
--   · [13] digest of the request, where it has such a key · [14] bytes that a session may hold
--   · [15] '1': the time to live was not given; a device that reports rarely has longer · [16…19] as in `notify`
-- Node id and sid are the owner's, or the node where the device's request waits and ''.
-- Returns {'missing' | 'offline' | 'full' | 'too_large'}, {'mismatch', command id} (the key came with another request) or {'queued' | 'known', command id, node id, sid, `command_parts`, '1': the node was notified}
local id, command_id, idempotency_key = ARGV[4], ARGV[5], ARGV[10]
local session, commands, open = key('session', id), key('commands', id), key('commands_open', id)
local is = call('HMGET', session, 'generation', 'node_id', 'sid', 'is_connected', 'expect_every')
if not is[1] then return {'missing'} end
local connected = is[4] == '1'
local node_id, sid = connected and is[2] or '', connected and is[3] or ''
local waiting = not connected and call('GET', key('waiting', id))
if waiting then node_id = string.match(waiting, '^(.*)#') or '' end
if idempotency_key ~= '' then
  local known = call('HGET', commands, 'key:' .. idempotency_key)
  if known then
    local digest = command_record(id, known).digest
    if digest and digest ~= ARGV[13] then return {'mismatch', known} end
    return {'known', known, node_id, sid, command_parts(id, known)}
  end
end
local function queued()
  local sent = node_id ~= '' and notify(node_id, 'deliver', '{"session_id":' .. cjson.encode(id) .. '}', 16)
  return {'queued', command_id, node_id, sid, command_parts(id, command_id), sent and '1' or ''}
end
if call('HEXISTS', commands, command_id) == 1 then return queued() end -- the same call again, after a lost reply
if ARGV[9] ~= '' and not connected and not waiting then return {'offline'} end
local count = call('ZCARD', open)
if count >= tonumber(ARGV[12]) then return {'full'} end

local ttl = math.max(tonumber(ARGV[8]), ARGV[15] == '1' and 3 * tonumber(is[5] or 0) or 0)
local deadline = now + (ARGV[9] ~= '' and tonumber(ARGV[9]) or ttl)
local record = {command = ARGV[6], status = 'queued', attempt = 0, created_at = now,
  ends_at = now + ttl, waiter = ARGV[11]}
if idempotency_key ~= '' then record.key, record.digest = idempotency_key, ARGV[13] ~= '' and ARGV[13] or nil end
local names = 2 * #command_id + #':params' + (record.key and #'key:' + #record.key + #command_id or 0)
if not has_room(id, names + #cjson.encode(record) + #ARGV[7], tonumber(ARGV[14])) then return {'too_large'} end
local bytes = record.key and put(commands, 'key:' .. record.key, command_id) or 0
-- Grows also when Redis was emptied: the owner remembers the number of the last one it sent.
local number = math.max(now, tonumber(call('HGET', session, 'last_command') or 0) + 1)
call('HSET', session, 'last_command', text(number))
call('HINCRBY', session, 'open_commands', 1)
call('ZADD', open, text(number), command_id)
call('ZADD', tag .. 'commands_due', text(deadline), command_id .. ':' .. id)
bytes = bytes + put(commands, command_id .. ':params', ARGV[7])
if connected then call('SADD', tag .. 'pending:' .. node_id, id) end
command_step(id, command_id, record, 'queued', nil, nil, bytes)
refresh_if_due(id, count == 0 and {'commands', 'commands_open'} or nil)
return queued()
