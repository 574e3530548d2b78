"""Figures: names, labels and what a client cannot do to them."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service import errors
from service.observability.metrics import Metrics
from tests.support.figures import naming_faults


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
    assert naming_faults(Metrics().expose().decode()) == []


@pytest.mark.parametrize(
    "wrong",
    [
        "# HELP muster_x Text.\n# TYPE muster_x counter\nmuster_x 1\n",
        "# HELP muster_x_total Text.\n# TYPE muster_x_total gauge\nmuster_x_total 1\n",
        "# HELP muster_x_ms Text.\n# TYPE muster_x_ms gauge\nmuster_x_ms 1\n",
        "# HELP muster_x_count Text.\n# TYPE muster_x_count gauge\nmuster_x_count 1\n",
        "# HELP muster_xY Text.\n# TYPE muster_xY gauge\nmuster_xY 1\n",
        "# TYPE muster_x gauge\nmuster_x 1\n",
        '# HELP muster_x Text.\n# TYPE muster_x gauge\nmuster_x{le="1"} 1\n',
        "muster_x 1\n",
    ],
)
def test_names_against_the_rules_are_noticed(wrong: str) -> None:
    """The test above can fail."""
    assert naming_faults(wrong)


def test_all_values_of_labels_are_there_from_zero_on() -> None:
    """Else `rate` misses the first error of a kind, and an alarm its first reason."""
    shown = samples(Metrics())
    for error in vars(errors).values():
        if isinstance(error, type) and issubclass(error, errors.ServiceError):
            assert shown["muster_errors_total", (error.code,)] == 0
    assert shown["muster_slow_clients_total", ("conflated",)] == 0
    assert shown["muster_commands_total", ("expired",)] == 0
    assert shown["muster_feed_losses_total", ("feed_trimmed",)] == 0


def test_histogram_counts_a_value_in_every_bucket_that_holds_it() -> None:
    metrics = Metrics()
    for samples_of_a_flush in (1, 5, 6, 10_000):
        metrics.flush_samples.observe(samples_of_a_flush)
    shown = samples(metrics)
    ends = ("1.0", "5.0", "20.0", "2000.0", "+Inf")
    buckets = [shown["muster_flush_samples_bucket", (end,)] for end in ends]
    assert buckets == [1, 2, 3, 3, 4]
    assert shown["muster_flush_samples_count", ()] == 4
    assert shown["muster_flush_samples_sum", ()] == 10_012


def test_timings_have_count_and_sum_by_what_it_was() -> None:
    metrics = Metrics()
    metrics.redis_calls.observe("append", 0.25)
    metrics.redis_calls.observe("append", 0.5)
    shown = samples(metrics)
    assert shown["muster_redis_call_seconds_count", ("append",)] == 2
    assert shown["muster_redis_call_seconds_sum", ("append",)] == 0.75


def test_two_registries_do_not_meet() -> None:
    first, second = Metrics(), Metrics()
    first.ack()
    assert samples(second)["muster_acks_total", ()] == 0
