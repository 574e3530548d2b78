"""SIGTERM, in real processes: seconds, from the first moment, also while Redis hangs or is not there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.config.loader import load_config, queue_name
from service.redis_access.job_queue import JobQueue
from tests.conftest import RealServer
from tests.support.system.ports import free_ports
from tests.support.system.processes import environment
from tests.support.waiting import wait_until
from workers import queue as queues

pytestmark = pytest.mark.processes

WORKER = (sys.executable, "-P", "-m", "workers")
CLI = (sys.executable, "-P", "-m", "service.cli")
#: A worker's goodbyes, what it asks Redis before it gives up, and a machine that does other things.
SECONDS = 12

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts processes that write to the file `log`."""
    started: list[subprocess.Popen[bytes]] = []

    def start_one(*argv: str, url: str, **settings: str) -> subprocess.Popen[bytes]:
        values = {"MUSTER_REDIS__URL": url, "MUSTER_NODE__PORT": str(free_ports()[0]), **settings}
        with (tmp_path / "log").open("ab") as log:
            started.append(
                subprocess.Popen(
                    argv, env=environment(**values), stdout=log, stderr=log, start_new_session=True
                )
            )
        return started[-1]

    yield start_one
    for one in started:
        try:
            os.killpg(one.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        one.wait(60)


def ends_within(process: subprocess.Popen[bytes], seconds: float) -> int:
    """Its exit code."""
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    code = process.wait(60)
    assert time.monotonic() - begun < seconds
    return code


def hears(pid: int) -> bool:
    """Whether SIGTERM has a handler there, or is kept for one."""
    status = Path(f"/proc/{pid}/status").read_text()
    masks = re.findall(r"^Sig(?:Blk|Cgt):\t(\w+)$", status, re.MULTILINE)
    return any(int(mask, 16) >> (signal.SIGTERM - 1) & 1 for mask in masks)


@pytest.mark.parametrize("argv", [(*CLI, "node"), (*CLI, "worker"), WORKER])
@pytest.mark.parametrize("mode", ["eventlet", "gevent"])
def test_sigterm_is_heard_from_the_first_moment(
    start: Start, argv: tuple[str, ...], mode: str, free_port: int
) -> None:
    """A first process of a container is ended by no signal that it does not handle."""
    process = start(*argv, url=f"redis://127.0.0.1:{free_port}/0", MUSTER_NODE__ASYNC_MODE=mode)
    wait_until(lambda: hears(process.pid), 20, every_s=0.001)
    assert ends_within(process, SECONDS) == 0


@pytest.mark.parametrize("mode", ["eventlet", "gevent"])
def test_a_node_that_waits_for_redis_ends_at_once(
    start: Start, mode: str, free_port: int, tmp_path: Path
) -> None:
    url = f"redis://127.0.0.1:{free_port}/0"
    process = start(*CLI, "node", url=url, MUSTER_NODE__ASYNC_MODE=mode)
    wait_until(lambda: b"waiting for Redis" in (tmp_path / "log").read_bytes(), 30)
    assert ends_within(process, 5) == 0


def test_a_worker_that_waits_for_redis_ends_at_once(
    start: Start, free_port: int, tmp_path: Path
) -> None:
    process = start(*WORKER, url=f"redis://127.0.0.1:{free_port}/0")
    wait_until(lambda: b"start_waits" in (tmp_path / "log").read_bytes(), 30)
    assert ends_within(process, SECONDS) == 0


@pytest.fixture
def hanging(own_server: RealServer) -> Iterator[RealServer]:
    yield own_server
    own_server.resume()


def test_a_worker_whose_redis_hangs_ends_within_seconds(
    start: Start, hanging: RealServer, tmp_path: Path
) -> None:
    """Each goodbye would wait for its own timeout."""
    process = start(*WORKER, url=hanging.url)
    wait_until(lambda: b"worker_started" in (tmp_path / "log").read_bytes(), 30)
    hanging.pause()
    assert ends_within(process, SECONDS) == 0


def test_a_worker_in_a_job_whose_redis_hangs_ends_within_seconds(
    start: Start, hanging: RealServer, tmp_path: Path
) -> None:
    """Its job is another's then; it does not go on without its worker."""
    config = load_config(None, {"redis.url": hanging.url})
    process = start(*WORKER, url=hanging.url)
    with queues.connect(config) as client:
        queue = JobQueue(client, queue_name(config.redis.key_prefix))
        wait_until(lambda: b"worker_started" in (tmp_path / "log").read_bytes(), 30)

        def is_busy() -> bool:
            found: Any = client.keys("rq:worker:*")
            states = [client.hget(key, "state") for key in found]
            if b"busy" not in states:
                queue.enqueue_restore("d1", os.urandom(4).hex())
                return False
            hanging.pause()
            return True

        wait_until(is_busy, 30, every_s=0.001)
        assert ends_within(process, SECONDS) == 0
        wait_until(lambda: group_is_empty(process.pid), 10)


def group_is_empty(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False
