"""Faults planted in the service, which a simulation must find."""
