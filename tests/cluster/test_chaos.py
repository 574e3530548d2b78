"""A short run of `python -m chaos` with a fixed seed; docs/faults.md tells of the long ones."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from chaos import report
from chaos.faults import ALL
from chaos.run import Run, Size
from tests.support.sizes import sampled


@pytest.mark.timeout(600)
def test_promises_hold_while_faults_come_by_seed(tmp_path: Path) -> None:
    seconds = sampled(120.0, 10.0)
    size = Size(nodes=2, workers=1, devices=8, dashboards=2, operators=1, editors=2)
    evidence = asyncio.run(Run(tmp_path, 11, seconds, list(ALL.values()), size)())
    findings = {promise: found for promise, found in report.findings_of(evidence).items() if found}
    assert findings == {}, report.text(11, seconds, evidence, findings)
