"""The end of a worker: SIGTERM or SIGINT, and how long it may take.

The job under way is finished, as long as Redis answers; then there are `END_S` to sign off, and after them
the process ends whatever a call still waits for. A Redis that hangs would otherwise be waited for by each of
them in turn.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable

from rq.exceptions import StopRequested

from service.endings import hear

log = logging.getLogger(__name__)

#: For all that is left once no job is under way.
END_S = 3.0
#: A Redis that has not answered for so long is not waited for any more.
PATIENCE_S = 3.0
_LOOK_S = 0.2


class Ending:
    """One per worker.

    Args:
        answers: asks Redis whether it is there, in a second or so.
        is_busy: whether a job is under way.
        horse: pid of its process; 0: there is none.
        leave: ends the process at once.
    """

    def __init__(
        self,
        answers: Callable[[], bool],
        is_busy: Callable[[], bool],
        horse: Callable[[], int],
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        self._answers = answers
        self._is_busy = is_busy
        self._horse = horse
        self._leave = leave
        #: A plain flag: it is set within signal handlers, which may take no lock.
        self.asked = False
        #: Whether a signal may break off what the main thread does; else it looks at `asked` soon.
        self.may_break = False

    def start(self) -> None:
        """Watch from now on, in a thread of its own."""
        threading.Thread(target=self._watch, name="ending", daemon=True).start()

    def catch_signals(self) -> None:
        """Handle SIGTERM and SIGINT where no worker of RQ does: between two of them, and before the first."""
        hear((signal.SIGTERM, signal.SIGINT), self._stop)

    def ask(self) -> None:
        """Ask this worker to end."""
        self.asked = True

    def _stop(self, *_: object) -> None:
        known, self.asked = self.asked, True
        if self.may_break and not known:
            raise StopRequested

    def _watch(self) -> None:
        while not self.asked:
            time.sleep(_LOOK_S)
        answered_s = time.monotonic()
        while self._is_busy() and time.monotonic() - answered_s < PATIENCE_S:
            if self._is_there():
                answered_s = time.monotonic()
            time.sleep(_LOOK_S)
        hangs = self._is_busy()
        if hangs and self._horse():
            _kill(self._horse())  # its job is taken up by another worker
        elif not hangs:
            time.sleep(END_S)
        about = {"action": "worker_left", "error": "Redis does not answer" if hangs else "too slow"}
        log.warning("the worker ends without signing off", extra=about)
        self._leave(0)

    def _is_there(self) -> bool:
        try:
            return self._answers()
        except Exception:  # noqa: BLE001 whatever it is: no answer
            return False


def _kill(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass  # it has just ended, or is not the leader of its group yet
