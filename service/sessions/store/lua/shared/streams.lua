-- Numbers are kept per stream. The present one is in `stream` and `last_seq`; `streams` has the 7 before it as JSON
-- {of, last = {{stream, last seq}, …}}, newest last. `of` is the generation it was written for: a node of an
-- earlier version knows the present stream only, so what it left behind by a register of its own counts no more.

-- The streams before the present one of a session with this generation, as it stands in `streams`.
local function former_streams(json, generation)
  local fits, read = pcall(cjson.decode, json or '')
  if not fits or type(read) ~= 'table' or read.of ~= generation or type(read.last) ~= 'table' then return {} end
  for _, one in ipairs(read.last) do -- an archive file may come from anywhere
    if type(one) ~= 'table' or type(one[1]) ~= 'string' or type(one[2]) ~= 'string'
      or not string.match(one[2], '^%d+$') or #one[2] > 16 then return {} end
  end
  return read.last
end

-- The last seq of a stream that is not the present one; 0: unknown.
local function seq_of_former(session, stream, generation)
  for _, one in ipairs(former_streams(call('HGET', session, 'streams'), generation)) do
    if one[1] == stream then return tonumber(one[2]) end
  end
  return 0
end

-- Makes a stream the present one, with the last seq it had, for a session that had `before` as its generation
-- and has `generation` now.
local function turn_to_stream(session, stream, before, generation)
  local is = call('HMGET', session, 'stream', 'last_seq', 'streams')
  local kept, last_seq = {}, '0'
  for _, one in ipairs(former_streams(is[3], before)) do
    if one[1] == stream then last_seq = one[2] else kept[#kept + 1] = one end
  end
  if is[1] ~= stream then
    if tonumber(is[2] or 0) > 0 then kept[#kept + 1] = {is[1], is[2]} end
    call('HSET', session, 'stream', stream, 'last_seq', last_seq)
  end
  while #kept > 7 do table.remove(kept, 1) end
  if #kept > 0 then
    call('HSET', session, 'streams', cjson.encode({of = generation, last = kept}))
  elseif is[3] then
    call('HDEL', session, 'streams')
  end
end
