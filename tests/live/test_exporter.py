"""What Prometheus scrapes: every metric of the list, under its name, kind and labels."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from live.exporter import PrometheusMeters
from monitoring.metrics import METRICS, Metric


def exported(meters: PrometheusMeters) -> dict[str, object]:
    return {family.name: family for family in text_string_to_metric_families(meters.text().decode())}


def record(meters: PrometheusMeters, metric: Metric) -> None:
    labels = {label: f"a {label}" for label in metric.labels}
    if metric.kind == "counter":
        meters.count(metric.name, 3, **labels)
    elif metric.kind == "gauge":
        meters.set(metric.name, -1.5, **labels)
    else:
        meters.observe(metric.name, 7.0, **labels)


def test_every_metric_is_exported_with_its_kind_and_labels() -> None:
    meters = PrometheusMeters("binance-x")
    for metric in METRICS:
        record(meters, metric)
    families = exported(meters)
    assert set(families) == {metric.name for metric in METRICS}
    for metric in METRICS:
        family = families[metric.name]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == {"symbol", *metric.labels}
            assert sample.labels["symbol"] == "binance-x"


@pytest.mark.parametrize("metric", [metric for metric in METRICS if metric.kind == "histogram"])
def test_a_histogram_has_the_buckets_of_the_list(metric: Metric) -> None:
    meters = PrometheusMeters("x")
    record(meters, metric)
    buckets = [sample for sample in exported(meters)[metric.name].samples if sample.name.endswith("_bucket")]
    assert [float(sample.labels["le"]) for sample in buckets] == [*metric.buckets, float("inf")]
    assert [sample.value for sample in buckets] == [float(bound >= 7.0) for bound in (*metric.buckets, float("inf"))]
    assert list(metric.buckets) == sorted(set(metric.buckets))


def test_values_can_be_asked_for_by_their_exported_name() -> None:
    meters = PrometheusMeters("x")
    assert meters.value("fills_total", desk="probe") == 0
    meters.count("fills", 2, desk="probe")
    meters.count("fills", 1, desk="probe")
    meters.count("fills", 5, desk="model")
    meters.count("decisions", 1, desk="b", reason="a")
    meters.count("decisions", 1, desk="a", reason="b")
    assert meters.value("fills_total", desk="probe") == 3
    assert meters.value("decisions_total", desk="a", reason="b") == 1


def test_two_runners_of_one_process_keep_their_figures_apart() -> None:
    one, other = PrometheusMeters("x"), PrometheusMeters("x")
    one.set("connected", 1)
    assert (one.value("connected"), other.value("connected")) == (1, 0)


def test_names_are_unique_and_buckets_belong_to_histograms() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert all(bool(metric.buckets) == (metric.kind == "histogram") for metric in METRICS)
