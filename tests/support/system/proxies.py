"""HAProxy with the file that is shipped, in front of nodes on loopback."""

from __future__ import annotations

import http.client
import re
import shutil
import subprocess
from pathlib import Path

from tests.support.system.ports import free_ports
from tests.support.waiting import wait_until

SHIPPED = Path(__file__).parents[3] / "deploy" / "haproxy.cfg"
PATH = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"


def there_is_haproxy() -> bool:
    return shutil.which("haproxy", path=PATH) is not None


class Proxy:
    """HAProxy in front of these ports; instead of the containers' DNS their addresses stand in its file."""

    def __init__(self, folder: Path, ports: list[int]) -> None:
        [self.port, figures] = free_ports(2)
        text = SHIPPED.read_text()
        servers = "\n".join(f"    server node-{port} 127.0.0.1:{port}" for port in ports)
        for pattern, wanted in (
            (r"    server-template .*", servers),
            (r"    default-server resolvers containers .*\n", ""),
            (r"bind :8080", f"bind 127.0.0.1:{self.port}"),
            (r"bind :8405", f"bind 127.0.0.1:{figures}"),
        ):
            text, count = re.subn(pattern, lambda _, words=wanted: words, text)
            assert count == 1, pattern
        file = folder / "haproxy.cfg"
        file.write_text(text)
        self.log = folder / "haproxy.log"
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                ["haproxy", "-f", str(file)], env={"PATH": PATH}, stdout=out, stderr=out
            )

    def await_ready(self) -> None:
        wait_until(self._is_ready, 20, every_s=0.05, what="the proxy has a node")

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def close(self) -> None:
        self._process.kill()
        self._process.wait(20)
