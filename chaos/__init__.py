"""Faults by seed against a whole service, and the proof of its guarantees: `python -m chaos`."""
