"""People who have a session open: counted while they are there, on all nodes, and not after."""

from __future__ import annotations

from chaos.evidence import Evidence
from chaos.wishes import Joined


def counted(evidence: Evidence) -> list[str]:
    """Find who joined and was not counted, and clients that are counted when all have left."""
    found = [
        f"{entry.who} joined {entry.device}, and {entry.clients} were counted"
        for entry in evidence.of(Joined)
        if not entry.left and entry.clients < 1
    ]
    return found + [
        f"{name} has {row['active_clients']} clients, and all have left"
        for name, row in evidence.summaries.items()
        if row.get("active_clients")
    ]
