"""Everything in a queue of jobs, done by a real worker in a process of its own, within a bound.

RQ's worker forks for each job, waits for it as long as the job may take (an hour for some), and meanwhile takes
SIGALRM for itself, which ends a test that hangs. A fork of a process with threads may hang. So neither happens in
the process of the tests.
"""

from __future__ import annotations

import os
import signal
import traceback

from tests.support.waiting import wait_until
from workers import queue as queues

#: Longer than any burst of a test takes on a busy machine.
BOUND_S = 120


def work(queue: queues.JobsQueue) -> None:
    """Do all jobs that are in the queue now; what the test has replaced is replaced there too."""
    pid = os.fork()
    if not pid:
        _child(queue)
    os.setpgid(pid, pid)  # here too: whoever comes first
    codes: list[int] = []

    def ended() -> bool:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            codes.append(os.waitstatus_to_exitcode(status))
        return bool(found)

    try:
        wait_until(ended, BOUND_S, what="worker has emptied its queue")
    finally:
        if not codes:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    assert codes == [0], "the worker failed: see what it printed"


def _child(queue: queues.JobsQueue) -> None:
    code = 1
    try:
        os.setpgid(0, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        queue.connection.connection_pool.reset()
        queues.open_worker(queue, f"test-{os.urandom(4).hex()}").work(burst=True)
        code = 0
    except BaseException:  # this process has nobody above it that would say so
        traceback.print_exc()
    finally:
        os._exit(code)
