"""What a scenario has at hand: lines to nodes, adapters, tokens, and what the service says is stored."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import inspect
import json
import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from muster_client.socket import Reply, Socket

from clients.conformance.adapter import Adapter, Client
from clients.conformance.proxy import Line
from tests.support.waiting import Stopwatch


class Nodes(Protocol):
    """The service: two nodes over one Redis, with a login and a worker."""

    ports: Sequence[int]

    def token(self, role: str, *, lifetime_s: float | None = None, **claims: Any) -> str:
        """Return a token."""

    def kill(self, node: int) -> None:
        """Kill -9; another one is started in its place by `restore`."""

    def drain(self, node: int) -> None:
        """Ask a node to stop, and return when it has."""

    def restore(self) -> None:
        """Have two nodes again."""

    def pause_store(self) -> None:
        """Let Redis answer no request."""

    def resume_store(self) -> None:
        """Let it answer again."""

    def trim_feed(self) -> None:
        """Forget all changes of the fleet."""

    def forget_epoch(self) -> None:
        """Let Redis look like one that was emptied, to who watches."""

    def forget_updates(self, session_id: str, last_seq: int) -> None:
        """Let Redis look like one that lost the last acked updates of a session."""

    def create(self, prefix: str, count: int, project_id: str) -> None:
        """Make sessions without a device."""


class World:
    """Of one scenario; `close` it in the end.

    Args:
        nodes: The service.
        command: Of the adapter.
        shared: An adapter that others use too; it is not to be killed.
        folder: For buffers and logs.
        name: Of the scenario; ids begin with it.
    """

    def __init__(
        self, nodes: Nodes, command: Sequence[str], shared: Adapter, folder: Path, name: str
    ) -> None:
        self.nodes = nodes
        self._command, self._shared, self.folder, self.name = command, shared, folder, name
        self._count = 0
        self._lines: list[Line] = []
        self._adapters: list[Adapter] = []
        self._sockets: list[Socket] = []
        self._clients: list[Client] = []

    def new_id(self) -> str:
        """Return a new id."""
        self._count += 1
        return f"{self.name}-{self._count}"

    # -- what it makes ----------------------------------------------------------------------

    async def line(self, node: int = 0) -> Line:
        """Return a line to a node."""
        made = Line(self.nodes.ports[node])
        self._lines.append(made)
        await made.start()
        return made

    async def lines(self) -> tuple[Line, Line]:
        """Return a line to each node."""
        return await self.line(0), await self.line(1)

    async def adapter(self, clock_s: float = 0.0) -> Adapter:
        """Return an adapter of its own, which may be killed."""
        made = Adapter(self._command, self.folder / "adapter.log", clock_s)
        self._adapters.append(made)
        await made.start()
        return made

    def url(self, node: int = 0) -> str:
        """Return the address of a node, without a line."""
        return f"http://127.0.0.1:{self.nodes.ports[node]}"

    async def device(
        self,
        *lines: Line,
        device_id: str | None = None,
        adapter: Adapter | None = None,
        buffer: str | None = None,
        **fields: Any,
    ) -> Client:
        """Open a device on these lines; without any: straight to the first node."""
        session_id = device_id or self.new_id()
        if not fields.keys() & {"token", "tokens"}:
            fields["token"] = self.nodes.token("device", device=session_id)
        if buffer is not None:
            fields["buffer"] = str(self.folder / buffer)
        made = Client(adapter or self._shared, "device", f"{self.new_id()}-client", session_id)
        urls = [line.url for line in lines] or [self.url()]
        await made.ask("open", urls=urls, device_id=session_id, **fields)
        self._clients.append(made)
        return made

    async def online(self, *lines: Line, **fields: Any) -> Client:
        """Open a device and wait until it is registered."""
        made = await self.device(*lines, **fields)
        await self.until(lambda: "online" in made.states, what="the device is online")
        return made

    async def fleet(self, *lines: Line, **fields: Any) -> Client:
        """Open a fleet and wait until it is live."""
        if not fields.keys() & {"token", "tokens"}:
            fields["token"] = self.nodes.token("viewer")
        made = Client(self._shared, "fleet", f"{self.new_id()}-client")
        urls = [line.url for line in lines] or [self.url()]
        await made.ask("open", urls=urls, **fields)
        self._clients.append(made)
        await self.until(lambda: made.changes("reset") or made.events("fleet_ended"))
        return made

    async def operator(self, call: str, *, line: Line | None = None, **fields: Any) -> Any:
        """Let the SDK's operator do something."""
        url = self.url(1) if line is None else line.url
        token = self.nodes.token("operator")
        return await self._shared.ask("operator", call=call, url=url, token=token, **fields)

    async def socket(
        self, session_id: str, node: int = 0, on_event: Callable[..., Any] | None = None
    ) -> Socket:
        """Return a bare connection with a device's token; it registers nothing by itself."""

        def heard(event: str, payload: Any, reply: Reply | None) -> None:
            if on_event is not None:
                on_event(event, payload, reply)

        auth = {"token": self.nodes.token("device", device=session_id)}
        made = await Socket.connect(self.url(node), heard, auth)
        self._sockets.append(made)
        return made

    # -- the truth --------------------------------------------------------------------------

    async def rest(
        self, method: str, path: str, body: Any = None, node: int = 1
    ) -> tuple[int, Any]:
        """Return status and body of a request by an admin."""
        return await asyncio.to_thread(self._rest, method, path, body, node)

    def _rest(self, method: str, path: str, body: Any, node: int) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.nodes.token('admin')}"}
        content = None
        if body is not None:
            content, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", self.nodes.ports[node], timeout=60)
        try:
            connection.request(method, f"/api/v1{path}", content, headers)
            response = connection.getresponse()
            text = response.read()
            return response.status, json.loads(text) if text else None
        finally:
            connection.close()

    async def ok(self, method: str, path: str, body: Any = None, node: int = 1) -> Any:
        """Return the body of a request that must succeed."""
        status, answer = await self.rest(method, path, body, node)
        assert status < 300, (method, path, status, answer)
        return answer

    async def session(self, session_id: str) -> Any:
        """Return a session with its data, {} where there is none."""
        status, found = await self.rest("GET", f"/sessions/{quote(session_id, safe='')}")
        return found if status == 200 else {}

    async def samples(self, session_id: str, key: str = "n") -> list[Any]:
        """Return `[value, ts]` of a data key as it is stored, oldest first."""
        found: list[Any] = (await self.session(session_id)).get("data", {}).get(key, [])
        return found

    async def values(self, session_id: str, key: str = "n") -> list[Any]:
        """Return the values of a data key as they are stored, oldest first."""
        return [value for value, _ in await self.samples(session_id, key)]

    async def report(self, session_id: str, node: int = 1, **values: Any) -> None:
        """Store a sample for each key without a device."""
        body = {"telemetry": values}
        await self.ok("POST", f"/sessions/{quote(session_id, safe='')}/telemetry", body, node)

    async def create(self, project_id: str = "") -> str:
        """Make a session without a device; return its id."""
        session_id = self.new_id()
        self.nodes.create(session_id, 1, project_id)
        return f"{session_id}-0"

    async def command(self, session_id: str, name: str, params: Any = None) -> str:
        """Send a command; return its id."""
        body = {"command": name, "params": params}
        answer = await self.ok("POST", f"/sessions/{session_id}/commands", body)
        return str(answer["command_id"])

    async def ended(self, session_id: str, command_id: str) -> Any:
        """Return a command when it has its final status, and adapters have said what they had to say of it."""

        async def final() -> Any:
            found = await self.ok("GET", f"/sessions/{session_id}/commands/{command_id}")
            return found if found["status"] in FINAL else None

        found = await self.until(final, what="the command has ended")
        await self.catch_up()
        return found

    async def catch_up(self) -> None:
        """Read everything that adapters have written by now: the service may be faster than their pipes."""
        for adapter in [self._shared, *self._adapters]:
            if adapter.is_running:
                await adapter.ask("hello")

    async def until(
        self, predicate: Callable[[], Any], timeout_s: float = 30.0, what: str = ""
    ) -> Any:
        """Return the first true answer; checked at each line of an adapter, and every 0.1 s."""
        watch = Stopwatch()
        while True:
            for adapter in [self._shared, *self._adapters]:
                adapter.heard.clear()
            answer = predicate()
            if inspect.isawaitable(answer):
                answer = await answer
            if answer:
                return answer
            assert watch.quiet_s < timeout_s, f"{what or 'a condition'}: not within {timeout_s} s"
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._shared.heard.wait(), 0.1)

    async def both(self, work: Awaitable[Any], fault: Awaitable[None]) -> Any:
        """Return what `work` returns, while `fault` happens."""
        answer, _ = await asyncio.gather(work, fault)
        return answer

    # -- files ------------------------------------------------------------------------------

    def copy(self, buffer: str, to: str) -> None:
        """Copy a buffer, whatever files it has, over another one."""
        for old in self.folder.glob(f"{to}*"):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        for part in list(self.folder.glob(f"{buffer}*")):
            target = self.folder / (to + part.name[len(buffer) :])
            shutil.copytree(part, target) if part.is_dir() else shutil.copy(part, target)

    # -- its end ----------------------------------------------------------------------------

    async def close(self) -> None:
        """End everything."""
        for line in self._lines:
            await line.stop()
        for client in self._clients:
            if client.adapter is self._shared:
                with contextlib.suppress(Exception):  # it was stopped, or its adapter has ended
                    await client.ask("stop" if client.id else "close")
        for adapter in self._adapters:
            await adapter.kill()
        for socket in self._sockets:
            await socket.leave("the scenario is over")


FINAL = frozenset({"succeeded", "failed", "expired", "timed_out", "cancelled"})


def text_of(line: Line) -> str:
    """Return everything a client sent on a line."""
    return "\n".join(line.up.texts)


def registers(line: Line) -> int:
    """Return how often clients registered on a line."""
    return sum('"register"' in text[:30] for text in line.up.texts)
