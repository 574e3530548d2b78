"""Targets of the service under inputs that no client would send: `python -m chaos.fuzz`."""
