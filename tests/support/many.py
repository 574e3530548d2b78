"""Nine sessions, one of which cannot be handled."""

from __future__ import annotations

from pathlib import Path

from service.archive.names import stem_of
from service.sessions.store.store import RedisSessionStore

IDS = [f"d{number}" for number in range(9)]
BAD = IDS[4]
GOOD = [one for one in IDS if one != BAD]


def spoil(root: Path, session_id: str = BAD) -> None:
    """Its folder leads nowhere: it cannot be read, written or judged."""
    folder = root / stem_of(session_id)[:4]
    if folder.exists():
        folder.rename(root.parent / "elsewhere")
    folder.symlink_to(folder)


def states(store: RedisSessionStore) -> dict[str, str]:
    return {
        i: (row or {}).get("state", "gone")
        for i, row in zip(IDS, store.index.summaries(IDS), strict=True)
    }


def only(bad: str, others: str) -> dict[str, str]:
    return {one: bad if one == BAD else others for one in IDS}
