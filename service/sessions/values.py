"""Setup documents: changed by a merge patch (RFC 7396), and counted."""

from __future__ import annotations

from typing import Any


def merge_patch(target: Any, patch: Any) -> Any:
    """Return the target changed by an RFC 7396 merge patch; neither argument is altered."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def count_nodes(value: Any) -> int:
    """Return how many JSON values (objects, arrays, scalars) a document has; 0 for none."""
    count, level = 0, [] if value is None else [value]
    while level:
        count += len(level)
        level = [
            inner
            for item in level
            for inner in (
                item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
            )
        ]
    return count
