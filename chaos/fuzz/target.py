"""What a target is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """A target.

    Attributes:
        corpus: Valid inputs.
        words: What means something to it.
        run: Gives it an input; raises where it does what it must not.
    """

    corpus: tuple[bytes, ...]
    words: tuple[bytes, ...]
    run: Callable[[bytes], None]
