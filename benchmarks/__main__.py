"""Muster beside its peers: the loads of benchmarks/loads, one after the other.

    python -m benchmarks [name ...] [--quick] [--rounds N] [--seconds S] [--write]

Within a load the contestants take turns, round by round, each run with a fresh Valkey and fresh
processes. Servers run on one core, the generator and Valkey on another. docs/benchmarks.md says what is
measured and how, and keeps results.
"""

from __future__ import annotations

import argparse
import datetime
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace

from benchmarks import building
from benchmarks.archive import trial as archive
from benchmarks.loads.all import LOADS
from benchmarks.loads.load import Load
from benchmarks.report import history, page, picture, tables
from benchmarks.report.results import Found, Results, load_results, machine
from benchmarks.running import full_store, trial
from benchmarks.running.processes import NotStarted
from benchmarks.running.trial import Contestant, Result

PAGE = building.ROOT / "docs" / "benchmarks.md"
PICTURE = building.ROOT / "docs" / "pictures" / "cpu-per-event.svg"
HISTORY = building.ROOT / "docs" / "pictures" / "history.svg"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = [load.name for load in LOADS]
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="few loads, one short round each")
    parser.add_argument("--rounds", type=int, help="turns of each contestant; 3, quick 1")
    parser.add_argument("--seconds", type=float, help="of load per run; 5, quick 3")
    parser.add_argument("--write", action="store_true", help="keep it, with page and picture")
    options = parser.parse_args()
    unknown = set(options.names) - set(names)
    if unknown:
        parser.error(f"no load named {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    loads = chosen(options.names, quick=options.quick)
    rounds = options.rounds or (1 if options.quick else 3)
    seconds = options.seconds or (3 if options.quick else 5)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by way of all that ends processes
    try:
        cores = building.cores()
        building.generator()
        results = load_results(machine())
        for line in results.machine:
            print(line)
        for load in loads:
            found = measure(load, rounds, seconds, cores)
            results.loads[load.name] = found
            print(f"\n{tables.text_of(load, found)}", flush=True)
            if options.write:
                keep(results)
    except building.Missing as exc:
        print(f"benchmarks: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def chosen(names: Sequence[str], *, quick: bool) -> list[Load]:
    """The loads with these names (none: all), in their order; quick: with few contestants."""
    loads = [load for load in LOADS if not names or load.name in names]
    if not quick:
        return loads
    return [
        replace(load, contestants=tuple(c for c in load.contestants if c.name in load.quick))
        for load in loads
        if load.quick
    ]


def measure(load: Load, rounds: int, seconds: float, cores: tuple[int, int]) -> Found:
    """All rounds of one load; a contestant for which something is missing is left out."""
    found = Found(datetime.datetime.now(datetime.UTC).date().isoformat(), os.getloadavg()[0])
    for turn in range(min(rounds, load.rounds)):
        first = turn % len(load.contestants)
        for contestant in load.contestants[first:] + load.contestants[:first]:
            if contestant.name in found.left_out:
                continue
            try:
                result = run(load, contestant, seconds, cores)
            except building.Missing as exc:
                found.left_out[contestant.name] = str(exc)
                continue
            found.add(contestant.name, result.figures, result.problems)
    return found


def run(load: Load, contestant: Contestant, seconds: float, cores: tuple[int, int]) -> Result:
    """One run; a server that does not start is a problem of that run."""
    contestant.server.install()
    building.files(contestant.files)
    try:
        if load.mode == "sessions":
            return full_store.run(contestant.options["sessions"], *cores)
        if load.mode == "archive":
            return archive.run()
        options = {**load.options, "seconds": max(seconds, load.seconds)}
        return trial.run(contestant, load.mode, options, *cores)
    except NotStarted as exc:
        return Result({}, [str(exc)])


def keep(results: Results) -> None:
    """Writes what was found, the page and the pictures."""
    results.save()
    page.write_page(PAGE, results)
    PICTURE.write_text(picture.draw(results))
    HISTORY.write_text(history.draw(history.add(results, history.version())))


if __name__ == "__main__":
    sys.exit(main())
