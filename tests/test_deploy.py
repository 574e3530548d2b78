"""What deploy/, the Dockerfile and docker-compose.yml promise, as far as that shows without an engine."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.config.loader import Config
from service.schema.limits import MAX_WAIT_S
from tests.support.figures import (
    DASHBOARD,
    DEPLOY,
    RULES,
    counters,
    dashboard,
    exposed,
    groupings,
    queries,
    rules,
    selectors,
)

ROOT = DEPLOY.parent
COMPOSE = ROOT / "docker-compose.yml"
#: Labels that Prometheus gives to every series, and histograms to their buckets.
EVERYWHERE = {"job", "instance", "le"}
#: Of HAProxy's exporter; `make test-compose` sees whether they are there.
FOREIGN = {"haproxy_backend_active_servers": {"proxy"}}


# -- figures --


@pytest.mark.parametrize(("where", "query"), list(queries()))
def test_figures_that_are_asked_for_exist(where: str, query: str) -> None:
    """Names, and the labels they are filtered and grouped by."""
    known = exposed() | FOREIGN
    asked = list(selectors(query))
    assert asked or "up{" in query, where
    labels = set(EVERYWHERE)
    for name, filters in asked:
        assert name in known, f"{where}: {name}"
        assert filters.keys() <= known[name] | EVERYWHERE, f"{where}: {name} {filters}"
        labels |= known[name]
    assert groupings(query) <= labels, where


def test_values_of_labels_that_are_asked_for_can_occur() -> None:
    """A typing slip in a value is an alarm that never comes."""
    known: dict[str, set[str]] = {
        **{f"{one.name}_total": set(one.values) for one in counters() if one.label},
        "haproxy_backend_active_servers": {"nodes"},
    }
    for where, query in queries():
        for name, filters in selectors(query):
            for label, value in filters.items():
                if label not in EVERYWHERE:
                    assert set(value.split("|")) <= known[name], f"{where}: {name} {value}"


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_alarm_says_how_bad_what_and_what_to_do(rule: dict[str, Any]) -> None:
    assert re.fullmatch(r"Muster[A-Z][A-Za-z]+", rule["alert"])
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert set(rule["annotations"]) == {"summary", "action"}
    assert rule["expr"].count("(") == rule["expr"].count(")")
    named = re.findall(r"`((?:[a-z]+)\.[a-z_]+)`", rule["annotations"]["action"])
    defaults = Config().model_dump()
    assert all(key in defaults[group] for group, key in (name.split(".") for name in named))


@pytest.mark.processes
def test_rules_please_promtool() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("needs promtool on the path; `make test-compose` has it in a container")
    prometheus = str(DEPLOY / "prometheus" / "prometheus.yml")
    done = subprocess.run(
        ["promtool", "check", "config", prometheus], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_dashboard_is_one_that_grafana_can_place() -> None:
    """Unique ids, no panel over another, every panel with its source and what it shows."""
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
        if panel["type"] != "row":
            refs = [target["refId"] for target in panel["targets"]]
            assert len(set(refs)) == len(refs)
            assert panel["fieldConfig"]["defaults"]["unit"]
    [source] = yaml.safe_load(
        (DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text()
    )["datasources"]
    assert set(re.findall(r'"uid": "([^"]+)"', DASHBOARD.read_text())) == {"muster", source["uid"]}


# -- the compose file --


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return found


def test_only_the_proxy_and_grafana_have_a_port() -> None:
    """Each its own: on that of the pages Grafana could read the tokens that they keep in the browser."""
    services = compose()["services"]
    ports = {name: one["ports"] for name, one in services.items() if "ports" in one}
    assert ports.keys() == {"haproxy", "grafana"}
    assert ports["grafana"] == ["${GRAFANA_LISTEN:-127.0.0.1:3000}:3000"]
    assert "grafana" not in (DEPLOY / "haproxy.cfg").read_text()
    assert compose()["networks"]["store"]["internal"] is True
    assert services["valkey"]["networks"] == ["store"]
    assert services["haproxy"]["networks"] == ["edge"]


def test_nothing_scaled_has_a_name_or_an_address_of_its_own() -> None:
    for name in ("node", "worker"):
        service = compose()["services"][name]
        assert not {"container_name", "hostname", "ports"} & service.keys()


def test_image_is_built_by_one_service_and_pinned_elsewhere() -> None:
    """Two builds of one name collide in some builders."""
    services = compose()["services"]
    assert [name for name, service in services.items() if "build" in service] == ["node"]
    for service in services.values():
        assert "MUSTER_IMAGE" in service["image"] or re.search(r":v?\d", service["image"])


def test_settings_in_the_compose_file_exist() -> None:
    named = set(re.findall(r"MUSTER_([A-Z]+)__([A-Z_]+)", COMPOSE.read_text()))
    named |= set(re.findall(r"MUSTER_([A-Z]+)__([A-Z_]+)", (ROOT / ".env.example").read_text()))
    known = Config().model_dump()
    assert named
    for group, key in named:
        assert key.lower() in known[group.lower()], f"{group}.{key}"


def test_variables_of_the_compose_file_stand_in_the_example() -> None:
    used = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", COMPOSE.read_text())) - {"MUSTER_IMAGE"}
    example = re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert set(example) == used
    assert len(example) == len(set(example))


def test_store_never_evicts_and_writes_to_disk() -> None:
    [script] = compose()["services"]["valkey"]["command"]
    assert "maxmemory-policy noeviction\n" in script
    assert "appendonly yes\n" in script


def test_store_has_a_password_that_no_command_line_shows() -> None:
    """Compose replaces `$name`, and leaves `$$name` to the container's own environment."""
    valkey = compose()["services"]["valkey"]
    [script] = valkey["command"]
    assert "requirepass $$REDISCLI_AUTH\n" in script
    assert "VALKEY_PASSWORD" not in script
    assert valkey["environment"]["REDISCLI_AUTH"].startswith("${VALKEY_PASSWORD:?")
    assert "-a " not in str(valkey["healthcheck"]["test"])


def test_every_container_has_limits() -> None:
    for name, service in compose()["services"].items():
        assert service["mem_limit"], name
        assert service["pids_limit"], name


def test_there_is_time_to_drain() -> None:
    grace_s = int(compose()["services"]["node"]["stop_grace_period"].removesuffix("s"))
    assert grace_s > Config().node.drain_s + 5


def test_idle_connections_outlive_the_pings() -> None:
    """HAProxy never ends a websocket or a poll that a node still thinks is alive."""
    text = (DEPLOY / "haproxy.cfg").read_text()
    [tunnel] = re.findall(r"timeout tunnel (\d+)m", text)
    [server] = re.findall(r"timeout server (\d+)s", text)
    quiet_s = Config().node.ping_interval_s + Config().node.ping_timeout_s
    assert int(tunnel) * 60 > quiet_s
    assert int(server) > quiet_s


def test_requests_may_wait_as_long_as_the_api_says() -> None:
    [server] = re.findall(r"timeout server (\d+)s", (DEPLOY / "haproxy.cfg").read_text())
    assert int(server) > MAX_WAIT_S


@pytest.mark.processes
def test_haproxy_takes_its_file(tmp_path: Path) -> None:
    if shutil.which("haproxy", path="/usr/sbin:/usr/bin") is None:
        pytest.skip("needs haproxy; `make test-compose` runs it in a container")
    for extra in ({}, {"HOSTS": "a.example b.example", "BEHIND": "10.0.0.1 10.1.0.0/16"}):
        done = subprocess.run(
            ["haproxy", "-c", "-f", str(DEPLOY / "haproxy.cfg")],
            env={"PATH": "/usr/sbin:/usr/bin", **extra},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "WARNING" not in done.stderr


# -- the image --


def test_image_is_not_root_and_installs_by_hash() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    assert "--require-hashes -r requirements.lock" in text
    assert "HEALTHCHECK" in text
    for only_buildkit in ("--mount", "<<EOF", "# syntax=", "--link", "--chmod"):
        assert only_buildkit not in text


def test_engine_gets_no_secrets_and_no_data() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    kept = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert "*" in lines
    copied = re.findall(
        r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE
    )
    assert kept == {name.rstrip("/") for names in copied for name in names.split()}


# -- .env --


#: What `make env` draws.
SECRETS = ["MUSTER_AUTH__SECRET", "VALKEY_PASSWORD", "GRAFANA_PASSWORD"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    shutil.copy(ROOT / ".env.example", tmp_path)
    return tmp_path


def make_env(checkout: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(checkout / "deploy" / "make-env")], capture_output=True, text=True, check=False
    )


@pytest.mark.processes
def test_make_env_makes_secrets_for_the_owner_alone(checkout: Path) -> None:
    assert make_env(checkout).returncode == 0
    made = checkout / ".env"
    assert made.stat().st_mode & 0o777 == 0o600
    values = dict(re.findall(r"^([A-Z_]+)=(.*)$", made.read_text(), re.MULTILINE))
    secrets = [values[name] for name in SECRETS]
    assert all(len(secret) == 64 for secret in secrets)
    assert len(set(secrets)) == len(SECRETS)
    assert sorted(path.name for path in checkout.glob(".env*")) == [".env", ".env.example"]


@pytest.mark.processes
def test_make_env_leaves_what_is_there(checkout: Path) -> None:
    make_env(checkout)
    before = (checkout / ".env").read_bytes()
    again = make_env(checkout)
    assert again.returncode == 0
    assert "stays" in again.stdout
    assert (checkout / ".env").read_bytes() == before
    (checkout / ".env").write_text("LISTEN=8080\n")
    assert make_env(checkout).returncode == 1
    assert (checkout / ".env").read_text() == "LISTEN=8080\n"


@pytest.mark.processes
def test_make_env_adds_the_password_that_an_older_file_lacks(checkout: Path) -> None:
    """All else stays, and what its container may use follows what the store may hold."""
    old = "MUSTER_AUTH__SECRET=kept\nVALKEY_MAXMEMORY=8gb\nLISTEN=8080"
    (checkout / ".env").write_text(old)
    assert make_env(checkout).returncode == 0
    text = (checkout / ".env").read_text()
    assert re.fullmatch(
        rf"{re.escape(old)}\nVALKEY_PASSWORD=[0-9a-f]{{64}}\nVALKEY_MEMORY=24g\n", text
    )
    assert make_env(checkout).returncode == 0
    assert (checkout / ".env").read_text() == text


def test_secrets_stay_out_of_the_repository() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()
    empty = re.findall(
        r"^(\w*(?:SECRET|PASSWORD))=$", (ROOT / ".env.example").read_text(), re.MULTILINE
    )
    assert empty == SECRETS
    assert RULES.exists()
