"""Session routes: lists, one session, its clients and its timeline."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Protocol

from flask import Response

from service import errors
from service.api.authentication import current_identity
from service.api.models import requests, responses
from service.api.openapi import PREFIX, Api
from service.api.parsing import wanted_tags
from service.api.paths import in_path
from service.api.respond import json_response, no_content, not_modified
from service.api.routes.histories import Histories, as_json, paged
from service.sessions import model
from service.sessions.latest_values import page_with_values
from service.sessions.model import Page, Snapshot
from service.sessions.store.index import details_of, is_match
from service.sessions.store.store import RedisSessionStore
from service.sessions.values import count_nodes


class Rules(Protocol):
    """The part of the session manager that creates, reads and deletes sessions."""

    def new_session(self, session_name: str = ..., project_id: str = ...) -> dict[str, str]: ...
    def read(self, session_id: str) -> Snapshot | None: ...
    def delete_session(self, session_id: str, *, expected: str = ...) -> None: ...
    def disconnect_device(self, session_id: str, retry_after_s: float = ...) -> bool: ...


STATES = {
    None: (model.ACTIVE, model.INACTIVE),
    "all": (model.ACTIVE, model.INACTIVE, model.ARCHIVED),
}


def _ids_of(page: Page) -> list[str]:
    return [row["session_id"] for row in page.items]


class Sessions:
    """The handlers."""

    def __init__(self, store: RedisSessionStore, rules: Rules, histories: Histories) -> None:
        self._store = store
        self._rules = rules
        self._histories = histories

    def list_sessions(self, query: requests.SessionsQuery) -> Response:
        """List sessions, page by page.

        Sessions of one state are listed in the order in which they entered it. Pages neither skip
        nor repeat a session while other sessions enter or leave that state. A page may have fewer
        sessions than `limit`, even none, and still have a `next`. With `values` it ends at 1 MiB of them.
        """
        keys = query.values
        page, values = page_with_values(
            self._store.index, keys, partial(self._page, query), _ids_of, query.limit
        )
        return json_response(
            {
                "sessions": [
                    model.summary(row, iso=True)
                    | ({"values": values[row["session_id"]]} if keys else {})
                    for row in page.items
                ],
                "next": page.next,
                "total": page.total,
            }
        )

    def _page(self, query: requests.SessionsQuery, limit: int) -> Page:
        cursor = query.cursor
        states = STATES.get(query.state) or (str(query.state),)
        q = query.q or None
        project_id, projects = current_identity().narrow(query.project_id)
        if not query.node_id:
            return self._store.index.page(
                states,
                limit=limit,
                cursor=cursor,
                q=q,
                project_id=project_id,
                projects=projects,
            )
        page = self._store.fleet.page_of_node(query.node_id, limit=limit, cursor=cursor)
        rows = [
            row
            for row in page.items
            if row.get("state") in states
            and is_match(row, q)
            and (project_id is None or row.get("project_id") == project_id)
            and current_identity().sees(row.get("project_id"))
        ]
        return Page(rows, page.next, None)

    def create_session(self, body: requests.NewSession) -> Response:
        """Create a session; the service chooses its id."""
        project_id = current_identity().one_project(body.project_id) or ""
        made = self._rules.new_session(body.session_name, project_id)
        location = url_of(made["session_id"])
        return json_response(model.summary(made, iso=True), 201, Location=location)

    def get_session(
        self,
        path: requests.SessionPath,
        query: requests.SessionQuery,
        header: requests.IfNoneMatch,
    ) -> Response:
        """Get a session with its setup, statistics, timeline and all samples, or with the newest ones.

        The ETag changes with `generation` and `rev`: with every sample and every other change that
        the archive keeps. It does not change with heartbeats or the time connected.
        """
        outline = self._store.histories.outline(path.session_id)
        snapshot = outline or self._archived(path.session_id)
        tag = tag_of(snapshot.fields)
        unchanged = not_modified(tag)
        if unchanged is not None:
            return unchanged
        shown = details_of(snapshot, iso=True)
        keys = list(shown.pop("data"))
        pages = self._histories.of(path.session_id, keys, query.limit)
        if (
            snapshot is not outline or query.limit == 1
        ):  # of the archive, or all of it is in the outline
            newest = -query.limit if query.limit else None
            pages = paged((name, samples[newest:]) for name, samples in snapshot.histories.items())
        response = Response(as_json(shown, pages), content_type="application/json")
        response.set_etag(tag)
        return response

    def _snapshot(self, session_id: str) -> Snapshot:
        """Return a session; its whole histories are included only if it is in the archive.

        Raises:
            SessionNotFound
        """
        return self._store.histories.outline(session_id) or self._archived(session_id)

    def _archived(self, session_id: str) -> Snapshot:
        snapshot = self._rules.read(session_id)
        if snapshot is None:
            raise errors.SessionNotFound(session_id=session_id)
        return snapshot

    def get_session_info(self, path: requests.SessionPath) -> Response:
        """Get a short description of a session."""
        shown = details_of(self._snapshot(path.session_id), iso=True)
        return json_response(
            {
                "session_id": path.session_id,
                "metadata": {
                    name: shown[name] for name in ("created_at", "last_activity", "active_clients")
                },
                "project_id": shown["project_id"],
                "node_count": count_nodes(shown["setup"]),
                "undo_available": shown["undo_available"],
                "redo_available": shown["redo_available"],
            }
        )

    def delete_session(self, path: requests.SessionPath, header: requests.IfMatch) -> Response:
        """Delete a session from Redis and from disk; its device is notified and disconnected."""
        tags = wanted_tags()
        if tags is not None and len(tags) != 1:
            present = tag_of(self._snapshot(path.session_id).fields)
            tags = [tag for tag in tags if tag == present]
            if not tags:
                raise errors.PreconditionFailed(session_id=path.session_id)
        self._rules.delete_session(path.session_id, expected=tags[0] if tags else "")
        return no_content()

    def disconnect_device(self, path: requests.SessionPath, body: requests.Disconnect) -> Response:
        """Disconnect the session's device, and refuse its id for a while.

        The device receives `kicked` and is closed; a request of it that waits ends. Until
        `retry_after_s` have passed, its registers and reports are `rate_limited` on every node. It is
        no ban: then it is welcome again. An archived session comes back for it.
        """
        was_there = self._rules.disconnect_device(path.session_id, body.retry_after_s)
        answer = {"session_id": path.session_id, "disconnected": was_there}
        return json_response({**answer, "retry_after_s": body.retry_after_s})

    def get_timeline(self, path: requests.SessionPath) -> Response:
        """List the last lifecycle events of a session, oldest first."""
        shown = details_of(self._snapshot(path.session_id), iso=True)
        return json_response({"session_id": path.session_id, "timeline": shown["timeline"]})

    def get_clients(self, path: requests.SessionPath) -> Response:
        """List the clients that have joined the session, on any node."""
        if self._store.index.summaries([path.session_id]) == [None]:
            raise errors.SessionNotFound(session_id=path.session_id)
        clients = [
            {
                "client_id": hashlib.sha256(one.sid.encode()).hexdigest()[:16],
                "node_id": one.node_id,
                "name": one.name,
                "since": model.to_iso(one.since_ms),
            }
            for one in self._store.ownership.named_clients(path.session_id)
        ]
        return json_response(
            {"session_id": path.session_id, "active_clients": len(clients), "clients": clients}
        )


def tag_of(fields: dict[str, str]) -> str:
    """Return the ETag of a session, without quotes."""
    return f"{fields['generation']}-{fields.get('rev') or 0}"


def url_of(session_id: str) -> str:
    """Return the URL path of a session."""
    return f"{PREFIX}/sessions/{in_path(session_id)}"


def register(api: Api, sessions: Sessions) -> None:
    """Add the routes."""
    not_found = (errors.SessionNotFound,)
    one = "/sessions/<segment:session_id>"
    tag = "sessions"
    api.add("GET", "/sessions", sessions.list_sessions, tag=tag,
            returns={200: responses.SessionsPage})  # fmt: skip
    api.add("POST", "/sessions", sessions.create_session, tag=tag,
            returns={201: responses.Summary}, headers=["Location"],
            raises=(errors.Overloaded,))  # fmt: skip
    api.add("GET", one, sessions.get_session, tag=tag, raises=not_found,
            returns={200: responses.Session, 304: None}, headers=["ETag"])  # fmt: skip
    api.add("GET", one + "/info", sessions.get_session_info, tag=tag, raises=not_found,
            returns={200: responses.SessionInfo})  # fmt: skip
    api.add("DELETE", one, sessions.delete_session, tag=tag, returns={204: None},
            raises=(errors.SessionNotFound, errors.PreconditionFailed))  # fmt: skip
    api.add("POST", one + "/disconnect", sessions.disconnect_device, tag=tag, raises=not_found,
            returns={200: responses.Disconnected})  # fmt: skip
    api.add("GET", one + "/timeline", sessions.get_timeline, tag=tag, raises=not_found,
            returns={200: responses.Timeline})  # fmt: skip
    api.add("GET", one + "/clients", sessions.get_clients, tag=tag, raises=not_found,
            returns={200: responses.Clients})  # fmt: skip
