"""Research's metrics: the drift report in force as the lake holds it, and nothing of one that has not passed."""

import json
from pathlib import Path

import httpx
import numpy as np
import polars as pl
from prometheus_client.parser import text_string_to_metric_families

from market.schema import schema_sha
from monitoring.drift import DriftReport, drift_report
from monitoring.metrics import RESEARCH_METRICS
from orchestration.exporter import metrics_page
from storage.lake import Lake
from tests.builders_drift import PARAMETERS, ROWS, sample

NAMES = ("spread_ticks", "queue_imbalance")
SYMBOL = "binance-x"


def report() -> DriftReport:
    """Two windows, of which the newer one is shifted."""
    rng = np.random.default_rng(3)
    live, reference = (rng.normal(size=(rows, 2)).astype(np.float32) for rows in (2 * ROWS + 1, 4_000))
    live[ROWS:, 1] += 1.0
    return drift_report(NAMES, sample(live), sample(reference), PARAMETERS)


def put(lake: Lake, made: DriftReport, passed: bool) -> None:
    frame = pl.DataFrame(made.rows(), infer_schema_length=None)
    facts = {"live_until_ts": 1_723_161_600_500_000_000}
    lake.write("drift", SYMBOL, "all", frame, schema_sha=schema_sha(frame.schema), metadata=facts)
    lake.set_verdict("drift", SYMBOL, "all", passed, {"judged": passed})


def _of(labels: dict[str, str]) -> str:
    return next(labels[name] for name in ("feature", "job", "symbol") if name in labels)


def scraped(port: int) -> dict[str, dict[str, float]]:
    """Values by metric, each by its feature (or by its symbol or job, where it has none)."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").raise_for_status().text
    return {
        family.name: {_of(s.labels): s.value for s in family.samples} for family in text_string_to_metric_families(text)
    }


def test_the_report_in_the_lake_is_what_is_scraped_also_after_the_next_one(tmp_path: Path) -> None:
    lake, made = Lake(tmp_path), report()
    with metrics_page(lake, tmp_path / "failures.jsonl", SYMBOL, "127.0.0.1", 0) as port:
        assert scraped(port) == {metric.name: {} for metric in RESEARCH_METRICS} | {"drift_watched": {SYMBOL: 1.0}}
        put(lake, made, passed=True)
        shown = scraped(port)
        assert shown["feature_shift_ks"] == {shift.name: shift.ks for shift in made.newest.features}
        assert shown["feature_shift"] == {shift.name: shift.shift for shift in made.newest.features}
        assert shown["feature_drifted"] == {"spread_ticks": 0.0, "queue_imbalance": 1.0}
        assert shown["drift_live_until_seconds"] == {SYMBOL: 1_723_161_600.5}
        put(lake, made, passed=False)
        assert scraped(port)["feature_shift_ks"] == {}


def test_a_run_that_failed_is_counted_once_by_its_job(tmp_path: Path) -> None:
    lines = [("a", "slices"), ("b", "monitoring"), ("a", "slices"), ("c", "slices")]
    path = tmp_path / "failures.jsonl"
    path.write_text("".join(json.dumps({"run_id": run_id, "job": job}) + "\n" for run_id, job in lines))
    with metrics_page(Lake(tmp_path / "lake"), path, SYMBOL, "127.0.0.1", 0) as port:
        assert scraped(port)["failed_runs"] == {"slices": 2.0, "monitoring": 1.0}
