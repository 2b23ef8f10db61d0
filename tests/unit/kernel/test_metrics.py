"""Metrics: declared once, one registry for each service, served over HTTP."""

import urllib.request
from math import isnan, nan

import pytest
from prometheus_client import CollectorRegistry

from kernel.commands import CommandMetrics
from kernel.consumers.limits import ConsumerMetrics
from kernel.metrics import SOURCES_MAX, Metrics, MetricsEndpoint
from kernel.reactions import EffectMetrics
from kernel.relay.relay import RelayMetrics
from kernel.store.postgres import AppendMetrics
from kernel.timers import TimerMetrics

LABELS = {
    "service",
    "method",
    "code",
    "reason",
    "outcome",
    "command",
    "role",
    "lane",
    "consumer",
    "projection",
    "source",
} | {
    "reaction",
    "timer",
}


class EveryPart(CommandMetrics, AppendMetrics, EffectMetrics, TimerMetrics, RelayMetrics, ConsumerMetrics):
    """What the parts of the kernel ask of metrics, together."""


def test_every_part_of_the_kernel_can_report_to_it() -> None:
    asked = {name for part in EveryPart.__mro__ for name in vars(part) if not name.startswith("_")}
    assert asked
    assert {name for name in asked if not callable(getattr(Metrics, name, None))} == set()


def test_every_metric_says_what_it_means_and_has_bounded_labels() -> None:
    metrics = Metrics(CollectorRegistry())
    for family in metrics.registry.collect():
        assert family.name.startswith("holdspace_")
        assert family.documentation.endswith(".")
    labels = {label for metric in vars(metrics).values() for label in getattr(metric, "_labelnames", ())}
    assert labels <= LABELS


def test_two_services_in_one_process_count_apart() -> None:
    one, other = Metrics(CollectorRegistry()), Metrics(CollectorRegistry())
    one.appended("APPENDED", 2)
    assert one.registry.get_sample_value("holdspace_appends_total", {"outcome": "APPENDED"}) == 2
    assert other.registry.get_sample_value("holdspace_appends_total", {"outcome": "APPENDED"}) is None


def test_metrics_are_served_until_they_are_stopped() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.ready(True)
    endpoint = MetricsEndpoint(metrics, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{endpoint.port}/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        assert "holdspace_ready 1.0" in answer.read().decode()
    with pytest.raises(OSError, match="in use"):
        MetricsEndpoint(metrics, "127.0.0.1", endpoint.port)
    endpoint.stop()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url, timeout=5)


def test_a_source_that_is_gone_is_shown_no_more_and_one_that_is_not_known_is_no_number() -> None:
    metrics = Metrics(CollectorRegistry())

    def shown(source: str) -> float | None:
        labels = {"consumer": "c", "source": source}
        return metrics.registry.get_sample_value("holdspace_consumer_source_age_seconds", labels)

    metrics.source_ages("c", {"moderation/a/1": 0.5, "moderation/b/1": nan})
    assert shown("moderation/a/1") == 0.5
    assert isnan(shown("moderation/b/1") or 0)
    metrics.source_ages("c", {"moderation/a/1": 0.7})
    assert (shown("moderation/a/1"), shown("moderation/b/1")) == (0.7, None)
    metrics.source_ages("c", {f"moderation/{n}/1": 0 for n in range(10 * SOURCES_MAX)})
    told = [sample for family in metrics.registry.collect() for sample in family.samples if "source" in sample.labels]
    assert len(told) == SOURCES_MAX
