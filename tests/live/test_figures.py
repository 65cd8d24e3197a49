"""What the meters show of a desk, by hand: percentiles, ratios, falls, refusals, latches, models."""

import numpy as np
import pytest

from live.desk import Desk, Model
from live.exporter import PrometheusMeters
from live.fallback import Fallback
from live.figures import NEWEST_ROWS, DeskFigures, FeedFigures, ModelFigures
from live.machine_figures import JournalFigures
from live.plan import desks_of
from market.orders import FILL, ORDER_REJECTED, REPORT, WOULD_CROSS
from tests.builders_runner import START, quick_plan
from trading import account as own
from trading.decisions import Decision, Turn
from trading.limits import MAX_DRAWDOWN_USD
from trading.records import DECISION, INTENT, LATE_DECISION, PLACE


class Case:
    """A desk, and what is known of it."""

    def __init__(self) -> None:
        self.meters = PrometheusMeters("x")
        self.desk: Desk = desks_of(quick_plan())[0]
        self.figures = DeskFigures(self.meters, self.desk)

    def row(self, took_ms: float = 1.0, placed: int = 0, filled: int = 0, refused: int = 0, **fields: float) -> None:
        record, intents = np.zeros(1, DECISION), np.zeros(int(placed > 0), INTENT)
        for name, value in fields.items():
            record[name] = value
        intents["verb"], intents["qty"] = PLACE, placed
        reports = np.zeros((filled > 0) + refused, REPORT)
        reports["kind"], reports["reason"] = ORDER_REJECTED, WOULD_CROSS
        if filled:
            reports["kind"][0], reports["qty"][0], reports["reason"][0] = FILL, filled, 0
        self.figures.row(Turn(Decision(record, intents), reports), took_ms)

    def value(self, sample: str, **labels: str) -> float:
        return self.meters.value(sample, desk="model", **labels)


@pytest.fixture
def case() -> Case:
    return Case()


def test_the_percentile_is_of_the_newest_rows_alone(case: Case) -> None:
    for took_ms in range(1, 101):
        case.row(float(took_ms))
    assert case.value("infer_p95_ms") == 95
    for _ in range(NEWEST_ROWS):
        case.row(7.0)
    assert case.value("infer_p95_ms") == 7
    assert case.value("infer_ms_count") == NEWEST_ROWS + 100


def test_the_deepest_fall_is_from_the_highest_point_before_it(case: Case) -> None:
    for equity in (5.0, 2.0, 6.0, 1.0, 4.0):
        case.row(equity=equity)
    assert (case.value("pnl"), case.value("max_dd")) == (4, 5)


def test_lots_filled_are_counted_against_lots_placed(case: Case) -> None:
    assert case.value("trade_fill_ratio") == 0
    case.row(placed=10)
    case.row(filled=4)
    assert (case.value("trade_fill_ratio"), case.value("fills_total"), case.value("orders_total")) == (0.4, 1, 1)


def test_refusals_are_counted_by_the_venues_reason(case: Case) -> None:
    case.row(filled=1, refused=2)
    assert case.value("rejects_total", reason="post-only order would cross") == 2


def test_what_a_cap_bound_what_was_halved_and_what_came_too_late_is_counted(case: Case) -> None:
    case.row(capped=1)
    case.row(halvings=2, capped=1)
    case.row(reason=LATE_DECISION)
    counted = [case.value(f"{name}_decisions_total") for name in ("capped", "halved", "skipped")]
    assert counted == [2, 1, 1]
    assert case.value("decisions_total", reason="decision late") == 1


def test_the_newest_forecast_is_shown_by_class(case: Case) -> None:
    case.row(p_down=0.1, p_none=0.2, p_up=0.7, mu_bp=1.5, cost_bp=0.5, target=3, position=-2)
    shown = [case.value("probability", **{"class": word}) for word in ("down", "none", "up")]
    assert shown == [0.1, 0.2, 0.7]
    names = ("expected_return_bp", "expected_cost_bp", "target_lots", "position_lots")
    assert [case.value(name) for name in names] == [1.5, 0.5, 3, -2]


@pytest.mark.parametrize(
    ("place", "value", "gate"),
    [
        (own.KILLED, 1, "kill switch"),
        (own.DRAWN_DOWN, 1, "drawdown"),
        (own.DEGENERATE, 1, "forecast degenerate"),
        (own.PAUSED_UNTIL, START + 1, "losing streak"),
    ],
)
def test_a_latched_gate_shows_until_it_is_lifted(case: Case, place: int, value: int, gate: str) -> None:
    case.row(row_ts=START)
    assert case.value("gate_latched", gate=gate) == 0
    case.desk.session.account[1][place] = value
    assert case.value("gate_latched", gate=gate) == 1
    case.desk.session.account[1][place] = 0
    assert case.value("gate_latched", gate=gate) == 0


def test_the_share_of_the_drawdown_limit_is_shown_once_it_is_known(case: Case) -> None:
    session = case.desk.session
    case.row()
    assert "drawdown_used{" not in case.meters.text().decode()
    session.account[1][own.LAST_MID2] = 1
    session.account[2][own.HEADROOM_USD] = 0.25 * session.strategy.limits[MAX_DRAWDOWN_USD]
    assert case.value("drawdown_used") == 0.75


def test_only_the_models_in_force_and_those_before_are_named(case: Case) -> None:
    fallback = Fallback(case.desk, lambda desk, row_ts: None)
    ModelFigures(case.meters, [case.desk], fallback)
    case.desk.bundle_sha = "a" * 64
    assert "fallback" not in case.meters.text().decode()
    fallback.keep(Model(case.desk.session.strategy, "f" * 64))
    assert case.meters.value("model_info", role="fallback", sha="f" * 12) == 1
    assert case.meters.value("model_info", role="champion", sha="a" * 12) == 1
    case.desk.previous = Model(case.desk.session.strategy, "a" * 64)
    case.desk.bundle_sha = "b" * 64
    assert case.meters.value("model_info", role="champion before", sha="a" * 12) == 1
    assert case.meters.value("model_info", role="champion", sha="b" * 12) == 1
    assert case.meters.value("model_info", role="champion", sha="a" * 12) == 0


def test_the_journals_writes_are_counted_and_timed(case: Case) -> None:
    figures = JournalFigures(case.meters)
    figures.flush(100, 2_000_000)
    figures.flush(50, 4_000_000)
    assert case.meters.value("journal_bytes_total") == 150
    assert case.meters.value("journal_flush_ms_sum") == 6


def test_what_befell_a_line_is_counted_once_however_often_it_is_read() -> None:
    meters, counts = PrometheusMeters("x"), {"unknown_symbol": 0, "stalls": 1}
    FeedFigures(meters, counts)
    for refused in (0, 3, 3, 4):
        counts["unknown_symbol"] = refused
        meters.text()
        assert meters.value("line_events_total", kind="unknown_symbol") == refused
        assert meters.value("line_events_total", kind="stalls") == 1
