"""Labels by hand: every column, every status, each way out."""

import numpy as np
import polars as pl
import pytest

from labeling.parameters import LabelParameters
from labeling.replay import BOOK_CLOSED, DEPTH_SHORT, GAP_INSIDE, NO_PRINT, OK, PAST_END
from labeling.targets import (
    DOWN,
    NO_CLASS,
    NO_TRADE,
    UP,
    classes,
    label_rows,
    net_returns,
    priced,
    regression_target,
    tradeable_grid,
)
from labeling.venue_order import venue_tape
from labeling.vwap import traded_vwap
from market.errors import ConfigError, DataError
from market.events import BUY, GAP, LEVEL, SELL, TRADE
from tests.builders_labels import (
    INVERSE,
    LINEAR,
    MS,
    START,
    event,
    label_parameters,
    snapshot,
    tape,
    venue_book,
)

# 10,000 USDT at 50,000 are 0.2 BTC: 200 lots of 0.001
BIDS, ASKS = {99_998: 100, 99_996: 500}, {100_002: 100, 100_004: 500}
OPENING = snapshot(0.0, BIDS, ASKS)
RISE = [event(500.0, LEVEL, SELL, 100_002, 0), event(500.0, LEVEL, BUY, 100_002, 400)]
END = [event(5_000.0, TRADE, BUY, 100_004, 1)]


def labelled(rows, at_ms=(100,), instrument=LINEAR, book=None, **changed):
    row_ts = START + np.array(at_ms) * MS
    return label_rows(tape(*rows), row_ts, label_parameters(**changed), instrument, book)


def values(table, horizon_ms, *names):
    return [table[f"{name}_{horizon_ms}"][0] for name in names]


def test_columns_of_a_row_worked_by_hand():
    table = labelled(OPENING + RISE + END)
    assert (table["te"][0], table["lots"][0]) == (START + 110 * MS, 200)
    gross, exec_gross, spread, slippage = values(table, 1000, "gross", "exec_gross", "spread", "slippage")
    assert gross == exec_gross == pytest.approx(100_003 / 100_000 - 1, rel=1e-6)
    assert spread == pytest.approx(2 / 100_000 + 1 / 100_003)
    out_by = ((100_004 - 100_003) + (100_003 - 100_002)) / 2 - 1  # nothing: 200 lots fit the touch
    assert slippage == pytest.approx(1 / 100_000 + out_by / 100_003)
    ratios = values(table, 1000, "long_ratio", "short_ratio")
    assert ratios == pytest.approx([100_002 / 100_003, 100_004 / 99_997], rel=1e-15)
    assert table["status_1000"][0] == OK


def test_lots_are_those_of_the_mid_of_the_decision_and_not_of_the_entry():
    moved = snapshot(105.0, {109_998: 500}, {110_002: 500})
    table = labelled([*OPENING, *moved, *END])
    assert (table["entry_mid"][0], table["lots"][0]) == (110_000, 200)  # 182 at the entry


def made_table(long_ratios, short_ratios):
    """Rows of one horizon that return so much by each side, without funding."""
    size = len(long_ratios)
    made = {"long_ratio": long_ratios, "short_ratio": short_ratios, "status": np.full(size, OK, np.uint8)}
    columns = {f"{name}_250": column for name, column in (made | {"funding": np.zeros(size)}).items()}
    return pl.DataFrame(columns | dict.fromkeys(("entry_mid", "buy_at", "sell_at"), np.full(size, 100.0)))


def test_two_sides_that_return_the_same_are_up():
    table = made_table([1.5, 1.5, 1.25], [0.5, 0.75, 0.5])
    assert classes(table, 250, 0.0, 0.0, "linear").tolist() == [UP, UP, DOWN]
    paid = table.with_columns(funding_250=pl.lit(0.25))  # by longs to shorts
    assert classes(paid, 250, 0.0, 0.0, "linear").tolist() == [DOWN, DOWN, DOWN]
    even = made_table([1.75], [0.75]).with_columns(funding_250=pl.lit(0.25))
    assert classes(even, 250, 0.0, 0.0, "linear").tolist() == [UP]


@pytest.mark.parametrize(("longs", "shorts"), [(1.5, 1.5), (0.5, 0.5)])
def test_rows_of_either_side_make_a_cell_tradeable(longs, shorts):
    table = made_table([longs, 0.9], [shorts, 1.1])
    parameters = label_parameters(horizons_ms=(250,), fee_budgets_bp=(0.0,), min_tradeable_share=0.5)
    [cell] = tradeable_grid(table, parameters, "linear").iter_rows(named=True)
    assert (cell["up"] + cell["down"], cell["tradeable"]) == (0.5, True)
    assert not tradeable_grid(table, label_parameters(min_tradeable_share=0.6, horizons_ms=(250,)), "linear")[
        "tradeable"
    ].any()


def test_nothing_happens_within_the_short_horizon():
    table = labelled(OPENING + RISE + END)
    assert values(table, 250, "gross", "long_ratio") == [0.0, 99_997 / 100_003]


def test_inverse_returns_are_in_coin_and_average_harmonically():
    table = labelled(OPENING + RISE + END, instrument=INVERSE, order_notional_usd=20_000.0)
    buy_at = 200 / (100 / 100_002 + 100 / 100_004)
    assert values(table, 1000, "gross")[0] == pytest.approx(1 - 100_000 / 100_003, rel=1e-6)
    assert values(table, 1000, "long_ratio")[0] == pytest.approx(100_002 / buy_at, rel=1e-15)


def test_the_two_anchors_read_different_mids():
    late = [event(105.0, LEVEL, SELL, 100_002, 0), event(105.0, LEVEL, BUY, 100_000, 1)]
    table = labelled(OPENING + late + RISE + END)
    parameters = label_parameters()
    assert regression_target(table, 1000, "gross")[0] == pytest.approx(100_003 / 100_000 - 1)
    assert regression_target(table, 1000, parameters.anchor)[0] == pytest.approx(100_003 / 100_002 - 1)


def test_an_event_at_the_very_instant_is_in_force():
    at_exit = [event(360.0, LEVEL, SELL, 100_002, 0)]
    just_after = [event(360.000_001, LEVEL, SELL, 100_002, 0)]
    assert values(labelled(OPENING + at_exit + END), 250, "exec_gross")[0] > 0
    assert values(labelled(OPENING + just_after + END), 250, "exec_gross")[0] == 0


def test_the_book_is_the_venues_whenever_we_heard_of_it():
    slow = [event(300.0, LEVEL, SELL, 100_002, 0, delay_ms=900.0)]
    assert values(labelled(OPENING + slow + END), 250, "exec_gross")[0] > 0


def test_leaving_at_the_mid_pays_no_second_spread():
    table = labelled(OPENING + RISE + END, exit="mid")
    assert values(table, 1000, "long_ratio", "short_ratio") == [100_003 / 100_003, 100_003 / 99_997]
    assert values(table, 1000, "spread")[0] == pytest.approx(2 / 100_000)


def test_leaving_at_the_vwap_averages_trades_after_entry_up_to_exit():
    trades = [event(110.0, TRADE, BUY, 90_000, 9), event(200.0, TRADE, BUY, 100_000, 1)]
    trades += [event(360.0, TRADE, SELL, 100_006, 2), event(361.0, TRADE, SELL, 90_000, 9)]
    linear = labelled(OPENING + trades + END, exit="vwap")
    assert values(linear, 250, "long_ratio")[0] == pytest.approx(100_004 / 100_003, rel=1e-12)
    inverse = labelled(OPENING + trades + END, exit="vwap", instrument=INVERSE, order_notional_usd=100.0)
    expected = 3 / (1 / 100_000 + 2 / 100_006)
    assert values(inverse, 250, "long_ratio")[0] == pytest.approx(expected / 100_002, rel=1e-12)


@pytest.mark.parametrize("instrument", [LINEAR, INVERSE])
def test_bits_of_a_vwap_do_not_depend_on_where_the_tape_starts(instrument):
    rng = np.random.default_rng(1)
    trades = [
        event(ms, TRADE, BUY, int(rng.integers(90_000, 110_000)), int(rng.integers(1, 10**6))) for ms in range(3_000)
    ]
    after = START + np.arange(2_000, 2_700) * MS
    whole, late = (
        traded_vwap(venue_tape(tape(*rows)), after, after + 250 * MS, instrument.inverse)
        for rows in (trades, trades[1_990:])
    )
    assert np.isfinite(whole).all()
    assert np.array_equal(whole, late)


def test_without_a_trade_there_is_no_vwap_to_leave_at():
    table = labelled(OPENING + END, exit="vwap")
    assert values(table, 250, "status", "gross") == [NO_PRINT, 0.0]
    assert np.isnan(values(table, 250, "long_ratio", "short_ratio")).all()


def assert_unknown(table, horizon_ms, status):
    assert table[f"status_{horizon_ms}"][0] == status
    names = ("gross", "exec_gross", "spread", "slippage", "funding", "long_ratio", "short_ratio")
    assert np.isnan(values(table, horizon_ms, *names)).all()
    assert classes(table, horizon_ms, 0.0, 0.0, "linear")[0] == NO_CLASS


def test_past_the_end_of_the_tape_nothing_is_known():
    table = labelled([*OPENING, event(1_109.0, TRADE, BUY, 100_002, 1)])
    assert table["status_250"][0] == OK
    assert_unknown(table, 1000, PAST_END)


def test_the_last_instant_of_the_tape_is_known():
    assert labelled([*OPENING, event(1_110.0, TRADE, BUY, 100_002, 1)])["status_1000"][0] == OK


def test_a_gap_inside_leaves_no_label_even_when_the_book_is_back():
    back = snapshot(700.0, BIDS, ASKS)
    table = labelled([*OPENING, event(600.0, GAP), *back, *END])
    assert table["status_250"][0] == OK
    assert_unknown(table, 1000, GAP_INSIDE)


def test_a_closed_book_has_no_label():
    assert_unknown(labelled(END), 250, BOOK_CLOSED)
    assert_unknown(labelled([*OPENING, event(50.0, GAP), *END]), 1000, BOOK_CLOSED)


def test_a_thin_book_has_a_gross_return_but_no_round_trip():
    table = labelled(OPENING + RISE + END, order_notional_usd=40_000.0)
    assert table["status_1000"][0] == DEPTH_SHORT
    assert values(table, 1000, "gross")[0] == pytest.approx(3e-5, rel=1e-3)
    assert np.isnan(values(table, 1000, "long_ratio", "short_ratio", "slippage")).any()
    assert classes(table, 1000, 0.0, 0.0, "linear")[0] == NO_CLASS


def test_a_day_goes_on_from_the_opening_book_and_leaves_it_alone():
    events = tape(*OPENING)
    book = venue_book(events, START)
    before = [array.copy() for array in book]
    table = labelled(RISE + END, book=book)
    assert table.equals(labelled(OPENING + RISE + END))
    assert all(np.array_equal(old, new) for old, new in zip(before, book, strict=True))


def test_classes_follow_the_budget_and_the_margin():
    jump = [event(500.0, LEVEL, SELL, price, 0) for price in ASKS]
    jump += [
        event(500.0, LEVEL, SELL, 100_130, 500),
        event(500.0, LEVEL, BUY, 100_103, 500),
    ]  # 10 bp up, touch to touch
    table = labelled(OPENING + jump + END)
    up = [
        classes(table, 1000, budget, margin, "linear")[0] for budget, margin in ((0, 0), (9.9, 0), (10.1, 0), (9.9, 1))
    ]
    assert up == [UP, UP, NO_TRADE, NO_TRADE]


def test_a_rebate_that_pays_for_both_sides_takes_the_larger():
    table = labelled(OPENING + RISE + END)
    long, short = net_returns(table, 1000, -0.001, "linear")
    assert long[0] > short[0] > 0
    assert classes(table, 1000, -20.0, 0.0, "linear")[0] == UP


def test_a_horizon_is_priced_at_a_budget_with_what_it_is_made_of():
    row = priced(labelled(OPENING + RISE + END), 1000, 4.0, label_parameters(), "linear").row(0, named=True)
    assert (row["te"], row["tx"], row["depth_short"], row["status"]) == (
        START + 110 * MS,
        START + 1110 * MS,
        False,
        "ok",
    )
    assert row["fee"] == pytest.approx(4e-4)
    assert row["net_long"] == pytest.approx((1 - 2e-4) * 100_002 / 100_003 - (1 + 2e-4), abs=1e-15)
    assert row["class"] == NO_TRADE


def test_without_a_fee_there_is_no_net_return_but_a_reason():
    row = priced(labelled(OPENING + RISE + END), 1000, None, label_parameters(), "linear").row(0, named=True)
    assert [row[name] for name in ("fee", "net_long", "net_short", "class")] == [None] * 4
    assert row["status"] == "no fee for the date"


@pytest.mark.parametrize(
    ("rows", "changed", "reason"),
    [
        ([*OPENING, event(600.0, TRADE, BUY, 100_002, 1)], {}, "past the end of the tape"),
        ([*OPENING, event(600.0, GAP), *snapshot(700.0, BIDS, ASKS), *END], {}, "gap inside"),
        (END, {}, "book closed"),
        (OPENING + END, {"order_notional_usd": 40_000.0}, "depth short"),
        (OPENING + END, {"exit": "vwap"}, "no trade to exit at"),
    ],
)
def test_what_cannot_be_priced_is_null_with_a_reason_and_never_0(rows, changed, reason):
    table = priced(labelled(rows, **changed), 1000, 4.0, label_parameters(), "linear")
    row = table.row(0, named=True)
    assert row["status"] == reason
    assert [row[name] for name in ("fee", "net_long", "net_short", "class")] == [None] * 4
    assert row["depth_short"] == (reason == "depth short")
    at_any_fee = priced(labelled(rows, **changed), 1000, None, label_parameters(), "linear").row(0, named=True)
    assert at_any_fee["status"] == reason  # the market's reason comes first


def test_a_gross_return_may_end_at_what_traded_since_its_start():
    trades = [event(105.0, TRADE, BUY, 100_010, 1), event(200.0, TRADE, BUY, 100_020, 1)]
    linear = labelled(OPENING + trades + END, target="vwap")
    assert values(linear, 250, "gross", "exec_gross") == pytest.approx([15 / 100_000, 20 / 100_000], rel=1e-6)
    inverse = labelled(OPENING + trades + END, target="vwap", instrument=INVERSE, order_notional_usd=100.0)
    assert values(inverse, 250, "exec_gross")[0] == pytest.approx(1 - 100_000 / 100_020, rel=1e-6)
    assert np.isnan(values(labelled(OPENING + END, target="vwap"), 250, "gross", "exec_gross")).all()


def test_the_grid_names_cells_that_never_pay():
    table = labelled(OPENING + RISE + END, at_ms=range(100, 500, 20))
    parameters = label_parameters(fee_budgets_bp=(-20.0, 10.0), horizons_ms=(250, 1_000))
    grid = tradeable_grid(table, parameters, "linear")
    assert grid["tradeable"].to_list() == [True, False, True, False]
    assert grid.select(pl.sum_horizontal("up", "down", "no_trade"))["up"].to_list() == pytest.approx([1.0] * 4)


def test_a_grid_without_labels_is_untradeable():
    grid = tradeable_grid(labelled(END), label_parameters(), "linear")
    assert not grid["tradeable"].any()
    assert grid["rows"].to_list() == [0] * 6
    assert grid["no_trade"].is_nan().all()


def test_rows_that_do_not_rise_are_refused():
    with pytest.raises(DataError, match="must rise"):
        labelled(OPENING, at_ms=(100, 100))


def test_no_rows_give_an_empty_table_of_the_same_columns():
    empty, full = labelled(OPENING, at_ms=np.zeros(0, np.int64)), labelled(OPENING)
    assert empty.schema == full.schema
    assert empty.height == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("horizons_ms", (1_000, 250)),
        ("horizons_ms", ()),
        ("horizons_ms", (0, 250)),
        ("fee_budgets_bp", (2.0, 2.0)),
        ("infer_latency_ms", -1.0),
        ("order_notional_usd", 0.0),
        ("anchor", "mid"),
        ("target", "last"),
        ("exit", "limit"),
        ("min_tradeable_share", 2.0),
    ],
)
def test_a_setting_out_of_range_is_named(key, value):
    with pytest.raises(ConfigError, match=key):
        label_parameters(**{key: value})


def test_the_longest_reach_is_latency_plus_horizon():
    parameters: LabelParameters = label_parameters()
    assert (parameters.latency_ns, parameters.longest_ns) == (10 * MS, 1_010 * MS)
