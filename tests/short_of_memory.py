"""A node on a machine whose available memory a test decides: it writes the percentage to a file.

python -m tests.short_of_memory <file>
"""

from __future__ import annotations

import sys
from pathlib import Path

from service.cli import node_process


def main(file: Path) -> int:
    node_process.patch("eventlet")
    from service import memory

    memory.available_percent.__code__ = (lambda: 0.0).__code__
    memory.HostMemory.__init__.__defaults__ = (
        lambda: float(file.read_text()),
        *memory.HostMemory.__init__.__defaults__[1:],  # type: ignore[index]
    )
    return node_process.main()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
