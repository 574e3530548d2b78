"""The fuzzer: so many inputs for a target, and those that it did not bear."""

from __future__ import annotations

import itertools
import traceback

from chaos.fuzz.mutations import mutations
from chaos.fuzz.target import Target

#: A target that fails is not asked on and on.
MAX_FINDINGS = 5


def fuzz(seed: int, name: str, target: Target, inputs: int) -> list[str]:
    """Return what a target did wrong, each with the input that shows it."""
    found: list[str] = []
    for data in itertools.chain(
        target.corpus,
        itertools.islice(mutations(f"{seed}/{name}", target.corpus, target.words), inputs),
    ):
        try:
            target.run(data)
        except Exception as error:  # noqa: BLE001  what comes is what is looked for
            where = traceback.extract_tb(error.__traceback__)[-1]
            found.append(
                f"{data!r}: {type(error).__name__}: {error} ({where.name}, line {where.lineno})"
            )
            if len(found) == MAX_FINDINGS:
                break
    return found
