-- A batch of samples of many sessions, numbered by its writer: the same number again answers as
-- before and stores nothing.
-- ARGV[4] writer id · [5] number · [6] data keys and [7] bytes allowed per session · [8] history size · then per session: id,
--   generation ('' for a write without a connection), first seq ('' for none, else last seq and stream
--   follow), bytes, samples JSON, number of data keys, the data keys, and for each: '' and a sample; or a history size of
--   its own, number of samples, number of runs (shared/histories.lua), the runs, the last sample once more
-- Returns words joined by spaces, one per session: rev · 's' stale generation · 'm' missing ·
--   'c<last seq>' conflict · 'k' too many data keys · 'b' too many bytes. Each part is checked before its
--   first write.
local writer, number, max_bytes = tag .. 'batch:' .. ARGV[4], ARGV[5], tonumber(ARGV[7])
local before = call('GET', writer)
if before then
  local stored, answer = string.match(before, '^(%d+) (.*)$')
  if stored == number then return answer end
end

-- What is said of a data key from ARGV[at] on: history size, number of samples, where the runs begin and end, and where the
-- next key begins.
local SIZE = tonumber(ARGV[8])
local function read_key(at)
  if ARGV[at] == '' then return SIZE, 1, at + 1, at + 1, at + 2 end
  local runs = numbers[ARGV[at + 2]]
  return numbers[ARGV[at]], numbers[ARGV[at + 1]], at + 3, at + 2 + runs, at + 4 + runs
end

-- Fit the data keys whose latest values were `was`?
local function keys_fit(latest, was)
  local new = 0
  for _, value in ipairs(was) do if not value then new = new + 1 end end
  return new == 0 or call('HLEN', latest) + new <= tonumber(ARGV[6])
end

-- How many of its oldest samples each of the data keys from ARGV[i] on gives up, so that the session holds no more than
-- `max_bytes`, or no more than before; all but one at most. nil: that is not enough.
local function make_room(id, i, was, held)
  local bytes, gone, at = held, {}, i + #was
  for k = 1, #was do
    local data_key = ARGV[i + k - 1]
    local keep, samples, first, last, after = read_key(at)
    local history, runs = history_key(id, data_key), {unpack(ARGV, first, last)}
    local before, size = samples_of(history, was[k])
    local all = before + samples
    for _, run in ipairs(runs) do bytes = bytes + bytes_in(run) end
    bytes = bytes + #ARGV[after - 1] - (was[k] and size or -#data_key)
    local count, freed = oldest_samples(history, runs, bytes - max_bytes, all - keep, all - 1)
    bytes, gone[k], at = bytes - freed, count, after
  end
  return bytes <= math.max(max_bytes, held) and gone
end

-- Of a session: the last two are only read for a write without a connection, the two before them for numbered samples.
local FIELDS = {'generation', 'rev', 'updates', 'bytes_in', 'counted', 'project_id', 'stream', 'last_seq', 'connects',
  'state'}
local NONE, answers, feed, active_again = {}, {}, {'data', ''}, {}
local i, n = 9, #ARGV
while i <= n do
  local id, generation, seq_from, seq_to, stream = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  i = i + 3
  if seq_from ~= '' then seq_to, stream, i = ARGV[i], ARGV[i + 1], i + 2 end
  local bytes, json, keys = numbers[ARGV[i]], ARGV[i + 1], numbers[ARGV[i + 2]]
  i = i + 3
  local session, latest = key('session', id), key('latest', id)
  local is = call('HMGET', session, unpack(FIELDS, 1, generation == '' and 10 or seq_from == '' and 6 or 8))
  local turns = seq_from ~= '' and is[1] and is[7] ~= stream
  local last_seq = turns and seq_of_former(session, stream, is[1]) or tonumber(is[8] or 0)
  local at, answer, count, rev, was, held, gone = i + keys -- where what is said of each data key begins
  if not is[1] then
    answer = 'm'
  elseif generation ~= '' and is[1] ~= generation then
    answer = 's'
  elseif seq_from ~= '' and tonumber(seq_from) ~= last_seq + 1 then
    answer = 'c' .. text(last_seq)
  else
    was = call('HMGET', latest, unpack(ARGV, i, at - 1))
    rev = tonumber(is[2])
    held = bytes_held(id, is[5], rev)
    if not keys_fit(latest, was) then
      answer = 'k'
    elseif held and held + 2 * #json > max_bytes then -- a bound of what comes: samples, and the latest of them
      gone = make_room(id, i, was, held)
      if not gone then answer = 'b' end
    end
  end
  if answer then
    for _ = 1, keys do at = select(5, read_key(at)) end
  else
    if turns then turn_to_stream(session, stream, is[1], is[1]) end
    local newest, stored, histories = {}, held or 0, history_key(id, '')
    count = 0
    for k = 1, keys do
      local data_key = ARGV[i + k - 1]
      local keep, samples, first, last, after = read_key(at)
      local history, before, size = histories .. data_key, samples_of(histories .. data_key, was[k])
      local length = call('RPUSH', history, unpack(ARGV, first, last))
      if length == last - first + 1 then
        before = 0 -- whatever was said of a history that is not there
        if ttl_ms ~= '0' then call('PEXPIRE', history, ttl_ms) end
      end
      local all = before + samples
      if samples == 1 then
        stored = stored + #ARGV[first]
      else
        for j = first, last do stored = stored + bytes_in(ARGV[j]) end
      end
      local drop = gone and gone[k] or all - keep
      if drop > 0 then
        stored = stored - take_oldest(history, drop, all, length)
        all = all - drop
      end
      stored = stored + #ARGV[after - 1] - (was[k] and size or -#data_key)
      newest[2 * k - 1], newest[2 * k] = data_key, texts[all] .. '\n' .. ARGV[after - 1]
      at = after
      count = count + samples
    end
    if call('HSET', latest, unpack(newest)) == keys and ttl_ms ~= '0' then call('PEXPIRE', latest, ttl_ms) end
    rev = rev + count
    answer = text(rev)
    -- Numbers as they are, which Redis writes with 17 digits: `text` takes five times as long as a field.
    call('HSET', session, 'rev', answer, 'updates', tonumber(is[3] or 0) + count,
      'bytes_in', tonumber(is[4] or 0) + bytes, 'counted', held and count_of(stored, rev) or '',
      'last_update', now_ms, unpack(seq_from ~= '' and {'last_seq', seq_to} or NONE))
    local project = is[6] or ''
    if project ~= '' then project = string.gsub(project, '[%%|]', ESCAPED) end
    feed[#feed + 1] = answer .. '|' .. project .. '|' .. id
    feed[#feed + 1] = json
    if generation == '' then
      refresh_if_due(id)
      if not is[9] then -- it never had a connection: an update keeps it active
        call('ZADD', tag .. 'idle', now_ms, id)
        if is[10] ~= 'active' then active_again[#active_again + 1] = id end
      end
    end
  end
  answers[#answers + 1], i = answer, at
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
