-- The setup of a session, as it is at one moment. Writes nothing.
-- ARGV[4] id
-- Returns {'missing'} or `setup_state`.
local id = ARGV[4]
if call('EXISTS', key('session', id)) == 0 then return {'missing'} end
return setup_state(id)
