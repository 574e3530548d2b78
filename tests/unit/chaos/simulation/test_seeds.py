"""Simulated seeds: promises hold, a seed is the same again, and what is planted is found."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from chaos.simulation.planted import PLANTED
from tests.support.sizes import sampled
from tests.support.system.processes import REPOSITORY

pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(1200),
    pytest.mark.xdist_group("simulated seeds"),  # one process simulates for two tests
]

SEEDS = sampled(200, 20)


def simulate(*arguments: str, hash_seed: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, which replaces time before it imports the service."""
    return subprocess.run(
        [sys.executable, "-m", "chaos.simulation", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=1100,
        check=False,
    )


def line_of(seed: int, output: str) -> str:
    """What is said of a seed, without the time that it took."""
    (found,) = re.findall(rf"(?m)^.* seed {seed}, .* s in ", output)
    return str(found)


@pytest.fixture(scope="module")
def seeds() -> subprocess.CompletedProcess[str]:
    return simulate("--seeds", str(SEEDS), hash_seed="1")


def test_promises_hold_in_every_order_that_the_seeds_choose(
    seeds: subprocess.CompletedProcess[str],
) -> None:
    assert seeds.returncode == 0, seeds.stdout + seeds.stderr
    assert len(re.findall(r"(?m)^holds   seed", seeds.stdout)) == SEEDS


def test_seed_is_the_same_again_whatever_the_order_of_hashes(
    seeds: subprocess.CompletedProcess[str],
) -> None:
    """To the last step: also where Python's own order of sets differs, and as the first of its process."""
    again = simulate("--seed", "3", hash_seed="2")
    assert line_of(3, again.stdout) == line_of(3, seeds.stdout), again.stderr
    assert "order" in line_of(3, again.stdout)


def test_every_planted_fault_is_found() -> None:
    done = simulate("--plant", "all", "--seconds", "12", hash_seed="1")
    found = re.findall(r"(?m)^found   ([^:]*):", done.stdout)
    assert found == [planted.name for planted in PLANTED], done.stdout + done.stderr
    assert done.returncode == 0
