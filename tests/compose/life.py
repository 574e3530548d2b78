"""Devices and dashboards that go on while nodes die, drain and come."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.compose.clients import POLLING, WEBSOCKET, Talker, Visitor, Watcher, visitors
from tests.compose.stack import Stack
from tests.support.system.processes import environment
from tests.support.waiting import wait_until


def stored(stack: Stack, token: str, session_id: str) -> list[int]:
    """The kept values of `n`."""
    visitor = Visitor(stack.url, token)
    with visitors(visitor):
        for event in ("get_active_session", "get_inactive_session"):
            answer = visitor.call(event, {"device_id": session_id})
            if answer["ok"]:
                return [value for value, _ in answer["session"]["data"]["n"]]
    raise AssertionError(f"{session_id} is not there: {answer}")


class Life:
    """Devices and dashboards over both transports, and a fleet besides, while something happens."""

    def __init__(self, stack: Stack, admin: str, name: str) -> None:
        self.stack, self.admin = stack, admin
        self.watchers = [Watcher(stack.url, admin, way) for way in (POLLING, WEBSOCKET)]
        self.talkers = [
            Talker(stack.url, admin, f"{name}-{way[0]}-{n}", way)
            for n in range(4)
            for way in (POLLING, WEBSOCKET)
        ]
        words = ("simulate", "--devices", "30", "--rate", "4", "--seconds", "1000", "--json")
        where = ("--url", stack.url, "--prefix", f"{name}-sim-")
        self._fleet = subprocess.Popen(
            [sys.executable, "-P", "-m", "service.cli", *words, *where],
            env=environment(MUSTER_TOKEN=admin),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def await_progress(self) -> None:
        """Everybody has gone on since now."""
        before = {talker.session_id: len(talker.acked) for talker in self.talkers}
        wait_until(
            lambda: all(len(t.acked) > before[t.session_id] + 20 for t in self.talkers),
            60,
            what="every device goes on: " + str([t.problems[-2:] for t in self.talkers]),
        )

    def end(self, *, begun_anew: bool = False) -> dict[str, Any]:
        """Nothing acked is missing, no dashboard has a gap or a repetition; the fleet's summary.

        Args:
            begun_anew: dashboards were told to, because Redis may have lost something.
        """
        for talker in self.talkers:
            talker.stop()
        for talker in self.talkers:
            kept = stored(self.stack, self.admin, talker.session_id)
            assert kept[: len(talker.acked)] == talker.acked, "\n".join(talker.story)
            assert len(kept) - len(talker.acked) <= 1  # the last one's ack was not waited for
            for watcher in self.watchers:
                wait_until(
                    lambda w=watcher, t=talker: w.values[t.session_id][-1] >= t.acked[-1], 10
                )
                told = watcher.values[talker.session_id]
                assert told == list(range(told[0], told[-1] + 1)), "\n".join(
                    [*watcher.story, *map(str, watcher.problems)]
                )
        for watcher in self.watchers:
            watcher.stop()
            assert watcher.recoveries[0] is False
            assert begun_anew or all(watcher.recoveries[1:]), watcher.recoveries
        self._fleet.terminate()
        output, _ = self._fleet.communicate(timeout=60)
        summary: dict[str, Any] = json.loads(output)
        assert summary["acked"] > 0
        assert summary["lost"] == 0, summary
        return summary

    def close(self) -> None:
        for one in (*self.talkers, *self.watchers):
            one.stop()
        if self._fleet.poll() is None:
            self._fleet.kill()
        self._fleet.wait(10)
        if self._fleet.stdout is not None:
            self._fleet.stdout.close()
