"""What the docs promise is there, and what is there stands in the docs."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from service import errors
from service.cli.app import COMMANDS, load_command
from service.config.loader import Config
from service.observability.alarms import Facts, decide_alarms
from service.observability.metrics import Metrics
from service.security import permissions
from service.security.tokens import CLAIMS
from service.sockets.events.outgoing import SERVER_EVENTS
from service.sockets.events.payloads import CLIENT_EVENTS
from tests.support.figures import rules
from tests.support.pages import PAGES, ROOT, code, describe_api, families, read, rows, subcommands


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


@functools.cache
def options_of_muster() -> set[str]:
    return {
        option
        for name in COMMANDS
        for command in subcommands(load_command(name))
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_named_in_a_page_exist(page: Path) -> None:
    """`--option` is one of some command of muster, or of compose or pytest."""
    foreign = {
        *("--whole", "--name-leaks"),  # of these tests
        "--dist",
        "--build",
        "--no-deps",
        "--no-recreate",
        "--profile",
        "--scale",
        *("--randomly-seed", "--name-leaks"),  # of pytest here
        *("--faults", "--crowd", "--keep", "--judge"),  # of python -m chaos
        "--install-completion",  # of typer, where `muster` is called by its name
        "--show-completion",
        *("--json", "--max-time", "--argjson"),  # of curl and jq
        *("--only", "--at-once"),  # of python -m chaos.mutants
        *("--seed", "--plant"),  # of python -m chaos.simulation
    }
    known = options_of_muster()
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page.read_text())) <= known | foreign | {
        "--help"
    }


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


# -- metrics --


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
