"""Targets of the service under inputs that nobody would send: `python -m chaos.fuzz`."""
