-- The setup as it is now, as whoever changed it is answered.
local function setup_state(id)
  local is = call('HMGET', key('session', id), 'setup_version', 'setup_timestamp', 'reported_version',
    'is_connected', 'node_id', 'sid')
  return {'ok', call('GET', key('setup', id)) or '', is[1] or '0', is[2] or '0', is[3] or '0',
    call('LLEN', key('undo', id)), call('LLEN', key('redo', id)),
    is[4] == '1' and is[5] or '', is[4] == '1' and is[6] or ''}
end
