"""The figures that deploy/ asks for, and those that a scrape has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from service.observability.metric_types import Counter
from service.observability.metrics import Metrics

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "muster.json"
#: Words of PromQL, what Prometheus itself knows, and Grafana's variables.
_WORDS = frozenset(
    {
        "absent",
        "and",
        "avg",
        "avg_over_time",
        "by",
        "count",
        "histogram_quantile",
        "increase",
        "max",
        "min",
    }
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
    ends = {
        "counter": ["_total"],
        "histogram": ["_bucket", "_sum", "_count"],
        "summary": ["_sum", "_count"],
    }
    for family in metrics.registry.collect():
        for end in ends.get(family.type, [""]):
            found[family.name + end] = set()
    for instrument in metrics.instruments:
        for name in found:
            if instrument.label and name.startswith(instrument.name):
                found[name].add(instrument.label)
    return found


def counters() -> list[Counter]:
    """The counters of a node, with all values that their labels can have."""
    return [one for one in Metrics().instruments if isinstance(one, Counter)]


#: Words in a name for units that are not the base unit, or for what a type says already.
_NOT_IN_NAMES = frozenset(
    {
        "ms",
        "us",
        "ns",
        "milliseconds",
        "microseconds",
        "nanoseconds",
        "minutes",
        "hours",
        "days",
        "weeks",
    }
    | {"kilobytes", "megabytes", "gigabytes", "kb", "mb", "gb", "kib", "mib", "bits", "percent"}
    | {"percentage", "celsius", "counter", "gauge", "histogram", "summary", "metric"}
)
#: Ends that Prometheus gives to series of histograms and summaries by itself, and for ages of counters.
_RESERVED = ("_bucket", "_count", "_sum", "_created", "_info")


def naming_faults(scrape: str) -> list[str]:
    """What `promtool check metrics` would say, and more: our prefix, no reserved labels, a full HELP."""
    helps = dict(re.findall(r"^# HELP (\S+) ?(.*)$", scrape, re.MULTILINE))
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", scrape, re.MULTILINE))
    faults = []
    for name, kind in kinds.items():
        if not re.fullmatch(r"(muster|process)(_[a-z0-9]+)+", name):
            faults.append(f"{name}: prefix and snake_case")
        if _NOT_IN_NAMES & set(name.split("_")):
            faults.append(f"{name}: base units, no types")
        if (kind == "counter") != name.endswith("_total"):
            faults.append(f"{name}: _total is for counters, all of them")
        if name.endswith(_RESERVED) and name != "muster_build_info":
            faults.append(f"{name}: a reserved end")
        if not helps.get(name, "").strip().endswith(".") and name.startswith("muster_"):
            faults.append(f"{name}: HELP is a sentence")
        if kind not in ("counter", "gauge", "histogram", "summary"):
            faults.append(f"{name}: type {kind}")
    for name, labels in series_of(scrape).items():
        family = re.sub(r"_(bucket|sum|count)$", "", name)
        own = labels - ({"le"} if kinds.get(family) == "histogram" else set())
        if own & {"le", "quantile", "job", "instance"} or any(one.startswith("__") for one in own):
            faults.append(f"{name}: reserved labels {own}")
        if name not in kinds and family not in kinds:
            faults.append(f"{name}: no TYPE")
    return faults


def series_of(scrape: str) -> dict[str, set[str]]:
    """Names of samples in a scrape, with their labels."""
    found: dict[str, set[str]] = {}
    for line in scrape.splitlines():
        match = re.match(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ", line)
        if match and not line.startswith("#"):
            labels = re.findall(r'(\w+)="', match[2] or "")
            found.setdefault(match[1], set()).update(labels)
    return found
