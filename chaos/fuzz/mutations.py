"""Inputs made from valid ones by small damage, decided by a seed alone."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

#: Numbers at the edges of types and limits.
EDGES = (
    b"0",
    b"-1",
    b"1e999",
    b"255",
    b"65536",
    b"2147483648",
    b"9007199254740993",
    b"18446744073709551616",
)


def mutations(seed: str, corpus: Sequence[bytes], words: Sequence[bytes]) -> Iterator[bytes]:
    """Yield inputs without end: each is one of the corpus with one to four changes.

    Args:
        seed: The same seed, corpus and words give the same inputs.
        corpus: Valid inputs.
        words: What means something at this target; also put where it does not belong.
    """
    chance = random.Random(seed)
    pieces = [*words, *EDGES]
    while True:
        data = bytearray(chance.choice(corpus))
        for _ in range(chance.choice((1, 1, 1, 2, 3, 4))):
            _change(data, chance, corpus, pieces)
        yield bytes(data)


def _change(
    data: bytearray, chance: random.Random, corpus: Sequence[bytes], pieces: Sequence[bytes]
) -> None:
    place = chance.randint(0, len(data))
    end = min(len(data), place + chance.choice((1, 1, 2, 4, 16, 64)))
    kind = chance.randrange(8)
    if kind == 0 and place < len(data):
        data[place] ^= 1 << chance.randrange(8)
    elif kind == 1 and place < len(data):
        data[place] = chance.choice(
            (0, 0x0A, 0x0D, 0x20, 0x22, 0x7F, 0x80, 0xFF, chance.randrange(256))
        )
    elif kind == 2:
        del data[place:end]
    elif kind == 3:
        data[place:place] = data[place:end] * chance.choice((1, 2, 100))
    elif kind == 4:
        data[place:end] = chance.choice(pieces)
    elif kind == 5:
        data[place:place] = chance.choice(pieces)
    elif kind == 6:
        other = chance.choice(corpus)
        data[place:] = other[chance.randint(0, len(other)) :]
    else:
        del data[place:]
