"""How many samples an event has, in each of its forms: at least one, at most as many as it may."""

from __future__ import annotations

from typing import Any

import pytest

from service import errors
from service.schema.limits import MAX_SAMPLES
from service.schema.samples import parse_update


def payload(form: str, count: int) -> dict[str, Any]:
    if form == "data":
        return {"data": {f"k{number}": number for number in range(count)}}
    return {"samples": [["k", number] for number in range(count)]}


@pytest.mark.parametrize("form", ["data", "samples"])
def test_event_has_as_many_samples_as_it_may_and_no_more(form: str) -> None:
    assert len(parse_update(payload(form, MAX_SAMPLES), 1.0).samples) == MAX_SAMPLES
    with pytest.raises(errors.TooLarge):
        parse_update(payload(form, MAX_SAMPLES + 1), 1.0)
    with pytest.raises(errors.InvalidRequest):
        parse_update(payload(form, 0), 1.0)
