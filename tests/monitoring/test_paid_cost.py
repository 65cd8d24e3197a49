"""What a fill cost, by hand for both sides and kinds of contract; means that do not count one minute ten times."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.errors import DataError
from monitoring.paid_cost import (
    BLOCK_NS,
    MIN_BLOCKS,
    Fills,
    cost_verdict,
    distance_bp,
    fill_costs,
    mean_interval,
    summarise,
)

BOUGHT, SOLD = 1, -1
NAN = float("nan")


def fills_of(*rows: dict[str, Any]) -> Fills:
    """Takers at 1,000 ticks whose decision assumed 2 bp of a round trip; each row says what differs."""
    usual = {
        "decided_ts": 0, "side": BOUGHT, "maker": False, "price": 1_000.0, "decision_mid": 1_000.0,
        "arrival_mid": 1_000.0, "quote_value": 5_000.0, "round_trip_bp": 2.0, "fee": 0.0,
    }  # fmt: skip
    columns = {name: np.array([{**usual, **row}[name] for row in rows]) for name in usual}
    return Fills(**columns)


def cost(inverse: bool = False, **fill: Any) -> dict[str, Any]:
    return fill_costs(fills_of(fill), inverse).row(0, named=True)


def test_a_taker_pays_half_the_spread_the_drift_and_the_fee() -> None:
    """Bought at 1001 of a mid of 1000 that stood at 1000.5 on arrival, fee 5 bp of what was paid."""
    found = cost(price=1_001.0, arrival_mid=1_000.5, fee=0.0005, round_trip_bp=12.0)
    assert found["assumed_fee_bp"] == pytest.approx(5.005)
    assert found["slippage_bp"] + found["assumed_fee_bp"] == pytest.approx(found["paid_bp"])
    assert found["paid_bp"] == pytest.approx(10 + 5.005)
    assert found["arrival_bp"] == pytest.approx(1e4 * 0.5 / 1_000.5 + 5.005)
    assert found["assumed_bp"] == 6.0
    assert found["excess_bp"] == pytest.approx(9.005)


def test_a_seller_pays_where_the_price_is_below_the_mid() -> None:
    found = cost(side=SOLD, price=999.0, fee=0.0005)
    assert found["paid_bp"] == pytest.approx(10 + 5 * 0.999)
    assert cost(side=SOLD, price=1_001.0)["paid_bp"] == pytest.approx(-10)


@pytest.mark.parametrize("side", [BOUGHT, SOLD])
def test_an_inverse_contract_pays_in_coin(side: int) -> None:
    """A contract of 100 USD at a mid of 1000 is 0.1 coin; at 1001 it is 100/1001: the difference is what is lost."""
    price = 1_000.0 + side
    found = cost(inverse=True, side=side, price=price, fee=0.0004)
    lost_coin = side * (100 / 1_000 - 100 / price)
    assert found["paid_bp"] == pytest.approx(1e4 * (lost_coin + 0.0004 * 100 / price) / (100 / 1_000))


def test_a_maker_earns_half_the_spread_and_the_rebate() -> None:
    found = cost(maker=True, price=999.0, fee=-0.0001)
    assert found["paid_bp"] == pytest.approx(-10 - 0.999)
    assert (found["liquidity"], found["side"], found["size"], found["hour"]) == (
        "maker", "buy", "1,000 to 10,000", "00",
    )  # fmt: skip


@given(st.floats(1, 1e6), st.floats(1, 1e6), st.booleans())
def test_what_a_buyer_pays_a_seller_earns(price: float, mid: float, inverse: bool) -> None:
    sides = np.array([BOUGHT, SOLD])
    bought, sold = distance_bp(sides, np.full(2, price), np.full(2, mid), inverse)
    assert bought == -sold
    assert np.sign(bought) in (0.0, np.sign(price - mid))


def test_sums_by_liquidity_side_size_and_hour() -> None:
    hour = 3_600_000_000_000
    fills = fills_of(
        {"price": 1_001.0, "quote_value": 500.0},
        {"price": 1_003.0, "quote_value": 1_500.0, "decided_ts": 13 * hour},
        {"price": 998.0, "side": SOLD, "quote_value": 200_000.0, "decided_ts": 26 * hour},
        {"price": 999.0, "maker": True, "round_trip_bp": NAN},
    )
    summary = summarise(fill_costs(fills, False))
    found = {row["group"]: row for row in summary.filter(pl.col("liquidity") == "taker").iter_rows(named=True)}
    assert found["buy"]["paid_bp"] == pytest.approx((10 * 500 + 30 * 1_500) / 2_000)
    assert found["buy"]["excess_bp"] == pytest.approx(25 - 1)
    assert {group: row["fills"] for group, row in found.items()} == {
        "all": 3, "buy": 2, "sell": 1, "under 1,000": 1, "1,000 to 10,000": 1, "from 100,000": 1,
        "00": 1, "02": 1, "13": 1,
    }  # fmt: skip
    [maker] = summary.filter((pl.col("liquidity") == "maker") & (pl.col("by") == "all")).iter_rows(named=True)
    assert (maker["fills"], maker["unassumed"], maker["paid_bp"]) == (1, 1, pytest.approx(-10))
    assert np.isnan([maker["assumed_bp"], maker["excess_bp"], maker["low_bp"]]).all()


def test_no_fills_yet_is_said_and_is_no_error() -> None:
    costs = fill_costs(Fills(*(np.zeros(0, kind) for kind in (np.int64, np.int64, np.bool_, *[np.float64] * 6))), True)
    summary = summarise(costs)
    assert summary.height == costs.height == 0
    assert cost_verdict(summary, "taker") == "no fills yet"


def test_partial_fills_of_one_minute_count_once() -> None:
    rng = np.random.default_rng(1)
    values, minutes = rng.normal(size=40), np.arange(40)
    once = mean_interval(values, np.ones(40), minutes)
    tenfold = mean_interval(np.repeat(values, 10), np.ones(400), np.repeat(minutes, 10))
    assert tenfold == pytest.approx(once)
    assert np.isnan(mean_interval(values, np.ones(40), minutes % (MIN_BLOCKS - 1))[1])


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    rng, covered = np.random.default_rng(2), 0
    for _ in range(400):
        minutes = np.repeat(np.arange(25), 4)
        values = rng.normal(size=25)[minutes] + rng.normal(size=100)
        _, low, high = mean_interval(values, rng.uniform(1, 2, 100), minutes)
        covered += low < 0 < high
    assert 360 <= covered <= 396  # 95 %, within four deviations of the binomial


@pytest.mark.parametrize(("price", "said"), [(1_001.0, "dearer"), (999.0, "cheaper"), (1_000.1, "as assumed")])
def test_the_verdict_compares_with_what_was_assumed(price: float, said: str) -> None:
    jitter = np.random.default_rng(3).normal(0, 0.2, 30)
    rows = [{"price": price + jitter[i], "decided_ts": i * BLOCK_NS} for i in range(30)]
    assert cost_verdict(summarise(fill_costs(fills_of(*rows), False)), "taker") == said
    assert cost_verdict(summarise(fill_costs(fills_of(*rows[:3]), False)), "taker") == "insufficient"


def test_fills_that_make_no_sense_are_refused() -> None:
    with pytest.raises(DataError, match="side of \\+1 or -1"):
        fills_of({"side": 0})
    with pytest.raises(DataError, match="mid above 0"):
        fills_of({"decision_mid": 0.0})
    usual = fills_of({}, {})
    with pytest.raises(DataError, match="differ in shape"):
        Fills(*(getattr(usual, name)[: 1 + (name != "fee")] for name in Fills.__slots__))
