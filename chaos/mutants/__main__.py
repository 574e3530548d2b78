"""Command line: `python -m chaos.mutants --only lua --at-once 2`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from chaos.mutants.mutant import LISTS, load
from chaos.mutants.run import Result, copy_tree, run_all, run_tests

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Run mutants, print what became of them; exit code 1: one was not noticed, or the list is stale."""
    parser = argparse.ArgumentParser(prog="python -m chaos.mutants", description=__doc__)
    parser.add_argument("--only", default="", help="those with these words in area, name or file")
    parser.add_argument("--at-once", type=int, default=2, help="how many at a time")
    parser.add_argument("--timeout", type=float, default=120, help="seconds for the tests of one")
    parser.add_argument("--lists", type=Path, default=LISTS, help="the folder of the lists")
    options = parser.parse_args()
    mutants = [
        mutant
        for mutant in load(options.lists)
        if options.only in f"{mutant.area} {mutant.name} {mutant.file}"
    ]
    if not mutants:
        parser.error(f"no mutant has {options.only!r} in its area, name or file")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="muster-mutants-") as made:
        folder = Path(made)
        tests = sorted({test for mutant in mutants for test in mutant.tests})
        code, output = run_tests(copy_tree(ROOT, folder / "unchanged"), tests, 60 * len(tests))
        if code != 0:
            print(f"Without a mutant, too, the tests fail:\n{output[-3000:]}")
            return 2
        results = run_all(mutants, ROOT, folder, options.at_once, options.timeout, report)
    counts = Counter(result.word for result in results)
    words = ", ".join(f"{count} {word}" for word, count in counts.most_common())
    print(f"{len(results)} mutants in {time.monotonic() - begun:.0f} s: {words}")
    return 0 if all(result.is_killed for result in results) else 1


def report(result: Result) -> None:
    """Print what became of a mutant."""
    mutant = result.mutant
    print(f"{result.word:10} {mutant.area}: {mutant.name} · {result.detail}", flush=True)
    if not result.is_killed:
        print(f"           {mutant.file}: {mutant.promise}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
