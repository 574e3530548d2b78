"""What tests leave open is found at the end of their file, before another test is blamed for it.

A socket, file or process that nobody closed, in a circle of objects, is found whenever Python collects garbage, and
pytest holds its ResourceWarning against the test at work then: an innocent one, and another one in each run. So all
is collected when a file ends, and the file fails. `pytest --name-leaks` does so after each test.
"""

from __future__ import annotations

import gc
import sys


def spare_what_is_there() -> None:
    """Leave the tests themselves and all that is imported out: collecting takes a tenth of the time."""
    gc.collect()
    gc.freeze()


def check(whose: str) -> None:
    """Collect, and fail for what was not closed."""
    found: list[str] = []
    before = sys.unraisablehook
    sys.unraisablehook = lambda one: found.append(f"{one.exc_value or one.err_msg}")
    try:
        gc.collect()
    finally:
        sys.unraisablehook = before
    if found:
        raise AssertionError(f"{whose} leaves behind: {'; '.join(found)}")
