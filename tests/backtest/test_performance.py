"""Hand-worked figures of small runs."""

import numpy as np
import polars as pl
import pytest

from backtest.engine import fills_frame
from backtest.performance import performance, reason_counts, round_trips
from market.events import BUY, SELL
from market.orders import FILL, REPORT
from tests.builders_market import USDM_BTC
from trading.records import DECISION

MINUTE = 60_000_000_000


def fills(*legs: tuple[int, int, int]) -> pl.DataFrame:
    reports = np.zeros(len(legs), REPORT)
    reports["kind"] = FILL
    reports["side"], reports["price"], reports["qty"] = np.array(legs, np.int64).reshape(-1, 3).T
    reports["visible_ts"] = np.arange(len(legs))
    return fills_frame(reports, USDM_BTC, 0.0, 1e-4)


def decisions(equity: list[float], step: int = MINUTE) -> np.ndarray:
    records = np.zeros(len(equity), DECISION)
    records["equity"], records["row_ts"] = equity, step * np.arange(len(equity))
    records["best_bid"], records["best_ask"] = 499_999, 500_001
    return records


def test_a_round_trip_runs_from_flat_to_flat() -> None:
    # 1 BTC (1,000 lots) at 50,000 in two steps, out at 50,100; then one still open
    trips = round_trips(fills((BUY, 500_000, 400), (BUY, 500_000, 600), (SELL, 501_000, 1_000), (SELL, 501_000, 5)))
    assert trips.height == 1
    assert trips["entry"][0] == pytest.approx(50_000.0)
    assert trips["net"][0] == pytest.approx(100.0 - 1e-4 * 100_100.0)


def test_a_fill_through_flat_opens_only_what_is_left() -> None:
    trips = round_trips(fills((BUY, 500_000, 1_000), (SELL, 500_000, 3_000), (BUY, 500_000, 2_000)))
    assert trips["entry"].to_list() == pytest.approx([150_000.0])


def test_figures_agree_with_a_run_worked_by_hand() -> None:
    table = fills((BUY, 500_000, 1_000), (SELL, 501_000, 1_000))
    figures = performance(decisions([0.0, -20.0, 89.99]), 2, table, USDM_BTC, "end of window")
    assert figures.net == pytest.approx(89.99)
    assert figures.fees == pytest.approx(10.01)
    assert figures.average_r_bp == pytest.approx(1e4 * 89.99 / 50_000)
    assert figures.breakeven_fee_bp == pytest.approx(1e4 * 100.0 / 100_100)
    assert figures.max_drawdown == pytest.approx(20.0)
    assert (figures.hit_rate, figures.maker_share, figures.open_lots) == (1.0, 0.0, 0)


def test_too_few_minutes_give_no_ratio() -> None:
    assert performance(decisions([0.0, 1.0, 3.0]), 0, fills(), USDM_BTC, "end").information_ratio is None
    steady = performance(decisions(list(np.arange(40.0) + np.arange(40) % 2)), 0, fills(), USDM_BTC, "end")
    profits = np.diff(np.arange(40.0) + np.arange(40) % 2, prepend=0.0)
    assert steady.information_ratio == pytest.approx(profits.mean() / profits.std(ddof=1))


def test_a_run_without_a_fill_has_figures_and_no_invented_ones() -> None:
    figures = performance(decisions([0.0, 0.0]), 0, fills(), USDM_BTC, "end of tape")
    assert (figures.fills, figures.net, figures.volume) == (0, 0.0, 0.0)
    assert figures.hit_rate is figures.net_bp is figures.maker_share is figures.breakeven_fee_bp is None


def test_reasons_are_counted_in_words() -> None:
    records = decisions([0.0] * 4)
    records["reason"] = [3, 3, 3, 0]
    assert reason_counts(records).rows() == [("no edge after cost", 3, 0.75), ("acted", 1, 0.25)]
