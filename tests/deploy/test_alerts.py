"""Alert rules: promtool finds them sound, each fires and keeps silent where its test says so, each has its runbook."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.metrics import METRICS, RESEARCH_METRICS
from tests.builders_prometheus import DEPLOY, ROOT, program
from tools import grafana_dashboard
from trading.records import REASON_NAMES

TESTS = DEPLOY / "prometheus" / "tests" / "alerts_test.yml"
ENDINGS = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
EXPORTED = {m.name + ending for m in (*METRICS, *RESEARCH_METRICS) for ending in ENDINGS[m.kind]} | {"up"}
REQUIRED = {"ingest_lag_ms", "ws_gap_ratio", "feature_shift_ks", "infer_p95_ms", "trade_fill_ratio", "pnl", "max_dd"}
CALLS = re.compile(r"\b(by|on|without|ignoring)\s*\([^)]*\)|\{[^}]*\}|\[[^\]]*\]|offset \w+|[a-z_0-9]+(?=\s*\()")
WORDS = {"and", "or", "unless", "by", "sum", "count", "max"}


def alerts() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def metrics_in(expression: str) -> set[str]:
    """Names that an expression reads, without functions, labels and ranges."""
    return set(re.findall(r"\b[a-z_][a-z_0-9]*\b", CALLS.sub(" ", expression))) - WORDS


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", DEPLOY / "prometheus.yml"),
        ("check", "rules", DEPLOY / "prometheus" / "alerts.yml"),
        ("test", "rules", TESTS),
    ],
    ids=["config", "rules", "tests"],
)
def test_promtool_finds_no_fault(arguments: tuple[str | Path, ...]) -> None:
    done = subprocess.run([program("promtool"), *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_seen_to_fire_and_seen_to_keep_silent() -> None:
    seen: dict[str, set[bool]] = {}
    for case in yaml.safe_load(TESTS.read_text())["tests"]:
        for check in case["alert_rule_test"]:
            seen.setdefault(check["alertname"], set()).add(bool(check["exp_alerts"]))
    assert seen == {name: {True, False} for name in alerts()}


def test_each_alert_has_a_section_of_the_runbook_and_each_section_its_alert() -> None:
    text = (ROOT / "docs" / "runbook.md").read_text()
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.M | re.S))
    assert sections.keys() == alerts().keys()
    for name, rule in alerts().items():
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{name.lower()}"
        assert rule["labels"]["severity"] in ("page", "warn")
        meaning, what_to_do = (sections[name].count(f"**{words}**") for words in ("It means", "Do"))
        assert (name, meaning, what_to_do) == (name, 1, 1)


def test_alerts_and_panels_read_what_is_exported_and_nothing_else() -> None:
    panels = {query.expression for row in grafana_dashboard.ROWS.values() for panel in row for query in panel.queries}
    for expression in (*panels, *(rule["expr"] for rule in alerts().values())):
        assert metrics_in(expression), expression
        assert metrics_in(expression) - EXPORTED == set(), expression


def test_the_metrics_that_were_asked_for_are_exported_and_drawn() -> None:
    assert {metric.name for metric in (*METRICS, *RESEARCH_METRICS)} >= REQUIRED
    drawn = " ".join(q.expression for row in grafana_dashboard.ROWS.values() for panel in row for q in panel.queries)
    assert {name for name in REQUIRED if name not in drawn} == set()


def test_gates_that_alerts_name_are_gates() -> None:
    for rule in alerts().values():
        for names in re.findall(r'gate!?[=~]+"([^"]*)"', rule["expr"]):
            assert set(names.split("|")) <= set(REASON_NAMES)


def test_names_are_found_in_an_expression() -> None:
    expression = 'sum by (le, symbol) (rate(a_total{x="b", y=~"c|d"}[5m])) / b > 0.5 and c unless c offset 15m'
    assert metrics_in(expression) == {"a_total", "b", "c"}
