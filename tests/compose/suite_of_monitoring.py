"""Prometheus and Grafana of the compose file: they find every node, and every figure they ask for exists."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.compose.stack import Stack, has_image, run
from tests.support.figures import exposed, named_in_files, series_of
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.timeout(600), pytest.mark.processes]

PROMETHEUS, GRAFANA = "prom/prometheus:v3.5.0", "grafana/grafana:12.1.0"


def test_prometheus_finds_every_node_and_every_figure_exists(stack: Stack) -> None:
    """All that the rules and the dashboard ask for is in the scrape, and the rules are loaded."""
    if not has_image(PROMETHEUS):
        pytest.skip(f"{PROMETHEUS} cannot be had here")
    stack.add("monitoring", "prometheus")

    def ask(path: str) -> Any:
        answer = stack.fetch(f"http://prometheus:9090/api/v1/{path}")
        return json.loads(answer)["data"] if answer else {}

    def targets() -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for target in ask("targets").get("activeTargets", []):
            found.setdefault(target["labels"]["job"], []).append(target["health"])
        return found

    try:
        wanted = {"muster": ["up"] * 3, "haproxy": ["up"]}
        wait_until(lambda: targets() == wanted, 60, every_s=1, what="every target is up")
    except AssertionError as exc:
        raise AssertionError(f"{targets()}\n{stack.logs('prometheus')}") from exc
    uncounted = {name for name, labels in exposed().items() if labels}
    missing = named_in_files() - set(ask("label/__name__/values")) - uncounted
    assert missing == set()
    groups = ask("rules")["groups"]
    assert groups
    broken = [
        (rule["name"], rule.get("lastError"))
        for group in groups
        for rule in group["rules"]
        if rule.get("lastError")
    ]
    assert broken == []
    checked = run(
        "docker", "exec", stack.containers("prometheus")[0], "promtool", "check", "config",
        "/etc/prometheus/prometheus.yml",
    )  # fmt: skip
    assert "SUCCESS" in checked.stdout
    run("docker", "rm", "--force", *stack.containers("prometheus"))


def test_names_of_figures_please_promtool(stack: Stack) -> None:
    if not has_image(PROMETHEUS):
        pytest.skip(f"{PROMETHEUS} cannot be had here")
    scrape = stack.fetch("http://node:5000/metrics")
    assert series_of(scrape)
    command = ("docker", "run", "--rm", "-i", "--entrypoint", "promtool", PROMETHEUS)
    done = run(*command, "check", "metrics", input=scrape, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_grafana_has_the_dashboard(stack: Stack) -> None:
    if not has_image(GRAFANA):
        pytest.skip(f"{GRAFANA} cannot be had here")
    stack.add("monitoring", "grafana")
    user = f"admin:{stack.env('GRAFANA_PASSWORD')}"

    def found() -> list[str]:
        done = run(
            "curl", "--silent", "--user", user, f"{stack.grafana_url}/api/search?type=dash-db"
        )
        try:
            return [one["uid"] for one in json.loads(done.stdout)]
        except (ValueError, TypeError, KeyError):
            return []

    wait_until(lambda: "muster" in found(), 90, every_s=1, what="the dashboard")
