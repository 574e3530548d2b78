"""Simulated seeds: promises hold, a seed is the same again, and what is planted is found."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from chaos.simulation.planted.faults import PLANTED
from tests.support.sizes import sampled
from tests.support.system.processes import REPOSITORY

pytestmark = pytest.mark.processes

#: A test must end within minutes: of what is long when whole each part is a test.
PARTS, SEEDS = sampled(8, 2), sampled(25, 10)
PLANTED_PARTS = sampled(10, 1)


def simulate(*arguments: str, hash_seed: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, which replaces time before it imports the service."""
    return subprocess.run(
        [sys.executable, "-m", "chaos.simulation", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=290,
        check=False,
    )


def line_of(seed: int, output: str) -> str:
    """What is said of a seed, without the time that it took."""
    (found,) = re.findall(rf"(?m)^.* seed {seed}, .* s in ", output)
    return str(found)


@pytest.mark.parametrize("part", range(PARTS))
def test_promises_hold_in_every_order_that_the_seeds_choose(part: int) -> None:
    done = simulate("--seed", str(1 + part * SEEDS), "--seeds", str(SEEDS), hash_seed="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"(?m)^holds   seed", done.stdout)) == SEEDS


def test_seed_is_the_same_again_whatever_the_order_of_hashes() -> None:
    """To the last step: also where Python's own order of sets differs, and as the first of its process."""
    once = simulate("--seed", "2", "--seeds", "2", hash_seed="1")
    again = simulate("--seed", "3", hash_seed="2")
    assert line_of(3, again.stdout) == line_of(3, once.stdout), again.stderr
    assert "order" in line_of(3, again.stdout)


@pytest.mark.parametrize("part", range(PLANTED_PARTS))
def test_every_planted_fault_is_found(part: int) -> None:
    names = [planted.name for planted in sampled(PLANTED[part::PLANTED_PARTS], PLANTED[1::10])]
    done = simulate("--plant", ",".join(names), "--seconds", "12", hash_seed="1")
    found = re.findall(r"(?m)^found   ([^:]*):", done.stdout)
    assert found == names, done.stdout + done.stderr
    assert done.returncode == 0
