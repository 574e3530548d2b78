"""People of a run: devices, dashboards, operators, editors; each draws its intentions by the seed."""
