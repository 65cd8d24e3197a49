"""What Prometheus scrapes: every metric of the list, under its name, kind and labels."""

import ast
from bisect import bisect_left
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from live.exporter import PrometheusMeters
from monitoring.metrics import METRICS, RESEARCH_METRICS, Metric

EVERY = (*METRICS, *RESEARCH_METRICS)
OURS = [metric for metric in METRICS if not metric.name.startswith("process_")]  # the rest is read from /proc


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
    for metric in OURS:
        record(meters, metric)
    families = exported(meters)
    assert set(families) == {metric.name for metric in METRICS}
    for metric in METRICS:
        assert (metric.name, families[metric.name].type) == (metric.name, metric.kind)
    for metric in OURS:
        family, symbol = families[metric.name], {"symbol"} if metric.scope == "symbol" else set()
        assert family.documentation == metric.help
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == symbol | set(metric.labels)
            assert sample.labels.get("symbol", "binance-x") == "binance-x"


@pytest.mark.parametrize("metric", [metric for metric in OURS if metric.kind == "histogram"])
def test_a_histogram_has_the_buckets_of_the_list(metric: Metric) -> None:
    meters = PrometheusMeters("x")
    record(meters, metric)
    buckets = [sample for sample in exported(meters)[metric.name].samples if sample.name.endswith("_bucket")]
    assert [float(sample.labels["le"]) for sample in buckets] == [*metric.buckets, float("inf")]
    assert [sample.value for sample in buckets] == [float(bound >= 7.0) for bound in (*metric.buckets, float("inf"))]
    assert list(metric.buckets) == sorted(set(metric.buckets))


def test_observations_told_at_once_are_those_told_one_by_one() -> None:
    [metric] = [metric for metric in OURS if metric.name == "infer_ms"]
    values = [0.01, 0.02, 0.021, 7.0, 7.0, 1e6]
    one, many = PrometheusMeters("x"), PrometheusMeters("x")
    counts = [0] * (len(metric.buckets) + 1)
    for value in values:
        one.observe("infer_ms", value, desk="model")
        counts[bisect_left(metric.buckets, value)] += 1
    many.merge("infer_ms", counts, sum(values), desk="model")
    many.merge("infer_ms", [0] * len(counts), 0.0, desk="probe")
    told = [line for line in one.text().decode().splitlines() if line.startswith("infer_ms")]
    assert told == [line for line in many.text().decode().splitlines() if 'desk="model"' in line]
    assert 'infer_ms_bucket{desk="model",le="0.02",symbol="x"} 2.0' in told
    assert 'infer_ms_count{desk="model",symbol="x"} 6.0' in told
    assert many.value("infer_ms_count", desk="probe") == 0


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


def test_a_gauge_that_is_forgotten_is_exported_no_more() -> None:
    meters = PrometheusMeters("x")
    meters.set("model_info", 1, role="champion", sha="old")
    meters.set("connected", 1)
    meters.forget("model_info")
    meters.set("model_info", 1, role="champion", sha="new")
    shas = [sample.labels["sha"] for sample in exported(meters)["model_info"].samples]
    assert (shas, meters.value("connected")) == (["new"], 1)


def test_what_is_set_before_a_reading_is_new_in_each() -> None:
    meters, count = PrometheusMeters("x"), 0

    def refresh() -> None:
        nonlocal count
        count += 1
        meters.set("connected", count)

    meters.before_reading(refresh)
    assert [meters.value("connected"), exported(meters)["connected"].samples[0].value] == [1, 2]


def test_names_are_unique_and_buckets_belong_to_histograms() -> None:
    assert len({metric.name for metric in EVERY}) == len(EVERY)
    assert all(bool(metric.buckets) == (metric.kind == "histogram") for metric in EVERY)


def test_every_metric_of_the_list_is_recorded_somewhere_and_nothing_that_is_not_in_it() -> None:
    recorded, spoken = set(), set()
    for path in (Path(__file__).parents[2] / "live").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=on, attr="count" | "set" | "observe"), args=[first, *_]):
                    if ast.unparse(on).endswith("meters") and isinstance(first, ast.Constant):
                        recorded.add(first.value)
                case ast.Constant(str(word)):
                    spoken.add(word)
    assert {metric.name for metric in OURS} - recorded - spoken == set()
    assert recorded - {metric.name for metric in OURS} == set()
