"""What a seed came to, for a terminal."""

from __future__ import annotations

import shlex
from collections import Counter

from chaos.journal import FaultEnded
from chaos.report import COUNTED
from chaos.simulation.run import Outcome


def line(outcome: Outcome) -> str:
    """Return a line: the order is the same whenever the seed is repeated."""
    word = "FAILED" if outcome.failed else "holds "
    return (
        f"{word}  seed {outcome.seed}, order {outcome.order:08x}: {outcome.steps:,} steps, "
        f"{outcome.simulated_s:.1f} s in {outcome.cpu_s:.2f} s"
    )


def text(outcome: Outcome, arguments: list[str]) -> str:
    """Return counts, faults and findings, and how to see the same again.

    Args:
        outcome: What is reported.
        arguments: Of the command line, from which seeds are taken out.
    """
    counts = Counter(type(entry) for entry in outcome.evidence.entries)
    lines = [f"{counts[kind]:>9,}  {name}" for kind, name in COUNTED.items()]
    lines += [
        f"{fault.at:>9.1f}  {fault.fault} is over: {fault.target}"
        for fault in outcome.evidence.of(FaultEnded)
    ]
    for promise, found in outcome.findings.items():
        lines.append(f"{'FAILED' if found else 'holds '}  {promise}")
        lines += [f"          {one[:1000]}" for one in found[:10]]
        if len(found) > 10:
            lines.append(f"          … and {len(found) - 10} more")
    if outcome.failed:
        lines.append(f"again:  {again(outcome.seed, arguments)}")
    return "\n".join(lines)


def again(seed: int, arguments: list[str]) -> str:
    """Return the command that repeats one seed of these arguments."""
    kept = list(arguments)
    for name in ("--seed", "--seeds"):
        while name in kept:
            del kept[kept.index(name) : kept.index(name) + 2]
    kept = [one for one in kept if not one.startswith(("--seed=", "--seeds="))]
    return shlex.join(["python", "-m", "chaos.simulation", "--seed", str(seed), *kept])
