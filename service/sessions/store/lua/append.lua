-- A batch of samples of many sessions, numbered by its writer: the same number again answers as
-- before and stores nothing.
-- ARGV[4] writer id · [5] number · [6] data keys allowed per session · then per session: id,
--   generation ('' for a write without a connection), stream, first and last seq ('' for none),
--   bytes, number of samples, samples JSON, number of data keys, and per data key: key, history
--   size, number of values, values `[value,ts]` oldest first
-- Returns words joined by spaces, one per session: rev · 's' stale generation · 'm' missing ·
--   'c<last seq>' conflict · 'k' too many data keys. Each part is checked before its first write.
local writer, number, max_keys = tag .. 'batch:' .. ARGV[4], ARGV[5], tonumber(ARGV[6])
local before = call('GET', writer)
if before then
  local stored, answer = string.match(before, '^(%d+) (.*)$')
  if stored == number then return answer end
end

-- Fits the data keys from ARGV[i] on? Looked at only when the count alone does not say so.
local function keys_fit(latest, i, keys)
  local room = max_keys - call('HLEN', latest)
  if keys <= room then return true end
  for _ = 1, keys do
    if call('HEXISTS', latest, ARGV[i]) == 0 then room = room - 1 end
    i = i + 3 + tonumber(ARGV[i + 2])
  end
  return room >= 0
end

local answers, feed, active_again = {}, {'data', ''}, {}
local i, n = 7, #ARGV
while i <= n do
  local id, generation, stream, seq_from, seq_to = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local bytes, count, json, keys = ARGV[i + 5], tonumber(ARGV[i + 6]), ARGV[i + 7], tonumber(ARGV[i + 8])
  i = i + 9
  local session, latest = key('session', id), key('latest', id)
  local is = call('HMGET', session, 'generation', 'rev', 'stream', 'last_seq', 'updates', 'bytes_in',
    'project_id', 'connects', 'state')
  local turns = seq_from ~= '' and is[1] and is[3] ~= stream
  local last_seq = turns and seq_of_former(session, stream, is[1]) or tonumber(is[4] or 0)
  local answer
  if not is[1] then
    answer = 'm'
  elseif generation ~= '' and is[1] ~= generation then
    answer = 's'
  elseif seq_from ~= '' and tonumber(seq_from) ~= last_seq + 1 then
    answer = 'c' .. text(last_seq)
  elseif not keys_fit(latest, i, keys) then
    answer = 'k'
  end
  if answer then
    for _ = 1, keys do i = i + 3 + tonumber(ARGV[i + 2]) end
  else
    if turns then turn_to_stream(session, stream, is[1], is[1]) end
    local newest = {}
    for k = 1, keys do
      local data_key, keep, values = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
      local history = history_key(id, data_key)
      local length = call('RPUSH', history, unpack(ARGV, i + 3, i + 2 + values))
      if length == values and ttl_ms ~= '0' then call('PEXPIRE', history, ttl_ms) end
      if length > keep then call('LTRIM', history, -keep, -1) end
      newest[2 * k - 1], newest[2 * k] = data_key, ARGV[i + 2 + values]
      i = i + 3 + values
    end
    if call('HSET', latest, unpack(newest)) == keys and ttl_ms ~= '0' then call('PEXPIRE', latest, ttl_ms) end
    answer = text(tonumber(is[2]) + count)
    call('HSET', session, 'rev', answer, 'updates', text(tonumber(is[5] or 0) + count),
      'bytes_in', text(tonumber(is[6] or 0) + tonumber(bytes)), 'last_update', now_ms,
      'stream', seq_from ~= '' and stream or is[3] or '',
      'last_seq', seq_from ~= '' and seq_to or is[4] or '0')
    local project = string.gsub(is[7] or '', '[%%|]', {['%'] = '%25', ['|'] = '%7C'})
    feed[#feed + 1] = answer .. '|' .. project .. '|' .. id
    feed[#feed + 1] = json
    if generation == '' then refresh_if_due(id) end
    if not is[8] then -- it never had a connection: an update keeps it active
      call('ZADD', tag .. 'idle', now_ms, id)
      if is[9] ~= 'active' then active_again[#active_again + 1] = id end
    end
  end
  answers[#answers + 1] = answer
end

if #feed > 2 then
  feed[2] = text(#feed / 2 - 1)
  feed_add(feed)
end
for _, id in ipairs(active_again) do
  go_active(id)
  call('HSET', key('session', id), 'state', 'active')
  feed_state(id)
end
local answer = table.concat(answers, ' ')
call('SET', writer, number .. ' ' .. answer, 'PX', 3600000)
return answer
