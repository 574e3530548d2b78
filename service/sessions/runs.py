"""Runs: samples of one data key that came together, as one entry of its history in Redis.

An entry a sample was most of what storing a sample cost Redis. A run is a sample `[value,ts]`, or the number of its
samples and these, each behind a line feed, which no sample has (lua/shared/histories.lua).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

#: Samples in a run, and about how many bytes where they are large: what is dropped may cut one, which writes the rest.
RUN_SAMPLES = 64
RUN_BYTES = 4096


def runs_of(samples: Sequence[bytes]) -> Sequence[bytes]:
    """Join samples, of which there is one at least."""
    count = len(samples)
    if count == 1:
        return samples
    step = max(1, min(RUN_SAMPLES, RUN_BYTES * count // sum(map(len, samples))))
    if step == 1:
        return samples
    chunks = [samples[at : at + step] for at in range(0, count, step)]
    return [
        b"%d\n%b" % (len(chunk), b"\n".join(chunk)) if len(chunk) > 1 else chunk[0]
        for chunk in chunks
    ]


def samples_of(runs: Iterable[str]) -> list[str]:
    """Return the samples of runs."""
    samples: list[str] = []
    for run in runs:
        if "\n" in run:
            samples += run.split("\n")[1:]
        else:
            samples.append(run)
    return samples


def as_array(runs: Iterable[bytes]) -> bytes:
    """Return the samples of runs as one JSON array."""
    samples = b"\n".join(run[run.find(b"\n") + 1 :] for run in runs)
    return b"[%b]" % samples.replace(b"\n", b",")


def with_count(sample: str, count: int) -> str:
    """Return a latest value as Redis has it: before it stands how many samples there are."""
    return f"{count}\n{sample}"


def without_count(latest: str) -> str:
    """Return the sample of a latest value; an earlier version wrote no number before it."""
    return latest[latest.find("\n") + 1 :]
