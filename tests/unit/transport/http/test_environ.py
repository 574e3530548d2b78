"""Our environ of a request is held to eventlet's own; in a process of its own, as it imports that."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.processes


def test_environ_is_what_the_library_makes() -> None:
    program = "tests.unit.transport.http.compare_environs"
    ran = subprocess.run([sys.executable, "-m", program], capture_output=True, text=True)
    assert ran.returncode == 0 and int(ran.stdout) > 200, ran.stderr
