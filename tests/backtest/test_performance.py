"""Hand-worked figures of small runs, and of parts of runs."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.engine import END_OF_WINDOW, Result
from backtest.mids import MidPath
from backtest.performance import (
    LAST_MID,
    MARK_PRICE,
    Performance,
    Steps,
    Valuation,
    figures,
    minute_sums,
    performance,
    reason_counts,
    round_trips,
    steps_of,
    valuation,
)
from market.events import BUY, EVENT, MARK, SELL
from market.orders import REPORT
from tests import builders_backtest as build
from tests.builders_backtest import MINUTE
from tests.builders_market import COINM_BTC, USDM_BTC
from trading.records import INTENT

STILL = build.mids((0, 500_000.0), end=2**62)


def fills(*legs: tuple[int, int, int], step: int = 1) -> pl.DataFrame:
    """Taker fills of (side, price, lots), a step apart, at a fee of 1 bp."""
    return build.fills(USDM_BTC, *((place, *leg, 0, step * place) for place, leg in enumerate(legs)), fee=1e-4)


def decisions(equity: list[float], step: int = MINUTE) -> np.ndarray:
    return build.decisions([step * place for place in range(len(equity))], equity)


def steps(
    made: np.ndarray,
    table: pl.DataFrame,
    regimes: np.ndarray | None = None,
    path: MidPath = STILL,
    paid: np.ndarray | None = None,
) -> Steps:
    codes = np.ones(made.size, np.int8) if regimes is None else regimes
    return steps_of(made, table, path, codes, USDM_BTC, horizon_ms=1_000, funding=np.zeros(0) if paid is None else paid)


def whole(made: np.ndarray, table: pl.DataFrame, orders: int = 0, tallies: dict[str, int] | None = None) -> Performance:
    result = Result(made, np.zeros(orders, INTENT), np.zeros(0, REPORT), END_OF_WINDOW, tallies or {})
    return performance(steps(made, table), Valuation(1.0, LAST_MID), result, USDM_BTC)


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
    figures = whole(decisions([0.0, -20.0, 89.99]), table, 2)
    assert figures.net == pytest.approx(89.99)
    assert figures.fees == pytest.approx(10.01)
    assert figures.average_r_bp == pytest.approx(1e4 * 89.99 / 50_000)
    assert figures.breakeven_fee_bp == pytest.approx(1e4 * 100.0 / 100_100)
    assert figures.breakeven_low_bp is figures.breakeven_high_bp is None
    assert figures.max_drawdown == pytest.approx(20.0)
    assert (figures.hit_rate, figures.maker_share, figures.open_lots) == (1.0, 0.0, 0)


def test_what_the_venue_did_against_our_will_is_among_the_figures() -> None:
    met = {"orders": 8, "orders_refused": 1, "cancels": 5, "cancels_late": 2, "cancels_refused": 0}
    found = whole(decisions([0.0]), fills(), 13, met | {"cancels_unanswered": 1}).as_dict()
    assert (found["orders"], found["orders_met"], found["cancels_met"]) == (13, 8, 5)
    assert [found[f"{name}_share"] for name in ("orders_refused", "cancels_late")] == [0.125, 0.4]
    assert [found[f"cancels_{name}_share"] for name in ("refused", "unanswered")] == [0.0, 0.2]
    assert whole(decisions([0.0]), fills(), 1, met | {"cancels": 0}).cancels_late_share is None


def test_funding_is_a_part_of_net_and_of_the_break_even_fee() -> None:
    table = fills((BUY, 500_000, 1_000), (SELL, 501_000, 1_000))
    found = figures(steps(decisions([0.0, -20.0, 59.99]), table, paid=np.array([0.0, 40.0, 30.0])))
    assert found.net == pytest.approx(59.99)
    assert (found.trading, found.funding, found.fees) == pytest.approx((100.0, -30.0, 10.01))
    assert found.breakeven_fee_bp == pytest.approx(1e4 * 70.0 / 100_100)


def test_coin_is_worth_the_newest_mark_told_by_the_last_decision_else_the_last_mid() -> None:
    made, tape = decisions([0.0, 0.0]), np.zeros(3, EVENT)
    tape["kind"], tape["ingest_ts"] = MARK, [0, MINUTE, MINUTE + 1]
    tape["price"] = [49_000 * 10**8, 49_500 * 10**8, 51_000 * 10**8]
    assert valuation(made, tape, COINM_BTC) == (49_500.0, MARK_PRICE)
    assert valuation(made, tape[2:], COINM_BTC) == (50_000.0, LAST_MID)
    assert valuation(made, tape, USDM_BTC).price == 1.0


def test_too_few_minutes_give_no_ratio() -> None:
    assert whole(decisions([0.0, 1.0, 3.0]), fills()).information_ratio is None
    equity = np.arange(40.0) + np.arange(40) % 2
    steady, profits = whole(decisions(list(equity)), fills()), np.diff(equity, prepend=0.0)
    assert steady.information_ratio == pytest.approx(profits.mean() / profits.std(ddof=1))


def test_a_run_without_a_fill_has_figures_and_no_invented_ones() -> None:
    figures = whole(decisions([0.0, 0.0]), fills())
    assert (figures.fills, figures.net, figures.volume) == (0, 0.0, 0.0)
    assert figures.hit_rate is figures.net_bp is figures.maker_share is figures.breakeven_fee_bp is None
    assert figures.cost_pct is figures.effective_minutes is None


def test_cost_is_the_fee_and_the_way_from_the_mid() -> None:
    # 1 BTC bought at 50,001 and sold at 49,999 around a mid of 50,000: 1 USDT each and 1 bp of fee
    found = whole(decisions([0.0, 0.0]), fills((BUY, 500_010, 1_000), (SELL, 499_990, 1_000)))
    assert found.cost_pct == pytest.approx(100 * (2 + 10.0) / 100_000)


def test_enough_minutes_give_the_break_even_fee_an_interval_that_holds_it() -> None:
    # every minute earns 8 or 12 USDT before fees on 100,000 of turnover: break-even at 1 bp
    count = 200
    table = fills(*((BUY, 500_000, 1_000), (SELL, 500_000, 1_000)) * count, step=MINUTE // 2)
    gross = np.where(np.random.default_rng(1).random(count) < 0.5, 8.0, 12.0)
    rows = build.decisions([MINUTE * place + MINUTE // 2 for place in range(count)], list(np.cumsum(gross - 10.0)))
    found = whole(rows, table)
    assert found.breakeven_fee_bp == pytest.approx(1e4 * gross.sum() / (100_000 * count))
    assert found.breakeven_low_bp is not None
    assert found.breakeven_high_bp is not None
    assert 0.9 < found.breakeven_low_bp < found.breakeven_fee_bp < found.breakeven_high_bp < 1.1
    assert found.information_ratio_low is not None
    assert 100 < (found.effective_minutes or 0) <= count


def test_minutes_that_repeat_each_other_count_as_fewer() -> None:
    noise = np.random.default_rng(0).normal(size=400)
    apart, alike = (whole(decisions(list(np.cumsum(each))), fills()) for each in (noise, np.repeat(noise[:40], 10)))
    assert (apart.effective_minutes or 0) > 200
    assert 1 <= (alike.effective_minutes or 0) < 120
    assert whole(decisions(list(np.arange(40.0) + 1)), fills()).effective_minutes is None  # all minutes are equal


@given(seed=st.integers(0, 2**32 - 1))
def test_minutes_hold_every_fill_whenever_it_became_visible(seed: int) -> None:
    generator = np.random.default_rng(seed)
    sides, lots = generator.choice((BUY, SELL), 60), generator.integers(1, 9, 60)
    table = fills(*((int(side), 500_000, int(size)) for side, size in zip(sides, lots, strict=True)))
    table = table.with_columns(visible_ts=pl.Series(np.sort(generator.integers(0, 60 * MINUTE, 60))))
    run = steps(decisions(list(np.cumsum(generator.normal(size=6))), 9 * MINUTE), table)
    parts = [run, *run.by("hour").values()]
    for part, sums in zip(parts, map(minute_sums, parts), strict=True):
        assert sums["notional"].sum() == pytest.approx(part.fills["notional"].sum())
        assert sums["gross"].sum() == pytest.approx(part.rows["net"].sum() + part.fills["fee"].sum())


@given(seed=st.integers(0, 2**32 - 1), column=st.sampled_from(("regime", "hour")))
def test_groups_add_up_to_the_whole(seed: int, column: str) -> None:
    generator, count = np.random.default_rng(seed), 120
    sides = generator.choice((BUY, SELL), count)
    lots = generator.integers(1, 9, count)
    table = fills(*((int(side), 500_000, int(size)) for side, size in zip(sides, lots, strict=True)))
    table = table.with_columns(visible_ts=pl.Series(np.sort(generator.integers(0, 250 * MINUTE, count))))
    made = decisions(list(np.cumsum(generator.normal(size=28))), 9 * MINUTE)  # too few for intervals, which take time
    paid = np.cumsum(generator.normal(size=28))
    run = steps(made, table, generator.integers(0, 4, made.size).astype(np.int8), paid=paid)
    parts, everything = [figures(part) for part in run.by(column).values()], figures(run)
    assert len(parts) > 2
    for name in ("decisions", "fills", "round_trips"):
        assert sum(getattr(part, name) for part in parts) == getattr(everything, name)
    for name in ("net", "trading", "funding", "fees", "volume"):
        assert sum(getattr(part, name) for part in parts) == pytest.approx(getattr(everything, name))


def test_a_fill_belongs_to_the_row_that_first_knew_of_it() -> None:
    table = fills((BUY, 500_000, 1_000), (SELL, 500_000, 1_000), step=MINUTE // 2)  # at 0 and half a minute
    run = steps(decisions([0.0, 5.0, 5.0]), table, np.array([1, 2, 1], np.int8))
    parts = {code: figures(part) for code, part in run.by("regime").items()}
    assert {code: (part.fills, part.round_trips, part.net) for code, part in parts.items()} == {
        1: (1, 1, 0.0),
        2: (1, 0, 5.0),
    }


def test_reasons_are_counted_in_words() -> None:
    records = decisions([0.0] * 4)
    records["reason"] = [3, 3, 3, 0]
    assert reason_counts(records).rows() == [("no edge after cost", 3, 0.75), ("acted", 1, 0.25)]
