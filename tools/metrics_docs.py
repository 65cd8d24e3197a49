"""Writes docs/metrics.md: every metric of the runner and of research, from ``monitoring.metrics``."""

from pathlib import Path
from typing import Final

from monitoring.metrics import METRICS, RESEARCH_METRICS, Metric

TARGET: Final = Path(__file__).resolve().parents[1] / "docs" / "metrics.md"
INTRODUCTION: Final = """\
# Metrics

Prometheus scrapes two pages, both on loopback:

- the runner's `/metrics` (`live.api_port`): what happens while it trades;
- research's (`orchestration.metrics_port`, a part of `main.py ui`): what the newest drift report says, and how many
  runs failed. The runner does not read the lake, so that research and live share no store: this page reads the lake's
  partition `drift` at each scrape, and says nothing where the checks of that partition have not passed.

This page is written from `monitoring/metrics.py` by `tools/metrics_docs.py`; a test compares the two, another one the
list with what a runner exports. Percentiles come from the histograms, over any window:
`histogram_quantile(0.95, sum by (le, symbol) (rate(ingest_lag_ms_bucket[5m])))`. Each value bears the labels named, and
`symbol` unless it is of the whole process. `deploy/README.md` says how Prometheus and Grafana read them.
"""
ENDINGS: Final = {"counter": "_total", "gauge": "", "histogram": "_bucket"}


def page() -> str:
    """The whole page."""
    research = "\n## Research\n\nSet at each scrape from the lake; `drift_watched` from the settings.\n"
    return "\n".join([INTRODUCTION, "## Runner\n", *_table(METRICS), research, *_table(RESEARCH_METRICS), ""])


def _table(metrics: tuple[Metric, ...]) -> list[str]:
    return ["| metric | unit | labels | meaning |", "| --- | --- | --- | --- |", *map(_line, metrics)]


def _line(metric: Metric) -> str:
    labels = ", ".join([*(["symbol"] if metric.scope == "symbol" else []), *metric.labels])
    buckets = f"; buckets up to {', '.join(f'{bound:g}' for bound in metric.buckets)}" if metric.buckets else ""
    return f"| `{metric.name}{ENDINGS[metric.kind]}` | {metric.unit} | {labels} | {metric.help}{buckets} |"


if __name__ == "__main__":
    TARGET.write_text(page())
