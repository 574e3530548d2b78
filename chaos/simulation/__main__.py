"""Command line of simulations: `python -m chaos.simulation --seed 7`, or `--seeds 1000`."""

from __future__ import annotations

import argparse
import sys
import warnings
from typing import TYPE_CHECKING

from chaos.simulation import primitives

if TYPE_CHECKING:
    from chaos.faults.fault import Fault


def main() -> int:
    """Simulate seeds, report those that fail; exit code 1: a promise does not hold, or a plant is missed."""
    from chaos.simulation.faults import FAULTS

    parser = argparse.ArgumentParser(prog="python -m chaos.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many, one after the other")
    parser.add_argument("--seconds", type=float, default=18, help="how long faults begin")
    known = ", ".join(fault.name for fault in FAULTS)
    parser.add_argument("--faults", default="", help=f"only these, by comma: {known}")
    parser.add_argument(
        "--plant", default="", help="plant these faults in the service, by comma, or `all`"
    )
    options = parser.parse_args()
    wanted = [name.strip() for name in options.faults.split(",") if name.strip()]
    faults = [fault for fault in FAULTS if not wanted or fault.name in wanted]
    if len(faults) < len(wanted):
        parser.error(f"there are only these faults: {known}")
    if options.plant:
        names = [name.strip() for name in options.plant.split(",") if name.strip()]
        if unknown := _unknown(names):
            parser.error(f"there is no such planted fault: {', '.join(unknown)}")
        return _find_planted(names, options.seconds)
    return _simulate(options.seed, options.seeds, options.seconds, faults)


def _simulate(first: int, number: int, seconds: float, faults: list[Fault]) -> int:
    from chaos.simulation import report
    from chaos.simulation.run import simulate

    failed = simulated_s = cpu_s = 0.0
    for seed in range(first, first + number):
        outcome = simulate(seed, seconds, faults)
        simulated_s += outcome.simulated_s
        cpu_s += outcome.cpu_s
        failed += outcome.failed
        print(report.line(outcome), flush=True)
        if outcome.failed or number == 1:
            print(report.text(outcome, sys.argv[1:]), flush=True)
    if number > 1:
        speed = f"{simulated_s:.0f} s in {cpu_s:.0f} s of a processor ({simulated_s / cpu_s:.0f} ×)"
        print(f"{number} seeds, {failed:.0f} failed; {speed}")
    return 1 if failed else 0


def _unknown(names: list[str]) -> list[str]:
    from chaos.simulation.planted.faults import PLANTED

    return sorted(set(names) - {"all", *(planted.name for planted in PLANTED)})


def _find_planted(names: list[str], seconds: float) -> int:
    from chaos.simulation.faults import FAULTS
    from chaos.simulation.planted.faults import PLANTED
    from chaos.simulation.run import simulate

    missed = 0
    for planted in PLANTED:
        if "all" not in names and planted.name not in names:
            continue
        faults = [fault for fault in FAULTS if fault.name in planted.faults]
        for seed in range(planted.seed, planted.seed + planted.tries):
            with planted.plant():
                found = simulate(seed, seconds, faults).findings[planted.promise]
            if found:
                print(f"found   {planted.name}: seed {seed}: {found[0][:200]}", flush=True)
                break
        else:
            missed += 1
            print(f"MISSED  {planted.name}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    primitives.install()
    warnings.simplefilter("ignore")  # eventlet announces its retirement
    sys.exit(main())
