-- The next samples of one data key, oldest first. Writes nothing.
-- ARGV[4] id · [5] data key · [6] last run the caller has, or '' · [7] its place, from 0 · [8] of how many samples, the
--   newest ones, the first page is the beginning; '' for all · [9] samples and [10] bytes after which a page ends
-- Returns {place of the first run, how many of its samples come before, runs (shared/histories.lua)}.
-- NOTE: a history loses its oldest samples as it grows, which moves all places down between two pages, and takes away a
-- part of the oldest run. So the caller says what it saw last and where: it is looked for there and below. When it is
-- gone, but for samples at its end, the page begins behind these; when they are too, with the oldest that is left.
local history, last, place, newest = history_key(ARGV[4], ARGV[5]), ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])
local begin, before = 0, 0
if last ~= '' then
  begin = place + 1
  if call('LINDEX', history, place) ~= last then
    begin = 0
    for _, found in ipairs(call('LPOS', history, last, 'COUNT', 0, 'MAXLEN', place + 1)) do begin = found + 1 end
    local oldest = begin == 0 and call('LINDEX', history, 0)
    if oldest then
      local _, first = samples_in(oldest)
      local rest = '\n' .. string.sub(oldest, first)
      if string.sub(last, -#rest) == rest then begin = 1 end
    end
  end
elseif newest then
  begin = call('LLEN', history)
  while begin > 0 and newest > 0 do
    local some = call('LRANGE', history, math.max(begin - 50, 0), begin - 1)
    for i = #some, 1, -1 do
      begin, newest = begin - 1, newest - samples_in(some[i])
      if newest <= 0 then break end
    end
  end
  before = math.max(-newest, 0)
end
local runs, samples, bytes = {}, 0, 0
local function is_full() return samples >= tonumber(ARGV[9]) or bytes >= tonumber(ARGV[10]) end
while not is_full() do
  local from = begin + #runs
  local some = call('LRANGE', history, from, from + 49)
  if #some == 0 then break end
  for _, run in ipairs(some) do
    runs[#runs + 1] = run
    samples, bytes = samples + samples_in(run), bytes + #run
    if is_full() then break end
  end
end
return {begin, before, runs}
