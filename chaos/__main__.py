"""Command line of a run: `python -m chaos --seed 7 --minutes 2`."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from chaos import report
from chaos.evidence import Evidence
from chaos.faults import ALL, explained_by, possible_here
from chaos.faults.fault import Fault
from chaos.run import Run, Size


def main() -> int:
    """Do a run, print its report; exit code 1: a promise does not hold."""
    usual = Size()
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="decides faults and intentions")
    parser.add_argument("--minutes", type=float, default=1, help="how long faults are caused")
    parser.add_argument("--nodes", type=int, default=usual.nodes)
    parser.add_argument("--workers", type=int, default=usual.workers)
    parser.add_argument("--devices", type=int, default=usual.devices)
    parser.add_argument("--crowd", type=int, default=usual.crowd, help="sockets of a storm")
    parser.add_argument("--faults", default="", help=f"only these, by comma: {', '.join(ALL)}")
    parser.add_argument(
        "--keep",
        type=Path,
        help="an empty folder for journal, logs and data; without it they are kept if a promise does not hold",
    )
    parser.add_argument("--judge", type=Path, help="only judge a run again that was kept there")
    options = parser.parse_args()
    wanted = [name.strip() for name in options.faults.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in ALL]
    if unknown:
        parser.error(f"no such fault: {', '.join(unknown)}")
    faults = [fault for fault in possible_here() if not wanted or fault.name in wanted]
    if left_out := sorted((set(wanted) or set(ALL)) - {fault.name for fault in faults}):
        print(f"not possible here (Linux with a C compiler): {', '.join(left_out)}\n")
    size = Size(
        nodes=options.nodes,
        workers=options.workers,
        devices=options.devices,
        crowd=options.crowd,
    )
    if options.judge:
        evidence = Evidence.read(options.judge)
        evidence.explained = explained_by(evidence)  # by the patterns of today
        return _judge(evidence, options)
    if options.keep:
        return _judge(_do(options.keep, options, faults, size), options)
    folder = Path(tempfile.mkdtemp(prefix="muster-chaos-"))
    failed = False
    try:
        failed = bool(_judge(_do(folder, options, faults, size), options))
    finally:
        if not failed:
            shutil.rmtree(folder)
    if failed:
        print(
            f"\nKept in {folder}: its journal, logs and data; --judge {folder} judges them again."
        )
    return int(failed)


def _do(folder: Path, options: argparse.Namespace, faults: list[Fault], size: Size) -> Evidence:
    run = Run(folder, options.seed, 60 * options.minutes, faults, size)
    return asyncio.run(run())


def _judge(evidence: Evidence, options: argparse.Namespace) -> int:
    findings = report.findings_of(evidence)
    print(report.text(options.seed, 60 * options.minutes, evidence, findings))
    return 1 if any(findings.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
