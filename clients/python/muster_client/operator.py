"""Operators: commands, setups, histories and the archive, over REST."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from muster_client import rest_types
from muster_client.errors import NotConnected, Refused
from muster_client.rest import Rest, in_path

Wait = Literal["queued", "delivered", "result"]

#: The service waits so long for a job, and then says which one it is.
_JOB_S = 30.0


#: Devices of a bulk command per request: as many as the service gives.
_MOST_DEVICES = 500


class Operator:
    """Steers a fleet; may be used from several threads. `close` it in the end, or `with` it.

    Args:
        url: Of a node or balancer.
        token: Shown to the service, or a function that gives it.
        timeout_s: Of a request that waits for nothing.
        retries: How often a request is repeated that can be repeated without harm.
    """

    def __init__(
        self,
        url: str,
        token: str | Callable[[], str] | None = None,
        *,
        timeout_s: float = 30.0,
        retries: int = 3,
    ) -> None:
        self._rest = Rest(url, token, timeout_s)
        self._timeout_s = timeout_s
        self._retries = retries

    def close(self) -> None:
        """Close its connections."""
        self._rest.close()

    def __enter__(self) -> Operator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(
        self, method: str, path: str, body: Any = None, *, done: str = "", **options: Any
    ) -> Any:
        """Return the body of an answer; repeat where the reply was lost or the service asks for it.

        Args:
            done: Code that means, after a reply that was lost, that the lost request did it.
        """
        was_lost = False
        for attempt in range(self._retries + 1):
            try:
                return self._rest(method, path, body, **options)[1]
            except (NotConnected, Refused) as error:
                if was_lost and isinstance(error, Refused) and error.code == done:
                    return None
                was_lost = was_lost or isinstance(error, NotConnected)
                again = isinstance(error, NotConnected) or error.retryable
                if not again or attempt == self._retries:
                    raise
                after = getattr(error, "retry_after_s", None)
                time.sleep(0.2 * 2**attempt if after is None else min(after, 10.0))
        raise AssertionError("unreachable")

    # -- sessions ---------------------------------------------------------------------------

    def sessions(self, **filters: Any) -> Iterator[rest_types.Summary]:
        """Yield summaries of sessions, page by page.

        Args:
            filters: `state`, `q`, `project_id`, `node_id`, `limit` (of a page), `values` (a list of data
                keys), as docs/api.md has them.
        """
        cursor: str | None = None
        while True:
            page = self._ask("GET", "/sessions", query={**filters, "cursor": cursor})
            yield from page["sessions"]
            cursor = page.get("next")
            if not cursor:
                return

    def session(self, session_id: str) -> rest_types.Session:
        """Return a session with all its data, wherever it is.

        Raises:
            Refused: `session_not_found`.
        """
        found: rest_types.Session = self._ask("GET", f"/sessions/{in_path(session_id)}")
        return found

    def history(
        self, session_id: str, key: str, *, limit: int | None = None, since: float | None = None
    ) -> list[tuple[Any, float]]:
        """Return the samples of a data key, `(value, ts)`, oldest first."""
        path = f"/sessions/{in_path(session_id)}/data/{in_path(key)}"
        answer = self._ask("GET", path, query={"limit": limit, "since": since})
        return [(value, ts) for value, ts in answer["data"][key]]

    def series(
        self,
        session_id: str,
        keys: Sequence[str],
        step: float,
        *,
        agg: Literal["avg", "min", "max", "last", "count"] = "avg",
        since: float | None = None,
        until: float | None = None,
    ) -> rest_types.Data:
        """Return one point per interval of up to 20 data keys, by time, and how far back the samples go.

        Args:
            step: Length of an interval, seconds.
            agg: What a point says of its interval.
            since, until: Only samples at or after the first time and before the second, seconds since 1970.
        """
        path = f"/sessions/{in_path(session_id)}/data"
        query = {"keys": list(keys), "step": step, "agg": agg, "since": since, "until": until}
        found: rest_types.Data = self._ask("GET", path, query=query)
        return found

    def delete(self, session_id: str) -> None:
        """Delete a session everywhere; its device is disconnected."""
        self._ask("DELETE", f"/sessions/{in_path(session_id)}", done="session_not_found")

    def disconnect(
        self, session_id: str, *, retry_after_s: float | None = None
    ) -> rest_types.Disconnected:
        """Disconnect a session's device; its id is refused for `retry_after_s` (None: 60 s).

        Returns `{disconnected, retry_after_s, …}`.
        """
        body = {} if retry_after_s is None else {"retry_after_s": retry_after_s}
        path = f"/sessions/{in_path(session_id)}/disconnect"
        found: rest_types.Disconnected = self._ask("POST", path, body)
        return found

    def archive(self, session_id: str) -> rest_types.Summary | rest_types.JobAccepted:
        """Move a session to the archive now; return its summary, or after 30 s `{job_id, …}`."""
        return self._job(f"/sessions/{in_path(session_id)}/archive")

    def restore(self, session_id: str) -> rest_types.Summary | rest_types.JobAccepted:
        """Bring a session back from the archive; return as `archive` does."""
        return self._job(f"/sessions/{in_path(session_id)}/restore")

    def _job(self, path: str) -> rest_types.Summary | rest_types.JobAccepted:
        found: rest_types.Summary | rest_types.JobAccepted = self._ask(
            "POST", path, timeout_s=_JOB_S + self._timeout_s
        )
        return found

    # -- setups -----------------------------------------------------------------------------

    def setup(self, session_id: str) -> tuple[Any, int]:
        """Return a setup and its version."""
        answer = self._ask("GET", f"/sessions/{in_path(session_id)}/setup")
        return answer["setup"], int(answer["setup_version"])

    def put_setup(self, session_id: str, setup: Any, *, version: int | None = None) -> int:
        """Replace a setup; return its new version.

        Args:
            version: It has to be the present one; None: whatever it is.

        Raises:
            Conflict: It is not; the error has the present version.
            NotConnected: Whether it was replaced is not known.
        """
        return self._change("PUT", session_id, {"setup": setup}, version)

    def patch_setup(
        self, session_id: str, patch: Mapping[str, Any], *, version: int | None = None
    ) -> int:
        """Change a setup by a merge patch (RFC 7396); otherwise as `put_setup`."""
        return self._change("PATCH", session_id, patch, version)

    def _change(self, method: str, session_id: str, body: Any, version: int | None) -> int:
        headers = {} if version is None else {"If-Match": f'"{version}"'}
        path = f"/sessions/{in_path(session_id)}/setup"
        return int(self._rest(method, path, body, headers=headers)[1]["setup_version"])

    # -- commands ---------------------------------------------------------------------------

    def send_command(
        self,
        session_id: str,
        command: str,
        params: Any = None,
        *,
        wait: Wait = "queued",
        timeout_s: float = 30.0,
        ttl_s: float | None = None,
        idempotency_key: str | None = None,
    ) -> rest_types.Command:
        """Send a command to a device; return `{command_id, status, result?, error?}`.

        The request has an idempotency key, so it is repeated without harm when its answer is lost.

        Args:
            wait: Which step is waited for.
            timeout_s: For how long; then `Refused` `command_timeout`, and the command stays open.
            ttl_s: How long the command may take in all; None: the service's setting.
            idempotency_key: None: a new one.
        """
        body = {"command": command, "params": params, "wait": wait, "timeout_s": timeout_s}
        if ttl_s is not None:
            body["ttl_s"] = ttl_s
        path = f"/sessions/{in_path(session_id)}/commands"
        key = {"Idempotency-Key": idempotency_key or secrets.token_hex(16)}
        found: rest_types.Command = self._ask(
            "POST", path, body, headers=key, timeout_s=timeout_s + 30
        )
        return found

    def command(self, session_id: str, command_id: str) -> rest_types.Command:
        """Return a command as it stands."""
        path = f"/sessions/{in_path(session_id)}/commands/{in_path(command_id)}"
        found: rest_types.Command = self._ask("GET", path)
        return found

    def cancel(self, session_id: str, command_id: str) -> None:
        """Cancel a command that has not ended.

        Raises:
            Refused: `conflict`: it has ended; `command_not_found`.
        """
        path = f"/sessions/{in_path(session_id)}/commands/{in_path(command_id)}"
        if (
            self._ask("DELETE", path, done="conflict") is None
            and self.command(session_id, command_id)["status"] != "cancelled"
        ):
            raise Refused({"code": "conflict", "message": "The command has already ended."})

    def send_bulk(
        self,
        command: str,
        params: Any = None,
        *,
        session_ids: Sequence[str] | None = None,
        filter: Mapping[str, Any] | None = None,  # noqa: A002  the API's word
        ttl_s: float | None = None,
    ) -> str:
        """Send a command to many devices; return the id of the batch, for `bulk`.

        Args:
            session_ids: To these; or
            filter: to all that fit, `{}` being everybody.
        """
        body: dict[str, Any] = {"command": command, "params": params}
        if session_ids is not None:
            body["session_ids"] = list(session_ids)
        if filter is not None:
            body["filter"] = dict(filter)
        if ttl_s is not None:
            body["ttl_s"] = ttl_s
        key = {"Idempotency-Key": secrets.token_hex(16)}
        return str(self._ask("POST", "/commands", body, headers=key)["batch_id"])

    def bulk(self, batch_id: str) -> rest_types.Batch:
        """Return the state of a bulk command: `{state, statuses, …}`."""
        found: rest_types.Batch = self._ask("GET", f"/commands/{batch_id}", query={"limit": 1})
        return found

    def bulk_devices(self, batch_id: str) -> Iterator[rest_types.BatchDevice]:
        """Yield what became of a bulk command, device by device."""
        cursor: str | None = None
        while True:
            query = {"cursor": cursor, "limit": _MOST_DEVICES}
            page = self._ask("GET", f"/commands/{batch_id}", query=query)
            yield from page["devices"]
            cursor = page.get("next")
            if not cursor:
                return

    def wait_for_bulk(
        self, batch_id: str, timeout_s: float, every_s: float = 0.5
    ) -> rest_types.Batch:
        """Wait until no device has an open command; return the state then, or after `timeout_s`."""
        until = time.monotonic() + timeout_s
        open_words = {"waiting", "queued", "sent", "delivered"}
        while True:
            state = self.bulk(batch_id)
            done = state["state"] == "done" and not open_words & {
                word for word, count in state["statuses"].items() if count
            }
            if done or time.monotonic() > until:
                return state
            time.sleep(every_s)
