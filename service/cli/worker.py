"""`muster worker`: becomes `python -m workers`, so that `service` imports nothing of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from service.config.loader import child_environment, load_config, require_redis


def worker(
    redis: Annotated[str | None, typer.Option(help="URL of Redis; redis.url.")] = None,
    config: Annotated[Path | None, typer.Option(help="Path of the settings file.")] = None,
) -> None:
    """Run one worker, for slow and periodic work.

    On SIGTERM it finishes its current job and ends.
    """
    settings = load_config(config, {"redis.url": redis})
    require_redis(settings, "muster worker")
    os.execve(sys.executable, [sys.executable, "-P", "-m", "workers"], child_environment(settings))
