"""The fuzzer: so many inputs for a door, and those that it did not bear."""

from __future__ import annotations

import itertools
import traceback

from chaos.fuzz.doors import Door
from chaos.fuzz.mutations import mutations

#: A door that fails is not asked on and on.
MAX_FINDINGS = 5


def fuzz(seed: int, name: str, door: Door, inputs: int) -> list[str]:
    """Return what a door did wrong, each with the input that shows it."""
    found: list[str] = []
    for data in itertools.chain(
        door.corpus, itertools.islice(mutations(f"{seed}/{name}", door.corpus, door.words), inputs)
    ):
        try:
            door.enter(data)
        except Exception as error:  # noqa: BLE001  what comes is what is looked for
            where = traceback.extract_tb(error.__traceback__)[-1]
            found.append(
                f"{data!r}: {type(error).__name__}: {error} ({where.name}, line {where.lineno})"
            )
            if len(found) == MAX_FINDINGS:
                break
    return found
