"""Which samples a dashboard wants: all, the latest of each key, none, or only those of some keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Samples = Literal["none", "latest", "all"]


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
    def spellings(self) -> tuple[bytes, ...]:
        """Return of each key what is in the JSON of its samples, however it was encoded."""
        return tuple(_spelled(key) for key in self.keys or ())


EVERYTHING = Choice()


def _spelled(key: str) -> bytes:
    """Return a key as far as all JSON encoders spell it alike: its longest plain stretch."""
    stretches = "".join(c if c.isascii() and c.isalnum() else " " for c in key).split()
    return max(stretches, key=len, default="").encode()
