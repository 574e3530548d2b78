"""A service with something on every page: devices on both nodes, archived sessions, jobs, files in quarantine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.archive.errors import BadRecord
from tests.conftest import RealServer
from tests.support.archive.archive_service import Service
from tests.support.clients import logins
from tests.support.clients.bare import Bare
from tests.support.nodes.node_processes import Cluster
from tests.support.waiting import wait_until

#: As much as names, keys and values can do to a page that takes them for HTML, a path or a property.
HOSTILE = "<img src=x onerror=alert(1)>'\"/../%2F{{1+1}}"
HOSTILE_KEY = "__proto__"
HOSTILE_VALUE = "</script><script>document.title='owned'</script>"


class Fleet:
    """The service, and the devices that are connected."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.urls = service.cluster.urls
        self.devices: dict[str, Bare] = {}

    def device(self, session_id: str, node: int = 0, **fields: object) -> Bare:
        """A registered device on one of the nodes."""
        made = logins.device(self.urls[node], session_id, **fields)
        self.devices[session_id] = made
        return made

    def archive(self, session_id: str, **fields: object) -> None:
        """A session that was there, and is in the archive now."""
        made = logins.device(self.urls[0], session_id, **fields)
        made.ok("update_data", {"key": "visitors", "value": 12})
        made.close()
        wait_until(lambda: self.service.state(session_id) == "inactive", what="it has left")
        self.service.archiver.archive_sessions([session_id])

    def close(self) -> None:
        for device in self.devices.values():
            device.close()


@contextmanager
def running_fleet(folder: Path) -> Iterator[Fleet]:
    """Two nodes with a login, an archive and a worker; tests add to it and take nothing away."""
    server = RealServer(folder, appendonly="everysec")
    server.start()
    root = folder / "archive"
    settings = {"archive.url": root.as_uri(), "node.ping_interval_s": 1, "node.ping_timeout_s": 1}
    cluster = Cluster(server, folder, {**logins.LOGIN, **settings})
    try:
        cluster.start(2)
        service = Service(cluster, root)
        fleet = Fleet(service)
        try:
            service.worker()
            furnish(fleet, root)
            yield fleet
        finally:
            fleet.close()
            service.close()
        assert cluster.tracebacks() == []
    finally:
        cluster.close()
        server.kill()


def furnish(fleet: Fleet, root: Path) -> None:
    """Put something on every page."""
    kiosk = fleet.device("kiosk-7", 1, session_name="Hall 2", project_id="berlin")
    for count in range(20):
        kiosk.ok("update_data", {"key": "visitors", "value": count})
    kiosk.ok("update_setup", {"session_id": "kiosk-7", "setup": {"screen": "night"}})
    fleet.device("robot-1", 0, session_name="Welder", project_id="rome")
    strange = fleet.device(HOSTILE, 1, session_name=HOSTILE, project_id="berlin")
    strange.ok("update_data", {"data": {HOSTILE_KEY: HOSTILE_VALUE, "constructor": {"a": HOSTILE}}})
    fleet.archive("old-1", session_name="Gone", project_id="berlin")
    fleet.archive("torn-1")
    [path] = root.glob("*/torn-1~*")
    path.write_bytes(path.read_bytes()[:-1])
    with contextlib.suppress(BadRecord):  # and into quarantine with it
        fleet.service.archiver.archive.load(path.relative_to(root).as_posix())
