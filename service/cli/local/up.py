"""`muster up`: everything on one machine, from one command, until Ctrl-C."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from service.cli.local import aof, embedded
from service.cli.local.summary import Display, Figures
from service.cli.local.supervisor import Child, Refused, Supervisor
from service.cli.node import NODE_ARGV
from service.config.data_folder import archive_url
from service.config.loader import Config, child_environment, client_environment, load, redact_url
from service.config.settings import EMBEDDED
from service.connect import adopt_lost_archive, make_store
from service.errors import ConfigError, why_no_port
from service.redis_access.clients import redis_factory

#: Ranks of the end: who makes load first, who keeps data last.
_DEMO, _NODE, _WORKER, _REDIS = range(4)
#: How long a node may take until it answers.
_NODE_READY_S = 30.0
#: Updates per second of each simulated device.
_DEMO_RATE = "0.5"


def up(
    nodes: Annotated[int, typer.Option(min=1, help="Number of nodes, on consecutive ports.")] = 2,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Number of workers; workers.count.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port of the first node; node.port.")] = None,
    data: Annotated[Path, typer.Option(help="Folder for all data.")] = Path("muster-data"),
    demo: Annotated[
        int,
        typer.Option(
            min=0, help="Number of simulated devices to start, plus an agent for this machine."
        ),
    ] = 0,
    config: Annotated[Path | None, typer.Option(help="Path of the settings file.")] = None,
) -> None:
    """Run everything on this machine: Redis, nodes, workers, and with --demo simulated devices.

    Redis is a server of its own, with its data in the data folder, unless redis.url names another
    server. A process that ends unexpectedly is restarted. Ctrl-C drains and stops everything, a second
    Ctrl-C stops at once. The next start with the same folder has the same data again.
    """
    flags = {
        "workers.count": workers,
        "node.port": port,
        "node.host": "127.0.0.1",
        "node.drain_notice_s": 0,  # no load balancer asks these nodes whether they are ready
    }
    settings = load(config, flags).config
    first = settings.node.port
    ports = list(range(first, first + nodes))
    if ports[-1] > 65535:
        raise ConfigError(f"node.port: {nodes} nodes from {first} on would need ports above 65535")
    for number in ports:
        refused = embedded.refused_port(number)
        if refused is not None:
            why = why_no_port(refused, "127.0.0.1", number)
            raise ConfigError(f"node.port: {why}: choose another with --port")
    run = _Run(settings, ports, data, demo)
    try:
        run.go()
    except Refused as exc:
        raise ConfigError(str(exc)) from exc


class _Run:
    """One life of `muster up`."""

    def __init__(self, config: Config, ports: list[int], data: Path, demo: int) -> None:
        self._config = config
        self._ports = ports
        self._data = data
        self._demo = demo
        self._display = Display()
        self._supervisor = Supervisor(self._display.say)
        self._server: embedded.EmbeddedServer | None = None
        self._url = config.redis.url
        self._figures: Figures | None = None

    @property
    def _urls(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self._ports]

    def go(self) -> None:
        """Start everything in order, watch it, end it in reverse."""
        self._supervisor.install_signals()
        try:
            self._start_redis()
            self._start_rest()
            if not self._supervisor.stopping.is_set():
                self._print_urls()
                self._watch()
        finally:
            self._display.close()
            if self._supervisor.stopping.is_set():
                self._display.say("Stopping: draining nodes, then workers, then Redis.")
            if self._figures is not None:
                self._figures.close()
            self._supervisor.stop()
            if self._server is not None:
                self._server.release()
        self._display.say("Stopped; no process is left running.")

    def _start_redis(self) -> None:
        if self._url == EMBEDDED:
            server = embedded.EmbeddedServer(self._data)
            server.claim(self._display.say)
            aof.mend(self._data / "redis", self._display.say)
            self._server = server
            self._url = server.url
            child = self._add(
                "valkey", server.argv(), _REDIS, 15, inherited=server.inherited, umask=0o077
            )
            assert child.process is not None
            server.wait_ready(child.process)
        else:
            self._data.mkdir(0o700, parents=True, exist_ok=True)
            embedded.close_to_others(self._data, self._display.say)
        embedded.write_url(self._data, self._url)
        redis = self._config.redis.model_copy(update={"url": self._url})
        archive = self._config.archive
        if not archive.url:
            archive = archive.model_copy(update={"url": archive_url(self._data)})
        is_own = self._server is not None and archive is not self._config.archive
        self._config = self._config.model_copy(update={"redis": redis, "archive": archive})
        if is_own:
            self._adopt_own_archive()

    def _adopt_own_archive(self) -> None:
        """Adopt the archive of the data folder for its Redis: they are one service, also when Redis was lost."""
        with redis_factory(self._url)() as client:
            if adopt_lost_archive(self._config, make_store(self._config, client)):
                self._display.say(
                    "Redis is new, the archive is not: sessions are restored when their devices register, "
                    f"`muster archive reindex --data {self._data}` lists all of them again."
                )

    def _start_rest(self) -> None:
        environment = child_environment(self._config)
        drain_s = self._config.node.drain_s + 3
        for port in self._ports:
            own = {**environment, "MUSTER_NODE__PORT": str(port)}
            if not self._config.node.public_url:
                own["MUSTER_NODE__PUBLIC_URL"] = f"http://127.0.0.1:{port}"
            self._add(f"node-{port}", NODE_ARGV, _NODE, drain_s, own)
        for port in self._ports:
            self._await_node(port)
        for number in range(1, self._config.workers.count + 1):
            argv = [sys.executable, "-P", "-m", "workers"]
            self._add(f"worker-{number}", argv, _WORKER, 10, environment)
        if self._demo and not self._supervisor.stopping.is_set():
            urls = ",".join(self._urls)
            fleet = ["--devices", str(self._demo), "--rate", _DEMO_RATE, "--seconds", "0"]
            fleet += ["--prefix", "demo-", "--url", urls]
            self._add(
                "simulate", [*_MUSTER, "simulate", *fleet], environment=self._shows_token("demo-")
            )
            self._add(
                "agent", [*_MUSTER, "agent", "--url", urls], environment=self._shows_token("agent-")
            )

    def _shows_token(self, prefix: str) -> dict[str, str] | None:
        """Return the environment of a device of ours, with a token in it where the nodes want one."""
        if self._config.auth.mode == "open":
            return None
        from service.security.tokens import Tokens

        token = Tokens(self._config.auth.secret, time.time).issue("device", prefix=prefix)
        return client_environment(token)

    def _add(
        self,
        name: str,
        argv: list[str],
        rank: int = _DEMO,
        patience_s: float = 5,
        environment: dict[str, str] | None = None,
        inherited: tuple[int, ...] = (),
        umask: int = -1,
    ) -> Child:
        log_path = (self._data / "logs" / f"{name}.log").absolute()
        return self._supervisor.add(
            Child(name, argv, rank, patience_s, log_path, environment, inherited, umask)
        )

    def _await_node(self, port: int) -> None:
        deadline_s = time.monotonic() + _NODE_READY_S
        while not _is_up(port) and not self._supervisor.stopping.is_set():
            if time.monotonic() > deadline_s:
                self._display.say(f"node-{port} does not answer yet, continuing without it")
                return
            self._supervisor.watch()
            self._supervisor.stopping.wait(0.05)

    def _print_urls(self) -> None:
        lines = [f"  open    {self._urls[0]}/dashboard"]
        lines.extend(f"  node    {url}" for url in self._urls)
        lines.append(f"  pages   {self._urls[0]}/test   {self._urls[0]}/api/docs")
        lines.append(f"  metrics {self._urls[0]}/metrics")
        if self._config.auth.mode == "token":
            lines.append("  login   with a token: create one with `muster token --role admin`")
        lines.append(f"  redis   {redact_url(self._url)}")
        lines.append(
            f"  data    {self._data.absolute()}   (logs in logs/, archived sessions in archive/)"
        )
        lines.append(f"  muster  {_where_muster_is()}   (in another terminal: status, top, --help)")
        self._display.say("Muster is up. Ctrl-C drains and stops everything.\n" + "\n".join(lines))

    def _watch(self) -> None:
        self._figures = Figures(self._url, self._config)
        while not self._supervisor.stopping.wait(0.2):
            self._supervisor.watch()
            self._display.show(self._figures.now(), self._supervisor.children)


def _where_muster_is() -> str:
    """Return how the command is called from here: as `make run` installs it, it is not on the path."""
    ours = Path(sys.executable).with_name("muster")
    found = shutil.which("muster")
    if found is not None and Path(found).samefile(ours if ours.exists() else found):
        return "muster"
    if not ours.exists():
        return "python -m service.cli"
    with contextlib.suppress(ValueError):
        return str(ours.relative_to(Path.cwd()))
    return str(ours)


_MUSTER = [sys.executable, "-P", "-m", "service.cli"]


def _is_up(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
