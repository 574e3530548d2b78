"""The archive: every file that the index names is there, whole, and holds what was acked."""

from __future__ import annotations

from chaos.evidence import Evidence


def whole(evidence: Evidence) -> list[str]:
    """Find what `muster archive verify` complains of."""
    verified = evidence.verified
    found = [
        f"archive verify says {name}: {verified[name]}"
        for name in ("bad", "unreadable", "wrong", "beside")
        if verified.get(name)
    ]
    if verified.get("exit") != 0 and not found:
        found.append(f"archive verify failed: {verified}")
    return found
