"""`muster sessions tail`: reads the feed, like a dashboard of one session without a node."""

from __future__ import annotations

import json
import time
from typing import Any

import typer

from service.cli import options
from service.live.feed.entries import Command, Part, Routes, State
from service.live.feed.feed import Feed
from service.live.feed.position import FeedLost
from service.live.feed.scope import Scope
from service.observability.logs import escape
from service.redis_access.clients import redis_factory
from service.sessions.store.store import RedisSessionStore

#: Between two looks at the end of the feed.
_EVERY_S = 0.2


class Printer:
    """A sink that writes each change as a line."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self.deleted = False
        self._state: dict[str, Any] = {}

    def add_data(self, part: Part, _partition: int, _number: int) -> None:
        for place, (key, value, ts) in enumerate(part.samples):
            rev = part.first_rev + place
            if self._as_json:
                self._write({"kind": "sample", "key": key, "value": value, "ts": ts, "rev": rev})
            else:
                self._say(ts, f"{key} = {json.dumps(value, ensure_ascii=False)}")

    def add_state(self, state: State, _partition: int, _number: int) -> None:
        summary = json.loads(state.summary_json)
        if self._as_json:
            self._write({"kind": "state", "session": summary})
        else:
            shown = ("state", "node_id", "setup_version", "active_clients", "disconnect_reason")
            changed = [f"{k}={summary[k]}" for k in shown if summary[k] != self._state.get(k)]
            self._say(summary["last_activity"], f"[{' '.join(changed) or 'changed'}]")
        self._state = summary

    def add_removed(self, _session: bytes, _partition: int, _number: int) -> None:
        self.deleted = True
        if self._as_json:
            self._write({"kind": "removed"})
        else:
            self._say(time.time(), "[deleted]")

    def add_command(self, command: Command, _partition: int, _number: int) -> None:
        payload = json.loads(command.payload)
        if self._as_json:
            self._write({"kind": "command", **payload})
        else:
            text = f"[command {payload['command']}: {payload['status']}]"
            self._say(payload["at"], text)

    def _say(self, seconds: float | None, text: str) -> None:
        typer.echo(escape(f"{options.when(seconds)}  {text}"))

    def _write(self, line: dict[str, Any]) -> None:
        typer.echo(options.harmless_json(line))


def follow(url: str, store: RedisSessionStore, session_id: str, *, as_json: bool) -> None:
    """Write every change of a session from now on until it is deleted, or Ctrl-C."""
    feed = Feed(redis_factory(url), store.keys, store.samples)
    partition = store.keys.partition(session_id)
    routes, printer = Routes(), Printer(as_json)
    routes.add(Scope.parse({"sessions": [session_id]}), printer)
    head = store.samples.open_feed(partition)
    epoch, after = head.epoch, head.last
    try:
        while not printer.deleted:
            head = store.samples.open_feed(partition)
            if head.epoch != epoch:
                raise FeedLost(partition, "epoch_changed")
            while after < head.last and not printer.deleted:
                (chunk,) = feed.read_range({partition: (after, head.last)})
                chunk.check(epoch, after)
                for number, fields in chunk.entries:
                    routes.route(partition, number, fields)
                    after = number
            time.sleep(_EVERY_S)
    except FeedLost as exc:
        typer.echo(f"Redis lost changes ({exc}): run the command again.", err=True)
        raise typer.Exit(1) from exc
    except KeyboardInterrupt:
        pass
    finally:
        feed.close()
