"""A whole cluster in one process, under a seeded scheduler with its own time: `python -m chaos.simulation`."""
