"""Writes deploy/grafana/dashboards/tickloop.json: rows of panels from the lists below.

Each panel has one or more queries; ``$symbol`` is the dashboard's variable, ``$__rate_interval`` Grafana's own.
"""

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

TARGET: Final = Path(__file__).resolve().parents[1] / "deploy" / "grafana" / "dashboards" / "tickloop.json"
DATASOURCE: Final = {"type": "prometheus", "uid": "tickloop-prometheus"}
COLUMNS: Final = 24
HEIGHT: Final = 7
S: Final = 'symbol=~"$symbol"'


class Query(NamedTuple):
    """One PromQL expression, and what its lines are called."""

    expression: str
    legend: str


class Panel(NamedTuple):
    """One panel; ``width`` of 24 columns, ``unit`` in Grafana's words."""

    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    width: int = 8
    kind: str = "timeseries"
    about: str = ""
    stacked: bool = False
    bars: tuple[tuple[float, str], ...] = ()  # value from which a colour holds
    text: str = "auto"  # what a stat shows: its value, or only its name


def quantile(share: float, metric: str, by: str, selector: str = S) -> str:
    """A percentile over the rate of a histogram."""
    return f"histogram_quantile({share}, sum by (le, {by}) (rate({metric}_bucket{{{selector}}}[$__rate_interval])))"


def percentiles(metric: str, by: str, selector: str = S) -> tuple[Query, ...]:
    """p50, p95 and p99 of a histogram."""
    return tuple(
        Query(quantile(share, metric, by, selector), f"p{share * 100:.0f} {{{{{by}}}}}") for share in (0.5, 0.95, 0.99)
    )


def rate(metric: str, by: str, more: str = "") -> str:
    """Events a second of a counter, summed by labels."""
    return f"sum by ({by}) (rate({metric}_total{{{S}{more}}}[$__rate_interval]))"


AGREED: Final = ", agree='yes'"
GOOD_BAD: Final = ((0, "green"), (1, "red"))
ROWS: Final[dict[str, tuple[Panel, ...]]] = {
    "Market and line": (
        Panel("Connected", (Query(f"connected{{{S}}}", "{{symbol}}"),), "bool_yes_no", 4, "stat",
              bars=((0, "red"), (1, "green"))),
        Panel("Gap ratio since the start", (Query(f"ws_gap_ratio{{{S}}}", "{{symbol}}"),), "percentunit", 4, "stat",
              bars=((0, "green"), (0.01, "red"))),
        Panel("Feed delay", percentiles("ingest_lag_ms", "symbol"), "ms", 8, about="received minus aligned venue time",
              bars=((0, "green"), (300, "red"))),
        Panel("Frames", (Query(rate("frames", "symbol"), "{{symbol}}"),), "cps"),
        Panel("Gaps and lost lines", (
            Query(rate("gaps", "symbol"), "gaps {{symbol}}"),
            Query(rate("disconnects", "symbol"), "lost lines {{symbol}}"),
        ), "cps"),
        Panel("Snapshots that opened the book", (Query(f"resyncs_total{{{S}}}", "{{symbol}}"),)),
        Panel("Frames that could not be read", (Query(rate("malformed_frames", "symbol"), "{{symbol}}"),), "cps"),
    ),
    "Signal and model": (
        Panel("Models in force", (Query(f"model_info{{{S}}}", "{{symbol}} {{role}} {{sha}}"),), "short", 8, "stat",
              about="sha of each role, and what a rollback brings back", text="name"),
        Panel("Expected return against cost", (
            Query(f"expected_return_bp{{{S}, desk=~'model|challenger'}}", "return {{desk}}"),
            Query(f"expected_cost_bp{{{S}, desk='model'}}", "cost"),
        ), "bp"),
        Panel("Forecast by class", (Query(f"probability{{{S}, desk='model'}}", "{{class}}"),), "percentunit",
              stacked=True),
        Panel("Feature shift, raw KS", (Query(f"topk(5, feature_shift_ks{{{S}}})", "{{feature}}"),), "percentunit",
              about="the raw statistic; on autocorrelated features it is large without a shift"),
        Panel("Features that drifted", (Query(f"sum by (symbol) (feature_drifted{{{S}}})", "{{symbol}}"),), "short", 4,
              "stat", "beyond chance and beyond the floor", bars=GOOD_BAD),
        Panel("Age of the drift report", (Query(f"time() - drift_live_until_seconds{{{S}}}", "{{symbol}}"),), "s", 4,
              "stat"),
        Panel("Champion and challenger agree", (
            Query(f"{rate('shadow_rows', 'symbol', AGREED)} / {rate('shadow_rows', 'symbol')}",
                  "{{symbol}}"),
        ), "percentunit", about="share of rows whose targets lie on the same side"),
        Panel("Deployments and rollbacks", (
            Query(f"deployments_total{{{S}}}", "deployed {{role}}"),
            Query(f"rollbacks_total{{{S}}}", "rolled back {{role}}"),
            Query(f"refused_bundles_total{{{S}}}", "refused: {{reason}}"),
        )),
    ),
    "Trading and PnL": (
        Panel("PnL", (Query(f"pnl{{{S}}}", "{{symbol}} {{desk}}"),), "short", 12,
              about="settlement currency, since the start of the process, marked at mid"),
        Panel("Position and target", (
            Query(f"position_lots{{{S}}}", "held {{desk}}"),
            Query(f"target_lots{{{S}, desk='model'}}", "target {{desk}}"),
        ), "short", 12),
        Panel("Orders and fills", (
            Query(rate("orders", "desk"), "orders {{desk}}"),
            Query(rate("fills", "desk"), "fills {{desk}}"),
        ), "cps"),
        Panel("Filled of placed", (Query(f"trade_fill_ratio{{{S}}}", "{{symbol}} {{desk}}"),), "percentunit"),
        Panel("Way to the exchange", (
            Query(f"order_line_up{{{S}}}", "up {{symbol}}"),
            Query(f"unsettled_orders{{{S}}}", "unsettled orders {{symbol}}"),
        ), about="of symbols whose orders go to an exchange"),
        Panel("What befell orders and account stream", (
            Query(rate("order_events", "kind"), "orders: {{kind}}"),
            Query(rate("account_stream_events", "kind"), "stream: {{kind}}"),
        ), "cps"),
        Panel("Our clock less the venue's", (Query(f"venue_clock_offset_ms{{{S}}}", "{{symbol}}"),), "ms"),
        Panel("Refused by the venue", (Query(rate("rejects", "desk, reason"), "{{desk}}: {{reason}}"),), "cps"),
    ),
    "Latency": (
        Panel("Row to decision", percentiles("batch_to_decision_ms", "desk", f"{S}, desk='model'"), "ms",
              about="instant of the row to its decision: close of a micro-batch to infer_ts"),
        Panel("Own time a row", percentiles("infer_ms", "desk", f"{S}, desk='model'"), "ms",
              bars=((0, "green"), (3, "red"))),
        Panel("Own time a row, p95 of the last minute", (Query(f"infer_p95_ms{{{S}}}", "{{symbol}} {{desk}}"),), "ms"),
        Panel("Event loop", percentiles("event_loop_lag_ms", "job", ""), "ms", about="how late a timer wakes"),
        Panel("A write of the journal", percentiles("journal_flush_ms", "symbol"), "ms"),
        Panel("Skipped decisions", (Query(rate("skipped_decisions", "symbol, desk"), "{{symbol}} {{desk}}"),), "cps"),
    ),
    "Risk": (
        Panel("Latched gates", (Query(f"gate_latched{{{S}}}", "{{desk}}: {{gate}}"),), "bool_yes_no", 12, "stat",
              bars=GOOD_BAD),
        Panel("Deepest drawdown", (Query(f"max_dd{{{S}}}", "{{symbol}} {{desk}}"),), "short", 6,
              about="settlement currency, since the start of the process"),
        Panel("Drawdown limit used", (Query(f"drawdown_used{{{S}}}", "{{symbol}} {{desk}}"),), "percentunit", 6,
              bars=((0, "green"), (0.75, "red"))),
        Panel("Decisions by reason", (Query(rate("decisions", "reason", ", desk='model'"), "{{reason}}"),), "cps", 16,
              stacked=True),
        Panel("Targets that a cap bound, or a gate halved", (
            Query(f"{rate('capped_decisions', 'desk')} / {rate('decisions', 'desk')}", "capped {{desk}}"),
            Query(f"{rate('halved_decisions', 'desk')} / {rate('decisions', 'desk')}", "halved {{desk}}"),
        ), "percentunit"),
    ),
    "System": (
        Panel("Memory", (Query("process_resident_memory_bytes{job='tickloop-runner'}", "{{instance}}"),), "bytes"),
        Panel("Processor", (
            Query("rate(process_cpu_seconds_total{job='tickloop-runner'}[$__rate_interval])", "{{instance}}"),
        ), "percentunit"),
        Panel("Descriptors", (Query("process_open_fds{job='tickloop-runner'}", "{{instance}}"),)),
        Panel("Journal", (Query(rate("journal_bytes", "symbol"), "{{symbol}}"),), "Bps"),
        Panel("States kept beside the journal", (
            Query(f"increase(snapshots_total{{{S}}}[15m])", "{{symbol}}: {{outcome}}"),
            Query(f"ignored_snapshots_total{{{S}}}", "{{symbol}}: ignored"),
            Query(f"journal_failures_total{{{S}}}", "{{symbol}}: journal failed"),
        )),
        Panel("Waiting for the warehouse", (Query("outbox_bytes", "{{instance}}"),), "bytes"),
        Panel("Given up: batches and hot values", (
            Query("increase(untold_batches_total[15m])", "batches {{instance}}"),
            Query("delta(hot_dropped[15m])", "hot values {{instance}}"),
        )),
        Panel("Requests refused", (
            Query("sum by (reason) (rate(refused_requests_total[$__rate_interval]))", "{{reason}}"),
        ), "reqps"),
        Panel("Starts refused", (Query("max by (reason) (refused_starts_total)", "{{reason}}"),), "short", 8, "stat",
              about="for a key or token, by reason, until this process began", bars=GOOD_BAD),
        Panel("Disk free", (Query("disk_free_bytes / disk_size_bytes", "{{instance}}"),), "percentunit",
              bars=((0, "red"), (0.1, "green"))),
        Panel("Up since", (
            Query("time() - process_start_time_seconds{job='tickloop-runner'}", "{{instance}}"),
        ), "s", 8, "stat"),
    ),
}  # fmt: skip


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    return {
        "uid": "tickloop",
        "title": "tickloop",
        "tags": ["tickloop"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "5s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {"list": [_symbols()]},
        "annotations": {"list": [_deployments()]},
        "panels": _panels(),
    }


def _symbols() -> dict[str, Any]:
    return {
        "name": "symbol",
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": "label_values(connected, symbol)", "refId": "symbol"},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _deployments() -> dict[str, Any]:
    expression = f"changes(deployments_total{{{S}}}[1m]) > 0"
    return {
        "name": "deployments",
        "datasource": DATASOURCE,
        "enable": True,
        "expr": expression,
        "titleFormat": "{{role}}",
    }


def _panels() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS.items():
        panels.append({"type": "row", "title": title, "collapsed": False, "gridPos": _place(0, top, COLUMNS, 1)})
        top, left = top + 1, 0
        for panel in row:
            if left + panel.width > COLUMNS:
                top, left = top + HEIGHT, 0
            panels.append(_panel(panel, _place(left, top, panel.width, HEIGHT)))
            left += panel.width
        top += HEIGHT
    return [{"id": number, **panel} for number, panel in enumerate(panels, 1)]


def _panel(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": DATASOURCE,
        "gridPos": place,
        "targets": [_target(number, query) for number, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    steps = [{"color": colour, "value": value or None} for value, colour in panel.bars or ((0, "green"),)]
    defaults = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind == "stat":
        return defaults
    stacking = {"stacking": {"mode": "normal"}} if panel.stacked else {}
    return {**defaults, "custom": {"fillOpacity": 60 if panel.stacked else 8, **stacking}}


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        return {"textMode": panel.text, "reduceOptions": {"calcs": ["lastNotNull"]}}
    return {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}


def _target(number: int, query: Query) -> dict[str, Any]:
    return {
        "refId": chr(ord("A") + number),
        "datasource": DATASOURCE,
        "expr": query.expression,
        "legendFormat": query.legend,
    }


def _place(x: int, y: int, w: int, h: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": w, "h": h}


def text() -> str:
    """The file's content."""
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text())
