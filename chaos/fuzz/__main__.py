"""Command line of the fuzzer: `python -m chaos.fuzz --seed 7 --inputs 1000000`."""

from __future__ import annotations

import argparse
import sys
import time

from chaos.fuzz.run import fuzz
from chaos.fuzz.targets import TARGETS


def main() -> int:
    """Fuzz all targets or some; exit code 1: there are findings."""
    parser = argparse.ArgumentParser(prog="python -m chaos.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="of all targets together")
    parser.add_argument("targets", nargs="*", help=f"only these: {', '.join(TARGETS)}")
    options = parser.parse_args()
    names = options.targets or list(TARGETS)
    if unknown := [name for name in names if name not in TARGETS]:
        parser.error(f"no such target: {', '.join(unknown)}")
    failed = False
    for name in names:
        began, inputs = time.process_time(), options.inputs // len(names)
        findings = fuzz(options.seed, name, TARGETS[name], inputs)
        each_us = 1e6 * (time.process_time() - began) / inputs
        print(f"{name:<10} {inputs:>10,} inputs  {each_us:6.1f} µs each  {len(findings)} findings")
        for one in findings:
            print(f"  {one[:1000]}")
        failed = failed or bool(findings)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
