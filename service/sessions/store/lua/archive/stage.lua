-- Parts of a session are put into staging keys, from which lua/archive/restore.lua takes them.
-- ARGV[4] staging prefix, below the tag · [5] TTL of the keys, ms · then per part: kind, command that writes it,
--   number of its arguments, the arguments
-- NOTE: each key has its TTL from its first write on, wherever the caller dies.
local staging, ttl = tag .. ARGV[4], ARGV[5]
local i = 6
while i <= #ARGV do
  local target, count = staging .. ARGV[i], tonumber(ARGV[i + 2])
  call(ARGV[i + 1], target, unpack(ARGV, i + 3, i + 2 + count))
  call('PEXPIRE', target, ttl)
  i = i + 3 + count
end
return 'ok'
