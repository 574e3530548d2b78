"""A short run of `python -m chaos` with a fixed seed; docs/faults.md tells of the long ones."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from chaos import report
from chaos.faults import possible_here
from chaos.run import Run, Size
from tests.support.sizes import sampled

#: Of the short run: the archive cannot be read and then not written, while Redis is killed and busy.
SEED = 34


@pytest.mark.timeout(600)
def test_promises_hold_while_faults_come_by_seed(tmp_path: Path) -> None:
    """The short run leaves out what stops everything or measures, which takes longer than it."""
    seconds = sampled(120.0, 10.0)
    faults = [fault for fault in possible_here() if seconds > 60 or not fault.alone]
    size = Size(nodes=2, workers=1, devices=8, operators=1, editors=2, choosy=1, crowd=50)
    evidence = asyncio.run(Run(tmp_path, SEED, seconds, faults, size)())
    findings = {promise: found for promise, found in report.findings_of(evidence).items() if found}
    assert findings == {}, report.text(SEED, seconds, evidence, findings)
