-- A device is sent away by a person: its connection ends, and for a while the id is not registered again.
-- ARGV[4] id · [5] for how long it stays away, ms · [6] token of this call: again, it changes nothing more
-- Returns {'missing'} or {'ok', node id and sid of its socket, node where its request waits, '1': it was there},
--   '' for what there is not.
-- NOTE: the caller tells socket and request. A socket that was not told is found by the comparison of its node:
-- `reclaim` knows it by `kicked`, which therefore stays longer than it takes to compare.
local id, away, token = ARGV[4], tonumber(ARGV[5]), ARGV[6]
call('ZREM', tag .. 'active', '') -- first write: frees, so that the rest runs at maxmemory too
local is = call('HMGET', key('session', id), 'generation', 'is_connected', 'node_id', 'sid')
if not is[1] then return {'missing'} end
local before = call('GET', key('kicked', id))
local known = before and cjson.decode(before) or {}
if known[2] == token then return {'ok', known[3], known[4], known[5], known[6]} end
local connected, waiting = is[2] == '1', key('waiting', id)
local is_expected = call('ZSCORE', tag .. 'deadlines', id)
local request = call('GET', waiting) or ''
if request ~= '' then call('UNLINK', waiting) end
if connected or is_expected then
  go_inactive(id, connected and is[3] or '', 'kicked', 'kicked')
else
  event(id, 'kicked')
end
-- A socket that was sent away before may not know of it yet.
local kick = {text(now + away), token, connected and is[3] or known[3] or '', connected and is[4] or known[4] or '',
  string.match(request, '^(.*)#') or '', (connected or is_expected) and '1' or ''}
call('SET', key('kicked', id), cjson.encode(kick), 'PX', text(math.max(away, 180000)))
return {'ok', kick[3], kick[4], kick[5], kick[6]}
