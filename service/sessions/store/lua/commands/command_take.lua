-- The owner takes the commands that its connection has not been sent yet, in order.
-- ARGV[4] id · [5] generation · [6] how many at most · [7] number of the last command that this
--   connection was sent, 0: none
-- Returns per command: command id, command, params, attempt, waiter, number.
-- NOTE: what was sent over an earlier connection and not acknowledged is sent again. Repeated after
-- a lost reply, it answers the same commands again; only the call that finds none left takes the
-- session out of `pending`.
local id, generation, limit, after, answer = ARGV[4], ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7]), {}
local session, commands_open = key('session', id), key('commands_open', id)
local is = call('HMGET', session, 'generation', 'node_id', 'is_connected')
if is[1] ~= generation or is[3] ~= '1' then return answer end
local open = call('ZRANGE', commands_open, 0, -1, 'WITHSCORES')
local last = math.max(after, tonumber(open[#open] or 0))
for i = 1, #open, 2 do
  if #answer == 6 * limit then return answer end
  local command_id, number, record = open[i], tonumber(open[i + 1]), command_record(id, open[i])
  if record.status ~= 'delivered' and (number > after or record.generation ~= generation) then
    -- One that was not sent to this connection has a smaller number where Redis has lost commands, and its clock is behind.
    -- With a new one it is answered again, should this answer be lost.
    if number <= after then
      last = last + 1
      number = last
      call('ZADD', commands_open, text(number), command_id)
      call('HSET', session, 'last_command', text(number))
    end
    if record.generation ~= generation then
      record.attempt, record.generation = record.attempt + 1, generation
      command_step(id, command_id, record, 'sent')
    end
    for _, part in ipairs({command_id, record.command, call('HGET', key('commands', id), command_id .. ':params'),
      record.attempt, record.waiter or '', text(number)}) do
      answer[#answer + 1] = part
    end
  end
end
if #answer == 0 then call('SREM', tag .. 'pending:' .. is[2], id) end
return answer
