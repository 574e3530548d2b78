"""The samples of data entries that a dashboard chose."""

from __future__ import annotations

from collections.abc import Sequence

from service.live.feed.choice import Choice
from service.live.feed.entries import Part


def filtered(part: Part, choice: Choice) -> Part | None:
    """Return the samples of a part that are wanted; None: none of them is.

    Samples are decoded only where the JSON may have a key that is wanted.
    """
    if choice.samples == "none":
        return None
    if choice.keys is None:
        return part
    if not any(spelling in part.samples_json for spelling in choice.spellings):
        return None
    places = [i for i, sample in enumerate(part.samples) if sample[0] in choice.keys]
    return part.only(places) if places else None


def latest(parts_of_segments: Sequence[list[Part]]) -> list[list[Part]]:
    """Leave of several rows of parts only the last sample of each session and key."""
    seen: dict[bytes, set[str]] = {}
    left = []
    for parts in reversed(parts_of_segments):
        kept = []
        for part in reversed(parts):
            keys = seen.setdefault(part.session, set())
            places = []
            for place in range(len(part.samples) - 1, -1, -1):
                key = part.samples[place][0]
                if key not in keys:
                    keys.add(key)
                    places.append(place)
            if places:
                kept.append(part.only(places[::-1]))
        left.append(kept[::-1])
    return left[::-1]
