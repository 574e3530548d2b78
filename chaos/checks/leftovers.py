"""What nodes and workers hold when everybody has left: no more than at the beginning."""

from __future__ import annotations

from chaos.evidence import Evidence

#: How much more there may be than before the first client, where not the same. Memory that was freed
#: stays with the process in part. Connections to Redis are kept for the next burst, up to
#: `redis.max_connections` (50), and each of a node's 20 threads has a selector once it waited in it. A
#: worker has a process of RQ, which has one for the job at work.
MORE = {"MiB of memory": 64.0, "descriptors": 75.0, "threads": 4.0, "children": 2.0}


def none(evidence: Evidence) -> list[str]:
    """Find processes with more memory, descriptors, threads, children or clients than before."""
    return [
        f"{process} has {after:.0f} {name}, and had {before:.0f} before the first client"
        for process, amounts in evidence.leftovers.items()
        for name, (before, after) in amounts.items()
        if after > before + MORE.get(name, 0.0)
    ]
