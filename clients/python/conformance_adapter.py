"""The adapter of muster_client: requests as JSON lines, as clients/conformance/README.md has them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

if "CONFORMANCE_CLOCK_S" in os.environ:
    right, wrong_by_s = time.time, float(os.environ["CONFORMANCE_CLOCK_S"])
    time.time = lambda: right() + wrong_by_s

import muster_client
from muster_client import (
    AsyncDevice,
    AsyncFleet,
    BadBuffer,
    Bounds,
    BufferInUse,
    Conflict,
    NotConnected,
    Operator,
    Refused,
)

FEATURES = [
    *("device", "buffer", "bounds", "token_function", "clock"),
    *("fleet", "samples", "operator"),
]
_ERRORS = {
    BufferInUse: "buffer_in_use",
    BadBuffer: "bad_buffer",
    NotConnected: "not_connected",
    ValueError: "invalid",
    TypeError: "invalid",
}


def say(message: dict[str, Any]) -> None:
    """Write a line in one piece."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def tell(event: str, client: str, **fields: Any) -> None:
    """Write an event."""
    say({"event": event, "client": client, **fields})


def token_of(request: dict[str, Any]) -> Any:
    """Return the token of a request, or a function that goes through its `tokens`."""
    tokens = request.get("tokens")
    if tokens is None:
        return request.get("token")
    asked = 0

    def give() -> str:
        nonlocal asked
        index = min(asked, len(tokens) - 1)
        asked += 1
        tell("token", request["client"], index=index)
        return str(tokens[index])

    return give


class OneDevice:
    """A device and its functions."""

    def __init__(self, request: dict[str, Any]) -> None:
        client = self._client = request["client"]
        self._releases: asyncio.Queue[Any] = asyncio.Queue()
        known = ("name", "project_id", "meta", "buffer")
        self.device = AsyncDevice(
            request["urls"],
            request["device_id"],
            token=token_of(request),
            bounds=Bounds(**request.get("bounds", {})),
            on_state=lambda state, why: tell("state", client, state=state, why=why),
            on_drop=lambda count: tell("dropped", client, count=count),
            on_refused=lambda key, error: tell("refused", client, key=key, error=dict(error)),
            **{name: request[name] for name in known if name in request},
        )
        self.device.command("echo")(self._echo)
        self.device.command("fail")(self._fail)
        self.device.command("hold")(self._hold("hold"))
        self.device.command("hold_again", repeatable=True)(self._hold("hold_again"))
        if request.get("setups"):
            self.device.on_setup(self._setup)
        self.device.start()

    def _echo(self, params: Any) -> Any:
        tell("command", self._client, name="echo", params=params)
        return params

    def _fail(self, params: Any) -> None:
        tell("command", self._client, name="fail", params=params)
        raise RuntimeError(params)

    def _hold(self, name: str) -> Callable[[Any], Any]:
        async def hold(params: Any) -> Any:
            tell("command", self._client, name=name, params=params)
            return await self._releases.get()

        return hold

    def _setup(self, setup: Any, version: int) -> None:
        tell("setup", self._client, setup=setup, version=version)
        if isinstance(setup, dict) and setup.get("fail") is True:
            raise RuntimeError("it was asked to fail")

    async def do(self, what: str, request: dict[str, Any]) -> dict[str, Any]:
        """Carry out a request."""
        device = self.device
        if what == "send":
            device.send(request["values"], ts=request.get("ts"))
        elif what == "send_many":
            for number in range(request["first"], request["first"] + request["count"]):
                device.send({request["key"]: number})
        elif what == "flush":
            return {"stored": await device.flush(request["timeout_s"])}
        elif what == "status":
            return {"state": device.state, "why": device.why, "unacked": device.unacked}
        elif what == "release":
            self._releases.put_nowait(request.get("result"))
        elif what == "stop":
            await device.stop()
        else:
            raise NotImplementedError
        return {}


class OneFleet:
    """A fleet and a program that reads its changes."""

    def __init__(self, request: dict[str, Any]) -> None:
        self._client = request["client"]
        known = ("scope", "samples", "values", "interval_ms")
        given = {name: request[name] for name in known if name in request}
        self.fleet = AsyncFleet(request["urls"], token=token_of(request), **given)
        self._goes_on = asyncio.Event()
        self._goes_on.set()
        self._leave = asyncio.Event()
        self._watching = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        async with self.fleet:
            reading = asyncio.ensure_future(self._read())
            await self._leave.wait()
        await asyncio.wait({reading}, timeout=5)

    async def _read(self) -> None:
        try:
            async for change in self.fleet.changes():
                self._say(change)
                await self._goes_on.wait()
        except Refused as error:
            told = {"code": error.code, "message": error.message}
            tell("fleet_ended", self._client, error=told)

    def _say(self, change: Any) -> None:
        fields: dict[str, Any] = {"kind": change.kind}
        if change.session_id:
            fields["session_id"] = change.session_id
        if change.kind == "samples":
            fields |= {"samples": list(change.samples), "conflated": change.is_conflated}
        elif change.kind == "command":
            fields["command"] = change.details
        elif change.kind == "state":
            fields["state"] = change.state
        tell("change", self._client, **fields)

    async def do(self, what: str, request: dict[str, Any]) -> dict[str, Any]:
        """Carry out a request."""
        if what == "read":
            return {"state": self.fleet.state, "sessions": self.fleet.sessions}
        if what == "hold":
            (self._goes_on.clear if request["held"] else self._goes_on.set)()
        elif what == "close":
            self._goes_on.set()
            self._leave.set()
            await self._watching
        else:
            raise NotImplementedError
        return {}


def operate(request: dict[str, Any]) -> Any:
    """Carry out a request of an operator."""
    call, session_id = request["call"], request.get("session_id", "")

    def given(*names: str) -> dict[str, Any]:
        return {name: request[name] for name in names if name in request}

    with Operator(request["url"], request.get("token")) as operator:
        if call == "send_command":
            more = given("params", "wait", "ttl_s", "timeout_s")
            return operator.send_command(session_id, request["command"], **more)
        if call == "command":
            return operator.command(session_id, request["command_id"])
        if call == "cancel":
            return operator.cancel(session_id, request["command_id"]) or {}
        if call == "bulk":
            to = given("params", "session_ids")
            batch = operator.send_bulk(request["command"], **to)
            state = operator.wait_for_bulk(batch, request["timeout_s"], 0.1)
            return {**state, "devices": list(operator.bulk_devices(batch))}
        if call == "setup":
            setup, version = operator.setup(session_id)
            return {"setup": setup, "version": version}
        if call == "put_setup":
            version = operator.put_setup(session_id, request["setup"], **given("version"))
            return {"version": version}
        if call == "patch_setup":
            version = operator.patch_setup(session_id, request["patch"], **given("version"))
            return {"version": version}
        if call == "session":
            return operator.session(session_id)
        if call == "sessions":
            found = operator.sessions(**given("state", "project_id", "limit"))
            return {"session_ids": [one["session_id"] for one in found]}
        if call == "history":
            return {"samples": operator.history(session_id, request["key"], **given("limit"))}
        if call == "disconnect":
            return operator.disconnect(session_id, **given("retry_after_s"))
        if call in ("delete", "archive", "restore"):
            getattr(operator, call)(session_id)
            return {}
    raise NotImplementedError


class Adapter:
    """All clients of this process."""

    def __init__(self) -> None:
        self._clients: dict[str, OneDevice | OneFleet] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, request: dict[str, Any]) -> None:
        """Begin to carry out a request: what does not wait is done before the next one begins."""
        task = asyncio.ensure_future(self._answer(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, request: dict[str, Any]) -> None:
        number = request["id"]
        try:
            say({"id": number, "ok": await self._do(request)})
        except NotImplementedError:
            words = f"{request['do']} is not known here"
            say({"id": number, "error": {"code": "unsupported", "message": words}})
        except Refused as error:
            told = {**error.details, "code": error.code, "message": error.message}
            if isinstance(error, Conflict):
                told["version"] = error.version
            say({"id": number, "error": told})
        except Exception as error:  # noqa: BLE001  it is the answer
            code = next(
                (code for kind, code in _ERRORS.items() if isinstance(error, kind)), "internal"
            )
            say({"id": number, "error": {"code": code, "message": repr(error)}})

    async def _do(self, request: dict[str, Any]) -> Any:
        kind, _, what = request["do"].partition(".")
        if kind == "hello":
            return {
                "sdk": "muster_client",
                "version": muster_client.__version__,
                "features": FEATURES,
            }
        if kind == "operator":
            return await asyncio.to_thread(operate, request)
        make: Any = {"device": OneDevice, "fleet": OneFleet}.get(kind)
        if make is None:
            raise NotImplementedError
        if what == "open":
            self._clients[request["client"]] = make(request)
            return {}
        return await self._clients[request["client"]].do(what, request)


async def main() -> None:
    """Read requests until there are no more."""
    adapter = Adapter()
    reader = asyncio.StreamReader(limit=64 << 20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        adapter.take(json.loads(line))
    os._exit(0)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
