"""Which samples a dashboard wants: all, the latest of each key, none, or only those of some keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol, Self, TypeVar

Samples = Literal["none", "latest", "all"]


class Part(Protocol):
    """One session's samples; see `entries.Part`."""

    session: bytes
    samples_json: bytes

    @property
    def samples(self) -> list[list[Any]]: ...

    def only(self, places: Sequence[int]) -> Self: ...


P = TypeVar("P", bound=Part)


@dataclass(frozen=True)
class Choice:
    """Samples that a subscription sends; subscriptions with equal choices share their frames.

    Attributes:
        samples: which of them.
        keys: only samples of these data keys, sorted; None: of all.
    """

    samples: Samples = "all"
    keys: tuple[str, ...] | None = None

    @classmethod
    def of(cls, samples: Samples, values: Sequence[str] | None) -> Choice:
        """Return the choice of a `register_vue`; data keys may come in any order."""
        made = cls(samples, None if values is None else tuple(sorted(set(values))))
        return EVERYTHING if made == EVERYTHING else made

    @cached_property
    def _quoted(self) -> tuple[bytes, ...]:
        """Return what must be in the JSON of samples of which one is wanted."""
        return tuple(_spelled(key) for key in self.keys or ())

    def filtered(self, part: P) -> P | None:
        """Return the samples of a part that are wanted; None: none of them is.

        Samples are decoded only where the JSON has a key that is wanted.
        """
        if self.samples == "none":
            return None
        if self.keys is None:
            return part
        if not any(quoted in part.samples_json for quoted in self._quoted):
            return None
        places = [i for i, sample in enumerate(part.samples) if sample[0] in self.keys]
        return part.only(places) if places else None


EVERYTHING = Choice()


def _spelled(key: str) -> bytes:
    """Return a key as far as all JSON encoders spell it alike: its longest plain stretch."""
    stretches = "".join(c if c.isascii() and c.isalnum() else " " for c in key).split()
    return max(stretches, key=len, default="").encode()


def latest(parts_of_segments: Sequence[list[P]]) -> list[list[P]]:
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
