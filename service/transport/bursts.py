"""Bursts: frames that leave together, with one system call."""

from __future__ import annotations

#: Frames are joined up to about this much.
BURST_BYTES = 64 * 1024
#: A larger frame leaves alone: it is not copied into a burst.
LARGE_BYTES = 16 * 1024
#: So few frames are measured together.
FEW = 16


def take_burst(out: list[bytes]) -> bytes:
    """Remove the next burst from the frames that wait; there is at least one."""
    if len(out) <= FEW and (len(out) == 1 or sum(map(len, out)) <= LARGE_BYTES):  # nearly always
        burst = b"".join(out) if len(out) > 1 else out[0]
        out.clear()
        return burst
    size = count = 0
    for frame in out:
        if size + len(frame) > BURST_BYTES or (count and len(frame) > LARGE_BYTES):
            break
        size += len(frame)
        count += 1
    count = count or 1
    burst = out[0] if count == 1 else b"".join(out[:count])
    del out[:count]
    return burst
