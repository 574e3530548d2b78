-- The life of this Redis, as far as a partition goes: another one when it lost or may have lost data.
-- Writes nothing.
return life()
