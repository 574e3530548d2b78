"""Counts the calls of functions in a node: loaded by Python itself, as its folder is first in PYTHONPATH.

SIGUSR2 begins, SIGUSR2 again ends and writes the counts, name by name, to the file that is named by COUNT_CALLS_TO.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from typing import Any


def prepare(path: str) -> None:
    counts: Counter[str] = Counter()
    is_counting = False

    def note(frame: Any, event: str, function: Any) -> None:
        if event == "call":
            code = frame.f_code
            counts[f"{code.co_qualname} {'/'.join(code.co_filename.split('/')[-2:])}"] += 1
        elif event == "c_call":
            counts[f"C {getattr(function, '__qualname__', function)}"] += 1

    def toggle(*_: object) -> None:
        nonlocal is_counting
        import greenlet

        is_counting = not is_counting
        # each greenlet has a profiler of its own
        greenlet.settrace((lambda *_: sys.setprofile(note)) if is_counting else None)
        sys.setprofile(note if is_counting else None)
        if not is_counting:
            with open(f"{path}.part", "w") as file:  # noqa: PTH123  nothing is patched yet that this needs
                json.dump(counts, file)
            os.replace(f"{path}.part", path)  # noqa: PTH105

    signal.signal(signal.SIGUSR2, toggle)


WHERE = os.environ.get("COUNT_CALLS_TO")  # noqa: TID251  no setting of the service
if WHERE and any("node_process" in word for word in sys.orig_argv):
    prepare(f"{WHERE}.{os.getpid()}")
