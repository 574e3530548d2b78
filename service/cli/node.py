"""`muster node`: checks the settings, then becomes the node's process."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from service.config.loader import child_environment, load_config, require_redis

NODE_ARGV = [sys.executable, "-P", "-m", "service.cli.node_process"]


def node(
    port: Annotated[int | None, typer.Option(help="Port to listen on; node.port.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; node.host.")] = None,
    redis: Annotated[str | None, typer.Option(help="URL of Redis; redis.url.")] = None,
    async_mode: Annotated[
        str | None, typer.Option(help="eventlet or gevent; node.async_mode.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Path of the settings file.")] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure", help="Accept every client that reaches this address, without a login."
        ),
    ] = False,
) -> None:
    """Run one node: a process that devices and dashboards connect to.

    It listens on loopback by default. SIGTERM drains it: it writes what clients have sent, sends
    them to other nodes, and then ends.
    """
    flags = {
        "node.port": port,
        "node.host": host,
        "node.async_mode": async_mode,
        "redis.url": redis,
    }
    settings = load_config(config, flags)
    require_redis(settings, "muster node")
    argv = [*NODE_ARGV, "--insecure"] if insecure else NODE_ARGV
    os.execve(sys.executable, argv, child_environment(settings))
