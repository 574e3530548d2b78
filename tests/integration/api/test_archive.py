"""REST: to the archive and back, its files and its quarantine, on real nodes with a real worker."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import orjson
import pytest
import urllib3

from service.archive import record as records
from tests.support.clients.logins import ask, device, nodes_with_login, token, who
from tests.support.clients.rest import path_of
from tests.support.nodes.node_processes import NodeProcess
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes

OPERATOR, ADMIN, VIEWER = token("operator"), token("admin"), token("viewer")


@pytest.fixture(scope="module", params=["eventlet", "gevent"])
def fleet(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SimpleNamespace]:
    """Two nodes with a login, an archive, and a worker that archives nothing by itself."""
    folder = tmp_path_factory.mktemp(f"archive-{request.param}")
    root = folder / "archive"
    settings = {
        "node__async_mode": request.param,
        "archive__url": f"file://{root}",
        "sessions__archive_after_s": 100_000,
        "redis__partitions": 2,
    }
    with nodes_with_login(folder, **settings) as cluster:
        worker = cluster.start_worker()
        yield SimpleNamespace(cluster=cluster, root=root, worker=worker)
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait(60)


@pytest.fixture
def node(fleet: SimpleNamespace) -> NodeProcess:
    made: NodeProcess = fleet.cluster.nodes[0]
    return made


def session_path(session_id: str) -> str:
    return "/api/v1" + path_of(session_id)


def file_path(session_id: str) -> str:
    return session_path(session_id).replace("/sessions/", "/archive/")


def quiet(fleet: SimpleNamespace, session_id: str, **fields: Any) -> None:
    """A session whose device was here and left; one sample, one finished command."""
    urls = fleet.cluster.urls
    made = device(urls[1], session_id, **fields)
    made.ok("update_data", {"key": "speed", "value": 7})
    made.close()
    node, query = fleet.cluster.nodes[0], f"state=inactive&limit=500&q={quote(session_id, safe='')}"
    wait_until(lambda: ask(node, "GET", f"/api/v1/sessions?{query}", VIEWER)[1]["sessions"], 10)


def archived(fleet: SimpleNamespace, session_id: str, **fields: Any) -> dict[str, Any]:
    """The answer of the route that archived such a session."""
    quiet(fleet, session_id, **fields)
    node = fleet.cluster.nodes[0]
    status, body = ask(node, "POST", session_path(session_id) + "/archive", OPERATOR)
    assert (status, body["state"]) == (200, "archived"), body
    return dict(body)


def download(node: NodeProcess, session_id: str, shown: str = VIEWER, **headers: str) -> Any:
    url = f"http://127.0.0.1:{node.port}{file_path(session_id)}"
    return urllib3.request(
        "GET", url, headers={"Authorization": f"Bearer {shown}", **headers}, retries=False
    )


# -- out and back


def test_session_goes_to_the_archive_and_comes_back(
    fleet: SimpleNamespace, node: NodeProcess
) -> None:
    path = session_path("out/and back")
    quiet(fleet, "out/and back", session_name="Hall")
    before = ask(node, "GET", path, VIEWER)[1]
    for _ in range(2):  # the second time it is there already
        status, body = ask(node, "POST", path + "/archive", OPERATOR)
        assert (status, body["state"], body["session_name"]) == (200, "archived", "Hall")
    shown = ask(node, "GET", path, VIEWER)[1]
    assert (shown["state"], shown["data"]) == ("archived", before["data"])
    assert ask(node, "GET", path, VIEWER)[1]["state"] == "archived"  # a read restores nothing
    for _ in range(2):
        status, body = ask(node, "POST", path + "/restore", OPERATOR)
        assert (status, body["state"]) == (200, "inactive")
    again = ask(node, "GET", path, VIEWER)[1]
    assert (again["state"], again["data"]) == ("inactive", before["data"])
    assert again["rev"] > before["rev"]


def test_session_that_never_had_a_connection_is_archived_too(
    fleet: SimpleNamespace, node: NodeProcess
) -> None:
    session_id = ask(node, "POST", "/api/v1/sessions", OPERATOR, {})[1]["session_id"]
    status, body = ask(node, "POST", session_path(session_id) + "/archive", OPERATOR)
    assert (status, body["state"]) == (200, "archived")


def test_session_in_use_stays_and_the_answer_says_why(
    fleet: SimpleNamespace, node: NodeProcess
) -> None:
    here = device(fleet.cluster.urls[1], "here")
    status, body = ask(node, "POST", session_path("here") + "/archive", OPERATOR)
    assert (status, body["code"]) == (409, "conflict")
    assert "connected" in body["message"]
    here.close()
    quiet(fleet, "busy")
    command = {"command": "look", "ttl_s": 600}
    made = ask(node, "POST", session_path("busy") + "/commands", OPERATOR, command)[1]
    status, body = ask(node, "POST", session_path("busy") + "/archive", OPERATOR)
    assert (status, body["code"]) == (409, "conflict")
    assert "open commands" in body["message"]
    ask(node, "DELETE", f"{session_path('busy')}/commands/{made['command_id']}", OPERATOR)
    looking = who(fleet.cluster.urls[0], "viewer")
    looking.ok("join_session", {"session_id": "busy"})
    status, body = ask(node, "POST", session_path("busy") + "/archive", OPERATOR)
    assert (status, body["code"]) == (409, "conflict")
    assert "clients" in body["message"]
    looking.ok("leave_session", {"session_id": "busy"})
    looking.close()
    assert ask(node, "POST", session_path("busy") + "/archive", OPERATOR)[0] == 200


def test_finished_commands_of_an_archived_session_are_shown(
    fleet: SimpleNamespace, node: NodeProcess
) -> None:
    quiet(fleet, "told")
    path = session_path("told") + "/commands"
    made = ask(node, "POST", path, OPERATOR, {"command": "look", "ttl_s": 600})[1]
    ask(node, "DELETE", f"{path}/{made['command_id']}", OPERATOR)
    before = ask(node, "GET", path, VIEWER)[1]
    assert ask(node, "POST", session_path("told") + "/archive", OPERATOR)[0] == 200
    assert ask(node, "GET", path, VIEWER) == (200, before)
    shown = ask(node, "GET", f"{path}/{made['command_id']}", VIEWER)
    assert shown == (200, before["commands"][0])
    assert ask(node, "GET", f"{path}/none", VIEWER)[0] == 404


@pytest.mark.parametrize("route", ["archive", "restore"])
def test_unknown_session_is_not_found(node: NodeProcess, route: str) -> None:
    status, body = ask(node, "POST", f"{session_path('nobody')}/{route}", OPERATOR)
    assert (status, body["code"]) == (404, "session_not_found")


# -- files


def test_download_is_the_record_whole(fleet: SimpleNamespace, node: NodeProcess) -> None:
    body = archived(fleet, "whole")
    answer = download(node, "whole")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/zstd"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    record = records.decode(answer.data)
    assert (record.session_id, record.rev) == ("whole", body["rev"])
    assert [value for value, _ in record.body["data"]["speed"]] == [7]
    tag = answer.headers["ETag"]
    assert tag == f'"{record.generation}-{record.rev}"'
    assert (
        tag == f'"{ask(node, "GET", session_path("whole"), VIEWER)[1]["generation"]}-{record.rev}"'
    )
    same = download(node, "whole", **{"If-None-Match": tag})
    assert (same.status, same.data) == (304, b"")
    assert ask(node, "HEAD", file_path("whole"), VIEWER) == (200, "")


def test_download_larger_than_a_piece_is_whole(fleet: SimpleNamespace, node: NodeProcess) -> None:
    """Noise cannot be compressed: this file has several pieces."""
    made = device(fleet.cluster.urls[1], "large")
    for i in range(40):
        noise = hashlib.shake_256(bytes([i])).hexdigest(30_000)
        made.ok("update_data", {"key": f"k{i}", "value": noise})
    made.close()
    quiet(fleet, "large")
    assert ask(node, "POST", session_path("large") + "/archive", OPERATOR)[0] == 200
    answer = download(node, "large")
    assert int(answer.headers["Content-Length"]) == len(answer.data) > 1_000_000
    assert len(records.decode(answer.data).body["data"]) == 41


def test_session_in_redis_has_no_file_to_download(
    fleet: SimpleNamespace, node: NodeProcess
) -> None:
    archived(fleet, "back")
    assert ask(node, "POST", session_path("back") + "/restore", OPERATOR)[0] == 200
    assert list(fleet.root.glob("*/back~*"))  # superseded
    for session_id, code in (("back", "file_not_found"), ("nobody", "session_not_found")):
        answer = download(node, session_id)
        assert answer.status == 404
        assert orjson.loads(answer.data)["code"] == code


def test_words_of_the_api_are_ids_of_downloads_too(
    fleet: SimpleNamespace, node: NodeProcess
) -> None:
    archived(fleet, "quarantine")
    url = f"http://127.0.0.1:{node.port}/api/v1/archive/%7Fquarantine"
    answer = urllib3.request(
        "GET", url, headers={"Authorization": f"Bearer {VIEWER}"}, retries=False
    )
    assert records.decode(answer.data).session_id == "quarantine"


# -- verification and quarantine


def damage(fleet: SimpleNamespace, session_id: str) -> tuple[Path, bytes]:
    [path] = fleet.root.glob(f"*/{session_id}~*")
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    return path, good


def items(node: NodeProcess, query: str = "") -> list[dict[str, Any]]:
    status, body = ask(node, "GET", f"/api/v1/archive/quarantine{query}", VIEWER)
    assert status == 200
    return list(body["items"])


def test_verify_names_bad_files_and_moves_none(fleet: SimpleNamespace, node: NodeProcess) -> None:
    for name in ("good-1", "flipped"):
        archived(fleet, name)
    path, good = damage(fleet, "flipped")
    status, body = ask(node, "POST", "/api/v1/archive/verify", ADMIN)
    assert (status, body["bad"], body["unreadable"], body["beside"]) == (200, 1, 0, 0)
    assert body["checked"] == len(list(fleet.root.glob("????/*.json.zst")))
    [wrong] = body["wrong"]
    assert (wrong["session_id"], wrong["unreadable"]) == ("flipped", False)
    assert path.exists()
    path.write_bytes(good)
    assert ask(node, "POST", "/api/v1/archive/verify", ADMIN)[1]["wrong"] == []
    jobs = ask(node, "GET", "/api/v1/jobs", ADMIN)[1]["jobs"]
    assert [job["state"] for job in jobs if job["name"] == "verify_archive"] == ["finished"]


def test_bad_file_is_told_set_aside_and_put_back(fleet: SimpleNamespace, node: NodeProcess) -> None:
    archived(fleet, "mended", project_id="berlin")
    path, good = damage(fleet, "mended")
    answer = download(node, "mended")
    assert (answer.status, orjson.loads(answer.data)["code"]) == (500, "archive_corrupt")
    assert download(node, "mended").status == 404
    assert not path.exists()
    [item] = [one for one in items(node) if one["session_id"] == "mended"]
    assert (item["name"], item["bytes"]) == (f"{path.parent.name}/{path.name}", len(good))
    assert "checksum" in item["reason"]
    kept = urllib3.request(
        "GET",
        f"{node.url}/api/v1/archive/quarantine/{item['item']}",
        headers={"Authorization": f"Bearer {VIEWER}"},
        retries=False,
    )
    assert kept.data == good[:-1] + bytes([good[-1] ^ 1])
    assert kept.headers["Content-Disposition"].startswith(f'attachment; filename="{item["item"]}-')
    missing = "/api/v1/archive/quarantine/" + "0" * 12
    assert ask(node, "GET", missing, VIEWER)[1]["code"] == "file_not_found"
    order = {"item": item["item"]}
    status, body = ask(node, "POST", "/api/v1/archive/quarantine", ADMIN, order)
    assert (status, body["code"]) == (409, "conflict")  # it is still bad
    (fleet.root / "quarantine" / item["item"] / "content").write_bytes(good)
    status, body = ask(node, "POST", "/api/v1/archive/quarantine", ADMIN, order)
    assert (status, body["session_id"], body["is_archived"]) == (200, "mended", True)
    assert path.read_bytes() == good
    listed = ask(node, "GET", "/api/v1/sessions?state=archived&q=mended", VIEWER)[1]["sessions"]
    assert [one["project_id"] for one in listed] == ["berlin"]
    assert ask(node, "POST", "/api/v1/archive/quarantine", ADMIN, order)[0] == 404


def test_restore_of_a_bad_file_says_so(fleet: SimpleNamespace, node: NodeProcess) -> None:
    archived(fleet, "broken")
    damage(fleet, "broken")
    path = session_path("broken") + "/restore"
    status, body = ask(node, "POST", path, OPERATOR)
    assert (status, body["code"]) == (500, "archive_corrupt")
    assert ask(node, "POST", path, OPERATOR)[0] == 404


def test_quarantine_has_pages(fleet: SimpleNamespace, node: NodeProcess) -> None:
    for i in range(3):
        archived(fleet, f"page-{i}")
        damage(fleet, f"page-{i}")
        assert download(node, f"page-{i}").status == 500
    whole = items(node)
    assert [one["at"] for one in whole] == sorted(one["at"] for one in whole)
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        query = f"?limit=1&cursor={cursor}" if cursor else "?limit=1"
        body = ask(node, "GET", f"/api/v1/archive/quarantine{query}", VIEWER)[1]
        seen += [one["item"] for one in body["items"]]
        cursor = body["next"]
        assert body["total"] == len(whole)
    assert seen == [one["item"] for one in whole]
    assert ask(node, "GET", "/api/v1/archive/quarantine?cursor=x", VIEWER)[0] == 400


def test_name_that_is_no_text_is_listed_all_the_same(
    fleet: SimpleNamespace, node: NodeProcess
) -> None:
    (fleet.root / "abcd").mkdir(exist_ok=True)
    strange = os.fsencode(fleet.root / "abcd") + b"/\xff.json.zst"
    Path(os.fsdecode(strange)).write_bytes(b"x")
    body = ask(node, "POST", "/api/v1/archive/verify", ADMIN)[1]
    assert [one["name"] for one in body["wrong"]] == ["abcd/\\xff.json.zst"]
    os.unlink(strange)


# -- who may


def test_archived_session_of_another_project_is_unknown(
    fleet: SimpleNamespace, node: NodeProcess
) -> None:
    archived(fleet, "roman", project_id="rome")
    archived(fleet, "berliner", project_id="berlin")
    stranger = token("operator", projects=["berlin"])
    for method, path in (
        ("GET", file_path("roman")),
        ("GET", session_path("roman")),
        ("POST", session_path("roman") + "/restore"),
        ("POST", session_path("roman") + "/archive"),
        ("GET", session_path("roman") + "/commands"),
    ):
        status, body = ask(node, method, path, stranger)
        assert (status, body["code"]) == (404, "session_not_found"), path
    assert download(node, "berliner", stranger).status == 200
    assert ask(node, "POST", session_path("berliner") + "/restore", stranger)[0] == 200
    for method, path in (
        *(("GET", "quarantine"), ("POST", "quarantine"), ("POST", "verify")),
        ("GET", "quarantine/" + "0" * 12),
    ):
        limited = token("admin", projects=["berlin"])
        status, body = ask(node, method, f"/api/v1/archive/{path}", limited, {"item": "x"})
        assert (status, body["code"]) == (403, "not_allowed")
    assert ask(node, "GET", session_path("roman"), VIEWER)[1]["state"] == "archived"
