"""docker-compose.yml as a running stack of its own: another project name, folder, `.env` and image."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import jwt

from tests.support.system.ports import free_ports
from tests.support.waiting import wait_until

REPOSITORY = Path(__file__).parents[2]
LABEL = "com.docker.compose"


def run(
    *command: str, timeout_s: float = 120, check: bool = True, **options: Any
) -> subprocess.CompletedProcess[str]:
    """A command to its end; AssertionError with all it said when it failed."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout_s, check=False, **options
    )
    said = f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert done.returncode == 0 or not check, said
    return done


def find_compose() -> list[str] | None:
    """Compose v2, else docker-compose; the variable COMPOSE names another one."""
    if os.environ.get("COMPOSE"):
        return os.environ["COMPOSE"].split()
    for words in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(words[0]) and run(*words, "version", check=False).returncode == 0:
            return words
    return None


def has_engine() -> bool:
    """Whether a Docker engine answers."""
    return (
        shutil.which("docker") is not None
        and run("docker", "info", check=False, timeout_s=30).returncode == 0
    )


def has_image(name: str) -> bool:
    """Whether this image is here, or can be had."""
    if run("docker", "image", "inspect", name, check=False).returncode == 0:
        return True
    return run("docker", "pull", "--quiet", name, check=False, timeout_s=300).returncode == 0


class Stack:
    """One project of compose.

    Args:
        folder: what compose works in: the files of the repository and a `.env` of its own.
        settings: lines for `.env`.
    """

    def __init__(self, folder: Path, compose: list[str], settings: dict[str, str]) -> None:
        self.folder = folder
        self.name = f"mustertest{secrets.token_hex(3)}"
        self.image = f"{self.name}:latest"
        self.command = compose
        shutil.copytree(REPOSITORY / "deploy", folder / "deploy")
        for file in ("docker-compose.yml", ".env.example"):
            shutil.copy(REPOSITORY / file, folder)
        run(str(folder / "deploy" / "make-env"))
        self.port, grafana = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        self.grafana_url = f"http://127.0.0.1:{grafana}"
        more = {
            "LISTEN": f"127.0.0.1:{self.port}",
            "GRAFANA_LISTEN": f"127.0.0.1:{grafana}",
            "MUSTER_IMAGE": self.image,
            **settings,
        }
        with (folder / ".env").open("a") as env:
            env.writelines(f"{name}={value}\n" for name, value in more.items())

    def env(self, name: str) -> str:
        """The last value of a name in `.env`."""
        lines = (self.folder / ".env").read_text().splitlines()
        return [line.partition("=")[2] for line in lines if line.startswith(f"{name}=")][-1]

    def token(self, role: str, **claims: Any) -> str:
        """A token as `muster token` makes it."""
        body = {"role": role, "iat": int(time.time()), **claims}
        return jwt.encode(body, self.env("MUSTER_AUTH__SECRET"), "HS256")

    def build(self) -> None:
        """The image, from the repository. The host's network, because some bridges have no way out."""
        command = ("docker", "build", "--quiet", "--network", "host", "--tag", self.image, ".")
        run(*command, cwd=REPOSITORY, timeout_s=900)

    def compose(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """`docker compose …` for this project."""
        return run(
            *self.command, "--project-name", self.name, *arguments, cwd=self.folder, **options
        )

    def up(self, *profiles: str, node: int = 3, worker: int = 2) -> None:
        """Start or scale, and wait until HAProxy sees as many ready nodes."""
        named = [word for profile in profiles for word in ("--profile", profile)]
        scale = ("--scale", f"node={node}", "--scale", f"worker={worker}")
        self.compose(*named, "up", "-d", "--no-build", *scale, timeout_s=180)
        self.await_nodes(node)

    def add(self, profile: str, service: str) -> None:
        """One service more; the others stay as they are, and as many."""
        alone = ("--no-build", "--no-deps", "--no-recreate")
        self.compose("--profile", profile, "up", "-d", *alone, service)

    def await_nodes(self, count: int, timeout_s: float = 60) -> None:
        try:
            wait_until(
                lambda: self.nodes_in_proxy() == count,
                timeout_s,
                every_s=0.5,
                what=f"HAProxy has {count} ready nodes",
            )
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{self.logs()}") from exc

    def nodes_in_proxy(self) -> int:
        """How many nodes HAProxy thinks are ready."""
        figures = self.fetch("http://haproxy:8405/metrics")
        for line in figures.splitlines():
            if line.startswith('haproxy_backend_active_servers{proxy="nodes"}'):
                return int(float(line.split()[-1]))
        return -1

    def fetch(self, url: str, headers: dict[str, str] | None = None) -> str:
        """A page as a node sees it; empty when there is none."""
        script = (
            "import json, sys, urllib.request as u\n"
            "print(u.urlopen(u.Request(sys.argv[1], headers=json.loads(sys.argv[2])), timeout=5)"
            ".read().decode())"
        )
        for container in self.containers("node"):
            command = ("docker", "exec", container, "python", "-c", script, url)
            done = run(*command, json.dumps(headers or {}), check=False)
            if done.returncode == 0:
                return done.stdout
        return ""

    def containers(self, service: str = "", *, running: bool = True) -> list[str]:
        """Ids of this project's containers."""
        filters = [f"label={LABEL}.project={self.name}"]
        filters += [f"label={LABEL}.service={service}"] if service else []
        named = [word for one in filters for word in ("--filter", one)]
        more = () if running else ("--all",)
        return run("docker", "ps", "--quiet", "--no-trunc", *more, *named).stdout.split()

    def inspect(self, container: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads(run("docker", "inspect", container).stdout)
        return found[0]

    def container_of(self, node_id: str) -> str:
        """A node's id begins with the name of its host, and that with its container's id."""
        host = node_id.rpartition("-")[0]
        [found] = [one for one in self.containers("node") if one.startswith(host)]
        return found

    def muster(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command of `muster` in one of the nodes."""
        return run("docker", "exec", self.containers("node")[0], "muster", *arguments, check=check)

    def nodes(self) -> dict[str, dict[str, Any]]:
        """What nodes say of themselves, by node_id."""
        status = json.loads(self.muster("status", "--json").stdout)
        return {one["node_id"]: one for one in status["nodes"]}

    def logs(self, *services: str) -> str:
        """The end of everybody's logs."""
        done = self.compose("logs", "--tail", "40", *services, check=False)
        return done.stdout[-8000:]

    def down(self) -> None:
        """Nothing stays: containers, networks, volumes, image."""
        profiles = ("--profile", "demo", "--profile", "monitoring")
        self.compose(*profiles, "down", "--volumes", "--timeout", "10", check=False, timeout_s=180)
        run("docker", "image", "rm", "--force", self.image, check=False)
