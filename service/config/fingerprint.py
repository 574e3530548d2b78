"""Fingerprint of the settings that all nodes and workers of a service must have alike.

Each process publishes it with its figures (`P:node:<id>`, `P:worker:<name>`), and `muster doctor` compares.
Settings that may differ are left out: addresses, URLs as a machine sees them, numbers of one process, limits.
"""

from __future__ import annotations

import hashlib
import json

from service.config.loader import Config

#: Groups of settings that decide what is kept, for how long, and where.
GROUPS = ("feed", "sessions", "commands", "archive")


def fingerprint(config: Config) -> str:
    """Return a word that is equal for equal settings in `GROUPS`; holds no secret."""
    shown = config.model_dump(mode="json", include=set(GROUPS))
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:8]
