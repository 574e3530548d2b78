"""What the docs promise is there, and what is there stands in the docs; README's snippets run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
from flask import Flask
from pydantic import BaseModel

from service import errors
from service.api.mount import mount
from service.cli.app import COMMANDS, load_command
from service.cli.local.embedded import oldest, write_url
from service.config.loader import Config
from service.observability.alarms import Facts, decide_alarms
from service.observability.metrics import Metrics
from service.security import permissions
from service.security.tokens import CLAIMS
from service.sessions.store.keys import Keys
from service.sessions.store.runner import LUA_DIR
from service.sockets.outgoing import SERVER_EVENTS
from service.sockets.payloads import CLIENT_EVENTS
from tests.support.bare import Bare
from tests.support.figures import rules
from tests.support.javascript import run_script
from tests.support.node_processes import Cluster
from tests.support.shared_pair import running_pair
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("**/*.md")])


def read(page: str) -> str:
    return (DOCS / page).read_text()


def rows(text: str, head: str) -> list[list[str]]:
    """Cells of the tables that begin with this head."""
    found = []
    for table in re.findall(
        rf"^\| {re.escape(head)} .*\n\|[-| ]+\n((?:\|.*\n?)+)", text, re.MULTILINE
    ):
        for line in table.splitlines():
            cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
            found.append([cell.strip() for cell in cells])
    assert found, f"no table {head!r}"
    return found


def code(cell: str) -> str:
    """The first `code` of a cell."""
    match = re.search(r"`([^`]+)`", cell)
    assert match, cell
    return match[1]


def defaults(group: BaseModel, path: str = "") -> dict[str, Any]:
    """Every setting with its default: `group.key` → value as in JSON."""
    return {
        f"{name}.{key}": value
        for name in type(group).model_fields
        for key, value in getattr(group, name).model_dump(mode="json").items()
    }


# -- settings, commands --


def test_settings_in_the_docs_are_those_of_the_code() -> None:
    documented = {
        code(name): json.loads(code(default) if not is_word(default) else f'"{code(default)}"')
        for name, default, _ in rows(read("configuration.md"), "setting")
    }
    assert documented == defaults(Config())


def is_word(cell: str) -> bool:
    """Whether the code of a cell is a word without quotes."""
    if code(cell) in ("true", "false"):
        return False
    return re.fullmatch(r"[a-z][a-z0-9.]*|\d+\.\d+\.\d+\.\d+", code(cell)) is not None


def test_config_json_has_every_setting_with_its_default() -> None:
    written = json.loads((ROOT / "config.json").read_text())
    flat = {f"{group}.{key}": value for group in written for key, value in written[group].items()}
    assert flat == defaults(Config())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_named_in_a_page_exist(page: Path) -> None:
    """`group.key` in running text is a setting of that name."""
    settings = defaults(Config())
    groups = "|".join(Config.model_fields)
    named = set(re.findall(rf"`((?:{groups})\.[a-z_]+)`", page.read_text()))
    assert named <= settings.keys() | {"config.json", "redis.call"}


def test_commands_in_the_docs_are_those_of_the_code() -> None:
    documented = [code(name) for name, _ in rows(read("configuration.md"), "command")]
    assert documented == [f"muster {name}" for name in COMMANDS]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_named_in_a_page_exist(page: Path) -> None:
    """`--option` is one of some command of muster, or of compose or pytest."""
    foreign = {
        "--whole",
        "--dist",
        "--build",
        "--no-deps",
        "--no-recreate",
        "--profile",
        "--scale",
        "--randomly-seed",
    }
    known = {
        option
        for name in COMMANDS
        for command in subcommands(load_command(name))
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page.read_text())) <= known | foreign | {
        "--help"
    }


def subcommands(command: Any) -> Iterator[Any]:
    yield command
    yield from getattr(command, "commands", {}).values()


# -- the protocol --


def test_events_in_the_docs_are_those_of_the_code() -> None:
    """A heading per event, each once."""
    headings = re.findall(r"^### `(\w+)`$", read("protocol.md"), re.MULTILINE)
    assert len(headings) == len(set(headings))
    assert set(headings) == CLIENT_EVENTS.keys() | SERVER_EVENTS.keys()


def test_fields_of_events_stand_in_their_section() -> None:
    """What a payload model takes is named where its event is described."""
    sections = dict(
        re.findall(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", read("protocol.md"), re.MULTILINE | re.DOTALL)
    )
    for event, models in CLIENT_EVENTS.items():
        text = sections[event]
        same = re.match(r"\n(?:The same|`\{.*?\}`: the same)", text)
        for model in models:
            for field in model.model_fields:
                named = {field, "device_id"} if field == "session_id" else {field}
                assert same or any(re.search(rf"\b{name}\b", text) for name in named), (
                    f"{event}: {field}"
                )


def families(error: type[errors.ServiceError]) -> Iterator[type[errors.ServiceError]]:
    for child in error.__subclasses__():
        yield child
        yield from families(child)


def test_errors_in_the_docs_are_those_of_the_code() -> None:
    documented = {
        code(name): (int(status), retryable == "yes")
        for name, status, retryable, _ in rows(read("protocol.md"), "code")
    }
    known = {error.code: (error.status, error.retryable) for error in families(errors.ServiceError)}
    assert documented == known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_number_of_error_codes_is_right_wherever_it_is_named(page: Path) -> None:
    count = len({error.code for error in families(errors.ServiceError)})
    assert all(int(named) == count for named in re.findall(r"(\d+) codes", page.read_text()))


# -- the REST API --


def test_routes_in_the_docs_are_those_of_the_code() -> None:
    """Each once; those that are there because a word may be an id stand in their general form."""
    documented = [code(route) for route, _ in rows(read("api.md"), "route")]
    assert len(documented) == len(set(documented))
    described = describe_api()
    made = {
        f"{method.upper()} {path.removeprefix('/api/v1')}"
        for path, item in described["paths"].items()
        for method, operation in item.items()
        if "(the one whose id is" not in operation["summary"]
    }
    assert set(documented) == made


def test_routes_about_sessions_say_that_these_may_be_unknown() -> None:
    """They are to a token with other projects, whoever else may see them."""
    paths = describe_api()["paths"]
    named = [route for route, right in permissions.ROUTES.items() if right.reach == permissions.ONE]
    for route in (*named, "POST /api/v1/commands"):
        method, _, rule = route.partition(" ")
        path = rule.replace("<", "{").replace(">", "}")
        assert "404" in paths[path][method.lower()]["responses"], route


def test_parameters_of_lists_stand_in_the_docs() -> None:
    documented = {code(name) for name, _ in rows(read("api.md"), "parameter")}
    listed = describe_api()["paths"]["/api/v1/sessions"]["get"]["parameters"]
    assert documented == {parameter["name"] for parameter in listed}


def describe_api() -> Any:
    """The OpenAPI document, of an application that nobody calls."""
    nothing: Any = SimpleNamespace(store=SimpleNamespace(index=None, histories=None))
    app = Flask("docs")
    mount(
        app, nothing, nothing, nothing, node_id="", max_body_bytes=1, max_value_bytes=1, asyncapi={}
    )
    return app.test_client().get("/api/v1/openapi.json").json


def all_alarms() -> dict[str, str]:
    """Those of `GET /alarms`, by what is wrong when everything is, with how bad each is."""
    node = {"node_id": "n", "ready": "0", "version": "1"}
    server = {"max_memory_bytes": 100, "used_memory_bytes": 99, "eviction_policy": "allkeys-lru"}
    facts = Facts(
        nodes=[node, {**node, "version": "2"}],
        server={**server, "aof_enabled": 0},
        jobs={"failed": 1, "queued": 100_000},
        workers=(),
        upkeep={
            "archive_failed_at": "2",
            "archived_at": "1",
            "clock_jumped_at": "4000000",
            "sweeps": '{"sweep_idle": 10}',
            "ran_at:sweep_idle": "1",
        },
        now_ms=4_000_000,
    )
    others = replace(facts, workers=[{"settings": "a"}, {"settings": "b"}])
    return {a.name: a.severity for some in (facts, others) for a in decide_alarms(some)}


def test_alarms_in_the_docs_are_those_of_the_code() -> None:
    documented = {code(name): severity for name, severity, *_ in rows(read("api.md"), "alarm")}
    assert documented == all_alarms()
    made = re.findall(
        r"yield Alarm\(", (ROOT / "service" / "observability" / "alarms.py").read_text()
    )
    assert len(documented) == len(made)  # else `all_alarms` does not bring about all of them


def test_every_alarm_has_its_place_in_operations_and_the_other_way_round() -> None:
    """Those of the service and those of Prometheus; who is woken finds four answers."""
    text = read("operations.md").partition("\n## Alarms\n")[2].partition("\n## ")[0]
    sections = re.findall(r"^### ([^\n]+)\n(.*?)(?=^### |\Z)", text, re.MULTILINE | re.DOTALL)
    named = [name for heading, _ in sections for name in re.findall(r"`(\w+)`", heading)]
    severities = {rule["alert"]: rule["labels"]["severity"] for rule in rules()} | all_alarms()
    assert sorted(named) == sorted(severities)
    for heading, body in sections:
        parts = re.findall(r"^\* \*\*(\w[\w ]*)\.\*\* \S", body, re.MULTILINE)
        assert parts == ["Means", "Clients notice", "Look", "Do"], heading
        worst = {severities[name] for name in re.findall(r"`(\w+)`", heading)}
        assert body.partition("\n")[0] in {f"*{one}*" for one in worst}, heading


def table_of(rights: Mapping[str, permissions.Right]) -> dict[str, list[str]]:
    return {
        name: [
            *(
                "yes" if right.is_public or role in right.roles else ""
                for role in permissions.ROLES
            ),
            "everybody" if right.is_public else right.reach,
        ]
        for name, right in rights.items()
    }


def test_table_of_roles_in_the_docs_is_the_one_that_is_enforced() -> None:
    for head, rights in (("who may send", permissions.EVENTS), ("who may ask", permissions.ROUTES)):
        documented = {code(name): cells for name, *cells in rows(read("protocol.md"), head)}
        assert documented == table_of(rights)
        assert list(documented) == list(rights)


def test_claims_in_the_docs_are_those_that_are_read() -> None:
    documented = {
        name
        for names, _ in rows(read("protocol.md"), "claim")
        for name in re.findall(r"`(\w+)`", names)
    }
    assert documented == {*CLAIMS, "prefix"}


# -- metrics, Redis --


def test_metrics_in_the_docs_are_those_of_the_code() -> None:
    metrics = Metrics()
    kinds = {family.name: family.type for family in metrics.registry.collect()}
    ends = {"counter": "_total"}
    known = {name + ends.get(kind, ""): kind for name, kind in kinds.items()}
    table = rows(read("watching.md"), "metric")
    assert {code(name): kind for name, kind, _, _ in table} == known
    labels = {one.name + ends.get(kinds[one.name], ""): one.label for one in metrics.instruments}
    documented = {code(name): label.strip("`") for name, kind, label, _ in table if label}
    assert documented == {name: label for name, label in labels.items() if label}


def test_redis_keys_in_the_docs_are_those_of_the_code() -> None:
    """Every method of `Keys` makes a key of the table, and the scripts name no other."""
    keys = Keys("P", 1)
    examples = {
        "session_id": "<id>",
        "partition": 0,
        "node_id": "<node_id>",
        "worker": "<name>",
        "project_id": "<project_id>",
        "data_key": "<key>",
        "writer_id": "<node_id>",
        "token": "<token>",
        "batch_id": "<batch_id>",
        "sweep": "<sweep>",
    }
    made = {
        keys.meta,
        keys.mq,
        keys.nodes,
        keys.workers,
        keys.alarms,
        keys.alarm_history,
        keys.upkeep,
        keys.turns,
        keys.quarantined_jobs,
    }
    batch = keys.command_batch("<batch_id>")
    made |= {batch + ":devices", batch + ":refused"}
    for name in vars(Keys):
        method = getattr(keys, name)
        if name.startswith("_") or name in ("partition", "tag"):
            continue
        wanted = method.__func__.__code__.co_varnames[1 : method.__func__.__code__.co_argcount]
        made.add(method(*(examples[one] for one in wanted)))
    table = {code(key) for key, *_ in rows(read("redis.md"), "key") if key.startswith("`P")}
    assert table == {key.replace("{0}", "{p}") for key in made}


def test_keys_named_in_scripts_stand_in_the_docs() -> None:
    table = {code(key) for key, *_ in rows(read("redis.md"), "key") if key.startswith("`P")}
    kinds = {re.sub(r"^P:\{p\}:(\w+).*$", r"\1", key) for key in table}
    for script in LUA_DIR.glob("*.lua"):
        text = script.read_text()
        named = set(re.findall(r"tag \.\. '(\w+)", text)) | set(re.findall(r"key\('(\w+)'", text))
        assert named <= kinds, script.name


def test_scripts_in_the_docs_are_those_of_the_code() -> None:
    documented = {
        name
        for script, *_ in rows(read("redis.md"), "script")
        for name in re.findall(r"`(\w+)`", script)
    }
    assert documented == {script.stem for script in LUA_DIR.glob("*.lua")} - {"shared"}


def test_session_fields_in_the_docs_are_those_of_the_scripts() -> None:
    """The fields that scripts write to the session's hash are those named under Ownership."""
    text = re.search(r"Fields of `P:\{p\}:session:<id>`: `([^`]+)`", read("redis.md"))
    assert text
    documented = set(re.split(r",\s+", text[1]))
    written: set[str] = set()
    for script in LUA_DIR.glob("*.lua"):
        source = script.read_text()
        for call in re.findall(
            r"'HSET', (?:session|key\('session', id\)), (.*?)\)\n", source, re.DOTALL
        ):
            written |= set(re.findall(r"'([a-z_]+)',", call))
        written |= set(re.findall(r"'HINCRBY', (?:session|key\('session', id\)), '(\w+)'", source))
    assert written - {"active", "inactive", "archived"} - documented == set()  # these are values
    everything = "".join(script.read_text() for script in LUA_DIR.glob("*.lua"))
    assert {field for field in documented if f"'{field}'" not in everything} == set()


# -- what is needed --


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_servers_that_will_do_are_the_same_everywhere(page: Path) -> None:
    """What a page asks for is what `muster up` and `muster doctor` ask for."""
    named = re.findall(r"(Redis|Valkey) (?:≥|>=) ?([\d.]+\d|\d)", page.read_text())
    assert all(text == oldest(kind) for kind, text in named)


def test_servers_that_will_do_are_named_to_operators() -> None:
    for page in ("redis.md", "operations.md"):
        assert f"Redis ≥ {oldest('Redis')} or Valkey ≥ {oldest('Valkey')}" in read(page)


# -- links, pictures, make --


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Files are there, and so are the headings within them."""
    for target in re.findall(r"\]\((?!https?://)([^)]+)\)", page.read_text()):
        file, _, anchor = target.partition("#")
        path = (page.parent / file) if file else page
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, target


def slug(heading: str) -> str:
    """The anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("picture", sorted(DOCS.glob("**/*.svg")), ids=lambda path: path.name)
def test_pictures_are_well_formed_and_say_what_they_show(picture: Path) -> None:
    root = ElementTree.fromstring(picture.read_text())
    names = {child.tag.rpartition("}")[2] for child in root}
    assert {"title", "desc"} <= names


def test_make_commands_in_the_readme_exist() -> None:
    named = set(re.findall(r"`?make (\w+)`?", (ROOT / "README.md").read_text()))
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"run", "test"} <= named <= targets


# -- README's snippets --


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The two nodes that the README speaks of."""
    with running_pair(tmp_path_factory.mktemp("readme")) as made:
        yield made


def snippets(language: str, pair: Cluster) -> list[str]:
    """README's code in a language, with the addresses of this cluster."""
    found = re.findall(
        rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    for port, url in zip((5000, 5001), pair.urls, strict=True):
        found = [text.replace(f"http://127.0.0.1:{port}", url) for text in found]
    return found


class Program:
    """A snippet as a program of its own, and what it prints."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    def close(self) -> None:
        self.process.kill()
        self.process.wait(60)
        self._reader.join(60)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    """Programs that are ended at the end of the test."""
    running: list[Program] = []
    yield running
    for program in running:
        program.close()


@pytest.mark.processes
def test_readme_snippets_run_against_two_nodes(
    pair: Cluster, programs: list[Program], tmp_path: Path
) -> None:
    """The devices come, send and obey; the dashboard on the other node sees it and commands them."""
    python_device, program = snippets("python", pair)
    javascript_device, dashboard, command = snippets("js", pair)
    for text in (python_device, javascript_device, dashboard):
        assert len(text.splitlines()) <= 11
    (tmp_path / "device.py").write_text(python_device)
    (tmp_path / "device.js").write_text(javascript_device)
    (tmp_path / "dashboard.js").write_text(dashboard + command)

    programs.append(
        Program(
            subprocess.Popen(
                [sys.executable, "-u", str(tmp_path / "device.py")],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    )
    programs.append(Program(run_script(tmp_path / "device.js")))
    wait_until(lambda: all("rev" in program.output for program in programs), 20, what="acks")

    operator = Bare(pair.urls[1])
    for device_id in ("kiosk-py", "kiosk-js"):
        session = operator.ok("get_active_session", {"device_id": device_id})["session"]
        assert session["telemetry"]["visitors"] >= 0
        answer = operator.ok(
            "send_command", {"device_id": device_id, "command": "report_now", "wait": "result"}
        )
        assert answer["result"] == "did report_now"

    watching = Program(run_script(tmp_path / "dashboard.js"))
    programs.append(watching)
    wait_until(lambda: "kiosk-py" in watching.output, 15, what="the dashboard's snapshot")
    wait_until(
        lambda: re.search(r"data .*visitors", watching.output, re.DOTALL), 10, what="samples"
    )
    wait_until(lambda: "result: 'did report_now'" in watching.output, 10, what="command's answer")
    (tmp_path / "program.py").write_text(program)
    (tmp_path / "muster-data").mkdir()
    write_url(tmp_path / "muster-data", pair.server.url)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "program.py")],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.stdout.splitlines()[1:] == ["did report_now", "{'visitors': 1200}"], done.stderr
    operator.ok("join_session", {"session_id": "kiosk-js"})
    wait_until(
        lambda: re.search(r"changed.*kiosk-js", watching.output, re.DOTALL), 10, what="a change"
    )
    operator.close()
