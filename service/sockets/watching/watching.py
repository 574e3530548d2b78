"""Watching, by `register_vue`: a snapshot, then every change after it.

A dashboard whose cursor can be recovered gets no snapshot, only the changes since. Every other one
gets the snapshot in pages; the changes begin with the answer to the last page, from the position
that the feed had before the first page was read (snapshot.py says why).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from service import errors
from service.live.feed.choice import Choice
from service.live.feed.counts import CountStore, counts_of
from service.live.feed.position import Position
from service.live.feed.scope import Scope
from service.sockets.dispatch import LATER, Call, Later, Peer
from service.sockets.events.payloads import RegisterVue
from service.sockets.watching.snapshot import SessionLists, Wish, read_page


class Sessions(SessionLists, CountStore, Protocol):
    """The part of the session store that snapshots read."""


class Changes(Protocol):
    """The part of the feed that deals with cursors."""

    keys: Any

    def head(self, partitions: Iterable[int]) -> Position: ...
    def encode_cursor(self, scope: Scope, position: Position) -> str: ...
    def decode_cursor(self, scope: Scope, text: object) -> Position | None: ...
    def recoverable(self, position: Position) -> bool: ...


class Subscriptions(Protocol):
    """Subscribes sockets of this node to changes."""

    def subscribe(
        self,
        sid: str,
        scope: Scope,
        *,
        batch: bool,
        interval_ms: int | None,
        prompt: bool,
        start: Position,
        is_stale: bool,
    ) -> None: ...
    def behind_s(self, scope: Scope) -> float | None: ...
    def unsubscribe(self, sid: str) -> None: ...


class Watching:
    """What this node's dashboards watch.

    Args:
        nodes: public URLs of the living nodes.
    """

    def __init__(
        self,
        store: Sessions,
        feed: Changes,
        fanout: Subscriptions,
        nodes: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._store = store
        self._feed = feed
        self._fanout = fanout
        self._nodes = nodes

    def register_vue(self, call: Call) -> Later:
        """Answer a page or recover a cursor. The last answer replaces what the socket watched before."""
        payload = RegisterVue.parse(call.payload)
        if payload.page is not None:
            wish = Wish.from_token(payload.page)
            wanted = RegisterVue.parse(
                wish.asked
            )  # the token comes from the client: check it again
            scope = self._scope(call, wanted.scope, wanted)
            return self._next_page(call, scope, wanted, wish)
        # refuses keys that are given twice, too
        scope = self._scope(call, (call.payload or {}).get("scope"), payload)
        if payload.cursor is not None:
            position = self._feed.decode_cursor(scope, payload.cursor)
            if position is not None and self._feed.recoverable(position):
                return self._recover(call, scope, payload, position)
        start = self._feed.head(scope.partitions(self._feed.keys))
        asked = payload.model_dump(exclude={"cursor", "page"})
        wish = Wish(asked, self._feed.encode_cursor(scope, start))
        return self._next_page(call, scope, payload, wish)

    @staticmethod
    def _scope(call: Call, scope: object, wanted: RegisterVue) -> Scope:
        choice = Choice.of(wanted.samples, wanted.values)
        return Scope.parse(scope).within(call.peer.identity.projects).choosing(choice)

    def _recover(self, call: Call, scope: Scope, wanted: RegisterVue, position: Position) -> Later:
        counts = counts_of(self._store, scope)
        self.end(call.peer)
        body: dict[str, Any] = {"recovered": True, "cursor": wanted.cursor, "counts": counts}
        body["nodes"] = self._nodes()
        behind = self._behind(scope)
        call.reply({**body, **behind, "active": [], "inactive": []})
        self._begin(call.peer, scope, wanted, position, is_stale=bool(behind))
        return LATER

    def _next_page(self, call: Call, scope: Scope, wanted: RegisterVue, wish: Wish) -> Later:
        start = self._feed.decode_cursor(scope, wish.start)
        if start is None:
            raise errors.InvalidRequest("`page` is not a token of this service.")
        page = read_page(self._store, scope, wish)
        counts = counts_of(self._store, scope)
        self.end(call.peer)
        body: dict[str, Any] = {"recovered": False, "counts": counts, "nodes": self._nodes()}
        body |= {"active": page.active, "inactive": page.inactive}
        if page.next is not None:
            call.reply({**body, "cursor": None, "next": page.next.token()})
        else:
            behind = self._behind(scope)
            call.reply({**body, **behind, "cursor": wish.start})
            self._begin(call.peer, scope, wanted, start, is_stale=bool(behind))
        return LATER

    def _behind(self, scope: Scope) -> dict[str, Any]:
        """Return what is added to an answer where the changes after it do not come as they happen."""
        behind_s = self._fanout.behind_s(scope)
        return {} if behind_s is None else {"stale": True, "behind_s": behind_s}

    def _begin(
        self, peer: Peer, scope: Scope, wanted: RegisterVue, start: Position, *, is_stale: bool
    ) -> None:
        if not peer.closed:  # the subscription of a closed socket would never end
            peer.dashboard = scope
            self._fanout.subscribe(
                peer.sid,
                scope,
                batch=wanted.batch,
                interval_ms=wanted.interval_ms,
                prompt=wanted.prompt,
                start=start,
                is_stale=is_stale,
            )

    def end(self, peer: Peer) -> None:
        """Send no more changes to this socket."""
        if peer.dashboard is not None:
            peer.dashboard = None
            self._fanout.unsubscribe(peer.sid)
