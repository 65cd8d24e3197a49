"""What working a parent order costs and saves: by hand, and on a market whose signal was planted."""

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from backtest.engine import Result, Window
from backtest.execution import (
    ALWAYS_POST,
    ALWAYS_TAKE,
    EXECUTE,
    TWAP,
    Comparison,
    compare,
    savings,
    savings_frame,
    shortfalls,
    staggered,
    ways,
)
from market.errors import BacktestError
from market.events import BUY, SELL
from market.orders import FILL, REPORT
from tests.builders_market import COINM_BTC, USDM_BTC
from tests.builders_policies import SECOND, desk, planted
from tests.builders_trading import TRADING, trading
from trading.parameters import ExecuteParameters
from trading.parent import ParentOrder
from trading.records import DECISION, INTENT, PLACE

FREE = trading(risk={"max_drawdown_usd": 1e9, "loss_streak": 10**6, "max_orders_per_s": 64})
PATIENT = replace(
    TRADING.execute, ahead_share=0.3, behind_share=0.2, take_bp=0.3, wait_bp=0.3, sweep_ms=500.0
)  # fmt: skip


def result(*orders: tuple[int, int, int, int, int]) -> Result:
    """Rows a second apart at 50,000.0 / 50,000.2, and fills: (sent at, side, price, lots, maker)."""
    decisions = np.zeros(20, DECISION)
    decisions["row_ts"] = SECOND * np.arange(20)
    decisions["best_bid"], decisions["best_ask"] = 500_000, 500_002
    decisions["best_bid"][10:] += 50
    decisions["best_ask"][10:] += 50
    intents, reports = np.zeros(len(orders), INTENT), np.zeros(len(orders), REPORT)
    intents["verb"], reports["kind"] = PLACE, FILL
    intents["order_id"] = reports["order_id"] = np.arange(1, len(orders) + 1)
    for place, (sent_s, side, price, lots, maker) in enumerate(orders):
        intents["sent_ts"][place] = sent_s * SECOND
        reports[["side", "price", "qty", "maker"]][place] = (side, price, lots, maker)
    return Result(decisions, intents, reports, "end of window")


def test_a_shortfall_is_what_was_paid_beyond_the_mid_at_arrival() -> None:
    parents = [ParentOrder(BUY, 10, 2 * SECOND, 9 * SECOND), ParentOrder(SELL, 10, 9 * SECOND, 12 * SECOND)]
    found = shortfalls(
        result(
            (2, BUY, 500_002, 4, 0), (5, BUY, 499_996, 6, 1), (9, SELL, 500_000, 7, 0)
        ),
        parents,
        USDM_BTC,
        (1e-4, 5e-4),
    )  # fmt: skip
    assert found["arrival"].to_list() == [500_001.0, 500_001.0]
    assert found["done"].to_list() == [10, 7]
    assert found["taken"].to_list() == pytest.approx([0.4, 1.0])
    # 4 lots a tick above the mid at 5 bp, 6 lots five ticks below at 1 bp
    bought = 1e4 * (4 * 1 - 6 * 5) / (10 * 500_001) + (4 * 500_002 * 5 + 6 * 499_996 * 1) / (10 * 500_001)
    # 7 lots a tick below at 5 bp; 3 left over are sold at the bid of the tenth second, 49 ticks above
    sold = 1e4 * (7 * 1 - 3 * 49) / (10 * 500_001) + 5 * (7 * 500_000 + 3 * 500_050) / (10 * 500_001)
    assert found["shortfall_bp"].to_list() == pytest.approx([bought, sold])


@pytest.mark.parametrize("side", [BUY, SELL])
def test_an_inverse_shortfall_is_in_coin(side: int) -> None:
    price = 510_000
    parents = [ParentOrder(side, 10, 0, SECOND)]
    found = shortfalls(result((0, side, price, 10, 1)), parents, COINM_BTC, (0.0, 0.0))["shortfall_bp"][0]
    assert found == pytest.approx(1e4 * side * (1 - 500_001 / price))


def test_a_parent_beyond_the_decided_rows_is_refused() -> None:
    parents = [ParentOrder(BUY, 10, 30 * SECOND, 31 * SECOND)]
    with pytest.raises(BacktestError, match="no decided row shows a touch"):
        shortfalls(result(), parents, USDM_BTC, (0.0, 0.0))


def test_parents_are_staggered_over_the_window_on_both_sides() -> None:
    window = Window(5 * SECOND, 105 * SECOND)
    parents = staggered(window, 7, 8 * SECOND, 2 * SECOND, np.random.default_rng(0))
    assert [parent.start_ts for parent in parents] == [(5 + 10 * place) * SECOND for place in range(10)]
    assert all(parent.end_ts - parent.start_ts == 8 * SECOND for parent in parents)
    sides = np.array([parent.side for parent in parents]).reshape(-1, 2)
    assert (sides.sum(axis=1) == 0).all()
    assert len(set(sides[:, 0])) == 2


def test_savings_are_paired_and_too_few_parents_are_insufficient() -> None:
    rng = np.random.default_rng(4)
    common = rng.normal(0.0, 50.0, 200)  # the market's moves, the same for every way
    found = {
        EXECUTE: pl.DataFrame({"shortfall_bp": common + rng.normal(1.0, 0.5, 200)}),
        TWAP: pl.DataFrame({"shortfall_bp": common + 2.0}),
    }
    (saving,) = savings(found, np.random.default_rng(0))
    assert saving.interval.verdict == "above zero"
    low, high = saving.interval.low or 0.0, saving.interval.high or 0.0
    assert low < 1.0 < high < low + 0.4
    few = savings({name: frame.head(29) for name, frame in found.items()}, np.random.default_rng(0))
    assert few[0].interval.verdict == "insufficient"
    assert savings_frame(few)["parents"].to_list() == [29]


def simulated(forecasts: bool, seed: int = 0) -> Comparison:
    market = planted(420, seed=seed)
    span = Window(market.window.start, market.window.end - 2 * SECOND)
    parents = staggered(span, 40, 5 * SECOND, SECOND, np.random.default_rng(1))

    def opened(settings: ExecuteParameters):  # type: ignore[no-untyped-def]
        said = market.told if forecasts else market.silence
        return (market.tape, *desk(market, "execute", replace(FREE, execute=settings), said))

    return compare(opened, PATIENT, parents, market.window, 1_000_000, np.random.default_rng(2))


def test_who_knows_the_signal_saves_against_twap_and_who_does_not_saves_nothing() -> None:
    knowing, blind = simulated(True), simulated(False)
    for found in (knowing, blind):
        for name, frame in found.shortfalls.items():
            assert (frame["done"] <= frame["lots"]).all(), name
            if name != ALWAYS_POST:  # half a second of sweep is not always enough for all of it
                assert (frame["done"] == frame["lots"]).all(), name
    saved = {saving.baseline: saving.interval for saving in knowing.savings}
    assert list(saved) == [TWAP, ALWAYS_TAKE, ALWAYS_POST]
    assert saved[TWAP].verdict == "above zero"
    assert saved[TWAP].observations == 68
    nothing = {saving.baseline: saving.interval for saving in blind.savings}[TWAP]
    assert nothing.verdict == "not told from zero"
    # the baselines do not listen
    for name in (TWAP, ALWAYS_TAKE, ALWAYS_POST):
        assert knowing.shortfalls[name].equals(blind.shortfalls[name])
    taken = {name: frame["taken"].mean() for name, frame in knowing.shortfalls.items()}
    assert taken[TWAP] == taken[ALWAYS_TAKE] == 1.0
    assert 0 < taken[ALWAYS_POST] < taken[EXECUTE] < 1  # type: ignore[operator]


def test_every_way_keeps_our_participation_and_sweep() -> None:
    for settings in ways(PATIENT).values():
        assert (settings.participation, settings.sweep_ms) == (PATIENT.participation, PATIENT.sweep_ms)
    assert math.isclose(ways(PATIENT)[TWAP].behind_share, 0.05)
