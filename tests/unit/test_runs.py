"""Runs of samples: joined, and what was joined."""

from __future__ import annotations

import orjson
import pytest

from service.sessions import runs
from service.sessions.runs import RUN_BYTES, RUN_SAMPLES, as_array, runs_of, samples_of

SAMPLES = [
    b"[1,1.5]",
    b'["a\\nb[,]",2.5]',
    b"[[[],{}],3]",
    '["é日",4]'.encode(),
]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 63, 64, 65, 128, 129, 1000])
def test_what_was_joined_comes_back(count: int) -> None:
    samples = [SAMPLES[number % 4] for number in range(count)]
    joined = runs_of(samples)
    assert samples_of([run.decode() for run in joined]) == [one.decode() for one in samples]
    assert orjson.loads(as_array(joined)) == [orjson.loads(one) for one in samples]
    assert len(joined) == -(-count // RUN_SAMPLES)


def test_single_sample_is_as_it_was() -> None:
    assert list(runs_of([b"[1,2]"])) == [b"[1,2]"]
    assert as_array([b"[1,2]", b"2\n[3,4]\n[5,6]", b"[7,8]"]) == b"[[1,2],[3,4],[5,6],[7,8]]"


@pytest.mark.parametrize("strange", ["5", '"text"', '{"a":1}', "null"])
def test_what_is_no_sample_is_kept_as_one(strange: str) -> None:
    """A file of the archive may come from anywhere."""
    assert samples_of([strange, f"2\n{strange}\n[1,2]"]) == [strange, strange, "[1,2]"]
    assert as_array([strange.encode()]) == f"[{strange}]".encode()


@pytest.mark.parametrize("size", [10, 60, 100, 1000, 5000, 60_000])
def test_runs_of_large_samples_have_few(size: int) -> None:
    """What is dropped may cut a run, and writes the rest of it."""
    samples = [b'["%b",1]' % (b"x" * size)] * 200
    joined = runs_of(samples)
    assert max(map(len, joined)) <= max(RUN_BYTES + RUN_SAMPLES, len(samples[0]))
    assert samples_of([run.decode() for run in joined]) == [one.decode() for one in samples]


def test_one_large_sample_among_small_ones_is_in_a_short_run() -> None:
    samples = [b"[1,1]"] * 60 + [b'["%b",1]' % (b"x" * 60_000)] + [b"[1,1]"] * 60
    assert max(run.count(b"\n") for run in runs_of(samples)) <= RUN_BYTES * 121 // 60_000 + 1


def test_latest_value_has_the_number_of_samples_before_it() -> None:
    assert runs.with_count("[1,2]", 12) == "12\n[1,2]"
    assert runs.without_count("12\n[1,2]") == runs.without_count("[1,2]") == "[1,2]"
