"""How a backtest starts and ends, and what its fills are worth."""

import numpy as np
import pytest

from backtest.engine import END_OF_TAPE, END_OF_WINDOW, Window, fills_frame, run_backtest
from backtest.venue import SimulatedVenue
from market.errors import BacktestError
from market.events import BUY, SELL, empty_events
from market.orders import FILL, REPORT
from tests.builders_market import COINM_BTC, synthetic_events
from tests.builders_trading import VENUE, session

SECOND = 1_000_000_000


def test_a_run_names_why_it_ended() -> None:
    tape = synthetic_events(12.0)
    start = int(tape["ingest_ts"][0]) + 8 * SECOND
    for end, reason in ((start + SECOND, END_OF_WINDOW), (start + 60 * SECOND, END_OF_TAPE)):
        result = run_backtest(tape, session("probe"), SimulatedVenue(COINM_BTC, VENUE), Window(start, end), 0)
        assert result.end_reason == reason
        assert result.decisions["row_ts"].min() >= start
        assert result.decisions["row_ts"].max() < end


def test_warming_up_changes_the_start_and_nothing_else() -> None:
    tape = synthetic_events(12.0)
    first = int(tape["ingest_ts"][0])
    results = []
    for start in (first, first + 5 * SECOND):
        window = Window(start, first + 11 * SECOND)
        results.append(run_backtest(tape, session("take"), SimulatedVenue(COINM_BTC, VENUE), window, 0))
    late, early = results[1].decisions, results[0].decisions
    names = ["row_ts", "best_bid", "best_ask", "p_up", "ready", "delay_ns"]
    assert late.size > 200
    assert late[names].tolist() == early[early.size - late.size :][names].tolist()


def test_a_tape_that_ends_before_the_window_is_refused() -> None:
    tape = synthetic_events(2.0)
    window = Window(int(tape["ingest_ts"][-1]) + 1, int(tape["ingest_ts"][-1]) + SECOND)
    for short in (tape, empty_events(0)):
        with pytest.raises(BacktestError, match="ends before the window starts"):
            run_backtest(short, session("probe"), SimulatedVenue(COINM_BTC, VENUE), window, 0)


def test_fills_carry_notional_fee_and_cash_in_the_settlement_currency() -> None:
    reports = np.zeros(2, REPORT)
    reports["kind"], reports["qty"] = FILL, 5
    reports["side"], reports["price"], reports["maker"] = [BUY, SELL], [500_000, 625_000], [1, 0]
    frame = fills_frame(reports, COINM_BTC, 1e-4, 5e-4)
    # five contracts of 100 USD: 0.01 BTC at 50,000 and 0.008 BTC at 62,500
    assert frame["notional"].to_list() == pytest.approx([0.01, 0.008])
    assert frame["fee"].to_list() == pytest.approx([1e-6, 4e-6])
    assert frame["cash"].to_list() == pytest.approx([0.01, -0.008])
    assert frame["position"].to_list() == [5, 0]
