"""Latest values next to the summaries of a page, without a page that grows too large."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import orjson

#: Values of one page, as JSON; a page of larger ones has fewer sessions.
PAGE_BYTES = 1 << 20
#: Sessions whose values are read first: they may have 20 values of 64 KiB each.
FIRST = 10

P = TypeVar("P")
#: Session id → data key → `[value, ts]`.
Values = Mapping[str, Mapping[str, Any]]


class ValueStore(Protocol):
    """The part of the session store that reads latest values."""

    def latest_values(
        self, session_ids: Sequence[str], data_keys: Sequence[str]
    ) -> Sequence[Mapping[str, str]]: ...


def page_with_values(
    store: ValueStore,
    data_keys: Sequence[str],
    read: Callable[[int], P],
    ids_of: Callable[[P], Sequence[str]],
    limit: int,
) -> tuple[P, Values]:
    """Return a page and the latest values of its sessions.

    Args:
        read: reads the page, with at most so many sessions.
        ids_of: the sessions of a page.
    """
    page = read(limit)
    if not data_keys:
        return page, {}
    ids = ids_of(page)
    values = _fitting(store, ids, data_keys)
    if len(values) < len(ids):
        page = read(len(values))
        others = [one for one in ids_of(page) if one not in values]  # moved there meanwhile
        values |= zip(others, store.latest_values(others, data_keys), strict=True) if others else {}
    return page, {
        one: {name: orjson.loads(sample) for name, sample in found.items()}
        for one, found in values.items()
    }


def _fitting(
    store: ValueStore, ids: Sequence[str], data_keys: Sequence[str]
) -> dict[str, Mapping[str, str]]:
    """Return the values of the first sessions, as many as fit into a page; of one at least."""
    found: dict[str, Mapping[str, str]] = {}
    size, count = 0, FIRST
    while len(found) < len(ids):
        some = ids[len(found) : len(found) + count]
        for one, values in zip(some, store.latest_values(some, data_keys), strict=True):
            size += sum(map(len, values.values()))
            if size > PAGE_BYTES and found:
                return found
            found[one] = values
        average = max(1, size // len(found))
        count = max(1, (PAGE_BYTES - size) // average)
    return found
