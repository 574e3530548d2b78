"""Logs: an error line is a defect unless a fault of the run explains it."""

from __future__ import annotations

import re

from chaos.evidence import Evidence


def explained(evidence: Evidence) -> list[str]:
    """Find error lines, and lines that are no JSON, that no fault of the run explains."""
    return [
        f"{process}: {line[:600]}"
        for process, lines in evidence.logs.items()
        for line in lines
        if not any(re.search(pattern, line) for pattern in evidence.explained)
    ]
