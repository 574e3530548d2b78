"""The figures that deploy/ asks for, and those that a scrape has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from service.metrics import Counter, Metrics

DEPLOY = Path(__file__).parents[1] / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "muster.json"
#: Words of PromQL, what Prometheus itself knows, and Grafana's variables.
_WORDS = frozenset(
    {"absent", "and", "avg", "avg_over_time", "by", "histogram_quantile", "increase", "max", "min"}
    | {"or", "rate", "sum", "unless", "vector", "label_values", "up", "ALERTS"}
)


def rules() -> list[dict[str, Any]]:
    """Every alert rule."""
    content = yaml.safe_load(RULES.read_text())
    return [rule for group in content["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def queries() -> Iterator[tuple[str, str]]:
    """Where it stands, and the PromQL."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for variable in dashboard()["templating"]["list"]:
        yield variable["name"], variable["query"]["query"]


def selectors(query: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Every series that a query names, with what it asks of labels; groupings as labels of ``""``."""
    bare = re.sub(r'"[^"]*"', '""', query)
    plain = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\bby \([^)]*\)", "", bare)
    for name in set(re.findall(r"[A-Za-z_][A-Za-z0-9_]*", plain)) - _WORDS - {"job", "instance"}:
        for _, braces in re.findall(rf"\b({name})(\{{[^}}]*\}})?", query):
            yield name, dict(re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"', braces))


def groupings(query: str) -> set[str]:
    """Labels that a query groups by."""
    found = re.findall(r"\bby \(([^)]*)\)", query)
    return {label.strip() for labels in found for label in labels.split(",")}


def named_in_files() -> set[str]:
    """Every figure of ours or HAProxy's that rules or dashboard use, as Prometheus names its samples."""
    return {name for _, query in queries() for name, _ in selectors(query)}


def exposed() -> dict[str, set[str]]:
    """Sample names of a node's metrics, counted or not yet, with their labels."""
    metrics = Metrics()
    found: dict[str, set[str]] = {}
    for family in metrics.registry.collect():
        ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
        for end in ends.get(family.type, ("",)):
            found[family.name + end] = set()
    for family in metrics._families:
        if isinstance(family, Counter) and family._label:
            found[f"{family._name}_total"].add(family._label)
    return found


def series_of(scrape: str) -> dict[str, set[str]]:
    """Names of samples in a scrape, with their labels."""
    found: dict[str, set[str]] = {}
    for line in scrape.splitlines():
        match = re.match(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ", line)
        if match and not line.startswith("#"):
            labels = re.findall(r'(\w+)="', match[2] or "")
            found.setdefault(match[1], set()).update(labels)
    return found
