-- The next samples of one data key, oldest first. Writes nothing.
-- ARGV[4] id · [5] data key · [6] last sample the caller has, or '' · [7] its place, from 0 ·
--   [8] how many · [9] bytes after which a page ends
-- Returns {place of the first, samples}.
-- NOTE: a history loses its oldest samples as it grows, which moves all places down between two pages.
-- So the caller says what it saw last and where: it is looked for there and below. When it is gone the
-- page begins with the oldest that is left.
local history, last, place = history_key(ARGV[4], ARGV[5]), ARGV[6], tonumber(ARGV[7])
local begin = place
if last ~= '' then
  begin = place + 1
  if call('LINDEX', history, place) ~= last then
    begin = 0
    for _, found in ipairs(call('LPOS', history, last, 'COUNT', 0, 'MAXLEN', place + 1)) do begin = found + 1 end
  end
end
local samples, bytes, left = {}, 0, tonumber(ARGV[8])
while left > 0 and bytes < tonumber(ARGV[9]) do
  local from = begin + #samples
  local some = call('LRANGE', history, from, from + math.min(left, 50) - 1)
  if #some == 0 then break end
  for _, sample in ipairs(some) do
    samples[#samples + 1] = sample
    bytes = bytes + #sample
  end
  left = left - #some
end
return {begin, samples}
