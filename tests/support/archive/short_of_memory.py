"""A node on a machine whose available memory a test decides: it writes the percentage to a file.

python -m tests.support.archive.short_of_memory <file>
"""

from __future__ import annotations

import sys
from pathlib import Path

from service.cli import node_process


def main(file: Path) -> int:
    node_process.patch("eventlet")
    from service.observability import host_memory

    host_memory.available_percent.__code__ = (lambda: 0.0).__code__
    host_memory.HostMemory.__init__.__defaults__ = (
        lambda: float(file.read_text()),
        *host_memory.HostMemory.__init__.__defaults__[1:],  # type: ignore[index]
    )
    return node_process.main()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
