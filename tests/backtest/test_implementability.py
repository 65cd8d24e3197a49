"""What becomes of signals, worked by hand over five fills."""

import numpy as np
import pytest

from backtest.implementability import STOPPED, cap_bound_share, gated_rows, implementability, signals
from market.events import BUY, SELL
from market.orders import IOC, POST_ONLY
from tests.builders_backtest import MS, SECOND, decisions, fills, mids
from tests.builders_market import USDM_BTC
from trading.records import BAD_INPUT, CANCEL, DELAYED, EXPOSURE, INTENT, PLACE, RATE


def two_signals() -> tuple[np.ndarray, np.ndarray]:
    """From flat to long 10, and a second later from long 10 to short 5; mid 1,000 ticks, modelled cost 20 bp."""
    made = decisions([0, SECOND], [0.0, 0.0])
    made["best_bid"], made["best_ask"], made["cost_bp"] = 999, 1_001, 20.0
    made["position"], made["target"] = [0, 10], [10, -5]
    sent = np.zeros(2, INTENT)
    sent["verb"], sent["tif"], sent["order_id"] = PLACE, IOC, [1, 2]
    sent["decision_id"], sent["side"], sent["qty"] = made["decision_id"], [BUY, SELL], [10, 15]
    return made, sent


def test_a_signal_is_the_part_of_an_order_that_opens() -> None:
    table = signals(*two_signals())
    assert table.select("order_id", "side", "opens", "closes", "mid", "cost_bp").rows() == [
        (1, BUY, 10, 0, 1_000.0, 20.0),
        (2, SELL, 5, 10, 1_000.0, 20.0),
    ]


def test_five_fills_of_two_signals_agree_with_the_shares_worked_by_hand() -> None:
    table = fills(
        USDM_BTC,
        (1, BUY, 1_001, 6, 0, 10 * MS),  # half the spread above the mid: just inside
        (1, BUY, 1_002, 4, 0, 10 * MS),  # 20 bp above it: outside
        (2, SELL, 999, 8, 0, SECOND + 10 * MS),  # closes
        (2, SELL, 999, 4, 0, SECOND + 10 * MS),  # closes 2, opens 2 inside
        (2, SELL, 998, 2, 0, SECOND + 10 * MS),  # opens 2 outside; one lot of 15 is never filled
    )
    path = mids((0, 1_000.0), (900 * MS, 1_010.0), (1_500 * MS, 990.0), end=3 * SECOND)
    made, sent = two_signals()
    found = implementability(signals(made, sent), table, path, 1_000, USDM_BTC, decisions=made)
    assert (found.signals, found.judged, found.signalled_lots, found.inside_lots) == (2, 2, 15, 8)
    assert found.quantity_share == pytest.approx(8 / 15)
    # from the mid of each decision the market moved 100 bp, less 20 bp of cost
    assert found.signalled_bp == pytest.approx(80.0)
    long = 6 * (1e4 * (1_010 / 1_001 - 1) - 10) + 4 * (1e4 * (1_010 / 1_002 - 1) - 10)
    short = 2 * (1e4 * (1 - 990 / 999) - 10) + 2 * (1e4 * (1 - 990 / 998) - 10)
    assert found.survived_bp == pytest.approx((long + short) / 15)
    assert found.profit_share == pytest.approx((long + short) / (15 * 80.0))


def test_fees_count_against_the_modelled_cost() -> None:
    path = mids((0, 1_000.0), (900 * MS, 1_010.0), end=3 * SECOND)
    table = fills(USDM_BTC, (1, BUY, 1_001, 10, 0, 10 * MS), fee=1e-4)
    made, sent = two_signals()
    assert implementability(signals(made, sent), table, path, 1_000, USDM_BTC, decisions=made).inside_lots == 0
    made["cost_bp"] += 2.0  # a basis point of fee on each leg
    assert implementability(signals(made, sent), table, path, 1_000, USDM_BTC, decisions=made).inside_lots == 10


def test_nothing_is_judged_where_the_mid_at_the_horizon_is_unknown() -> None:
    made, sent = two_signals()
    path = mids((0, 1_000.0), end=1)
    found = implementability(signals(made, sent), fills(USDM_BTC), path, 1_000, USDM_BTC, decisions=made)
    assert (found.signals, found.judged, found.quantity_share) == (2, 0, 0.0)
    assert found.signalled_bp is found.survived_bp is found.profit_share is None


def test_exits_cancels_and_orders_without_a_forecast_are_no_signals() -> None:
    made, sent = two_signals()
    made["target"] = [0, 4]  # flat stays flat, long 10 goes down to 4
    assert signals(made, sent).height == 0
    made, sent = two_signals()
    sent["verb"] = CANCEL
    assert signals(made, sent).height == 0
    made, sent = two_signals()
    made["cost_bp"] = np.nan
    assert signals(made, sent).height == 0


def test_a_quote_on_a_forecast_asks_for_all_of_its_lots() -> None:
    made, sent = two_signals()
    sent["tif"] = POST_ONLY
    assert signals(made, sent)["opens"].to_list() == [10, 15]


def test_what_a_cap_stops_is_a_signal_that_nothing_was_filled_of() -> None:
    made = decisions([SECOND * place for place in range(6)], [0.0] * 6)
    made["best_bid"], made["best_ask"], made["cost_bp"] = 999, 1_001, 20.0
    made["reason"] = [RATE, RATE, EXPOSURE, 0, EXPOSURE, DELAYED]
    made["position"], made["target"] = [0, 0, 0, 0, 4, 0], [10, 12, -5, 0, -3, 9]
    made["ready"] = [1, 1, 1, 1, 1, 1]
    table = signals(made, np.zeros(0, INTENT))
    # the second row wants what the first wanted; a gate sizes nothing
    assert table.select("order_id", "side", "opens", "closes").rows() == [
        (STOPPED, BUY, 10, 0),
        (STOPPED, SELL, 5, 0),
        (STOPPED, SELL, 3, 4),
    ]
    path = mids((0, 1_000.0), end=60 * SECOND)
    found = implementability(table, fills(USDM_BTC), path, 1_000, USDM_BTC, decisions=made)
    assert (found.signals, found.capped, found.signalled_lots, found.inside_lots) == (3, 3, 18, 0)
    assert found.quantity_share == 0.0
    assert found.gated_rows == 1
    made["reason"], made["ready"] = BAD_INPUT, [0, 0, 0, 0, 1, 1]
    assert gated_rows(made) == 2


def test_the_share_in_which_the_cap_bound_counts_decisions_that_asked_for_a_position() -> None:
    made = decisions([0, SECOND, 2 * SECOND, 3 * SECOND], [0.0] * 4)
    made["mu_bp"], made["target"], made["capped"] = [1.0, 1.0, np.nan, 1.0], [5, -5, 5, 0], [1, 0, 1, 1]
    assert cap_bound_share(made) == 0.5
    assert cap_bound_share(made[2:]) is None
