"""Figures: names, labels and what a client cannot do to them."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from service.metrics import Metrics


def samples(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    families = text_string_to_metric_families(metrics.expose().decode())
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def test_expose_shows_counters_gauges_and_histograms() -> None:
    metrics = Metrics()
    metrics.expect_event("ping")
    metrics.event("ping")
    metrics.ack()
    metrics.error("conflict")
    metrics.devices.set(3)
    metrics.dashboards.read_from(lambda: 4)
    metrics.flush_seconds.observe(0.02)
    shown = samples(metrics)
    assert shown["muster_events_total", ("ping",)] == 1
    assert shown["muster_acks_total", ()] == 1
    assert shown["muster_errors_total", ("conflict",)] == 1
    assert shown["muster_devices", ()] == 3
    assert shown["muster_dashboards", ()] == 4
    assert shown["muster_flush_seconds_bucket", ("0.025",)] == 1


def test_events_that_nobody_handles_share_one_label() -> None:
    """A client cannot make labels."""
    metrics = Metrics()
    for n in range(1000):
        metrics.event(f"made up {n}")
    metrics.event("other")
    assert metrics.events.values == {"other": 1001}


def test_reasons_of_the_end_are_those_of_the_table() -> None:
    metrics = Metrics()
    metrics.disconnects.add("draining")
    metrics.disconnects.add("something else")
    assert metrics.disconnects.values["draining"] == 1
    assert metrics.disconnects.values["other"] == 1


def test_names_follow_the_rules_of_prometheus() -> None:
    metrics = Metrics()
    for family in text_string_to_metric_families(metrics.expose().decode()):
        assert family.name.startswith("muster_")
        assert family.documentation.endswith(".")
        assert not family.name.endswith("_total")


def test_two_registries_do_not_meet() -> None:
    first, second = Metrics(), Metrics()
    first.ack()
    assert samples(second)["muster_acks_total", ()] == 0
