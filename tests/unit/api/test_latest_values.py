"""Latest values of a page of sessions: never too large a page, and never one without a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from service.sessions.latest_values import PAGE_BYTES, page_with_values


class Values:
    """Sessions with one value of so many bytes each."""

    def __init__(self, **sizes: int) -> None:
        self._sizes = sizes

    def latest_values(
        self, session_ids: Sequence[str], data_keys: Sequence[str]
    ) -> Sequence[Mapping[str, str]]:
        return [{"k": orjson.dumps(["x" * self._sizes[one], 1]).decode()} for one in session_ids]


def page(store: Values, *reads: list[str]) -> tuple[list[str], list[str]]:
    """The sessions of the page, and those that have values, where the list reads like this in turn."""
    coming = iter(reads)
    shown, values = page_with_values(store, ["k"], lambda limit: next(coming)[:limit], list, 100)
    return shown, list(values)


def test_session_whose_values_alone_are_too_large_is_a_page() -> None:
    """Otherwise the list would never go on behind it."""
    ids = ["large", "small"]
    assert page(Values(large=PAGE_BYTES + 1, small=1), ids, ids) == (["large"], ["large"])


def test_session_that_moved_into_the_page_meanwhile_has_its_values() -> None:
    store = Values(a=PAGE_BYTES - 100, b=1000, new=10)
    shown, valued = page(store, ["a", "b"], ["new", "b"])
    assert shown == ["new"]
    assert "new" in valued
