"""`muster worker`: becomes `python -m workers`, so that `service` imports nothing of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from service.config.loader import child_environment, load_config, require_redis


def worker(
    redis: Annotated[str | None, typer.Option(help="Where state lives; redis.url.")] = None,
    config: Annotated[Path | None, typer.Option(help="File of settings.")] = None,
) -> None:
    """Run one worker: the slow work, and the watch over nodes that died.

    SIGTERM lets the job under way finish.
    """
    settings = load_config(config, {"redis.url": redis})
    require_redis(settings, "muster worker")
    os.execve(sys.executable, [sys.executable, "-P", "-m", "workers"], child_environment(settings))
