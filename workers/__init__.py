"""Workers: the slow work, run by RQ. `service` imports nothing of this package."""
