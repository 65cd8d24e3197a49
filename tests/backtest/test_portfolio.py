"""One account over many instruments: margin by hand, cash by settlement currency, funding when it falls due."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.engine import Market, Window, run_backtest, run_markets
from backtest.ledger import Ledger
from backtest.portfolio import Portfolio
from market.errors import BacktestError
from market.events import BUY, FUNDING, MARK, NO_SIDE, SELL
from market.instrument import Instrument
from market.orders import FILL, GTC, IOC, NO_MARGIN, NO_REASON, ORDER_REJECTED, POST_ONLY
from tests.builders_market import COINM_BTC, synthetic_events
from tests.builders_trading import VENUE as TRADED_VENUE
from tests.builders_trading import session
from tests.builders_venue import COIN, FOREVER, MS, VENUE, level, message, opened, tape

LINEAR = Instrument("venue-linear", "venue", "linear", "linear", 1.0, 1.0, 1.0, "BTC", "USD")
SPOT = Instrument("venue-spot", "venue", "spot", "spot", 1.0, 1.0, 1.0, "ETH", "USD")
SECOND = 1_000_000_000


def _portfolio(usd: float = 200.0) -> Portfolio:
    return Portfolio({"USD": usd, "BTC": 1.0}, 0.1)


def test_an_order_beyond_the_margin_is_rejected_with_its_reason() -> None:
    gateway = _portfolio(101.0).open(LINEAR, VENUE)  # carries 10 lots at a mid of 100.5 with a tenth of their value
    gateway.on_events(opened())
    gateway.place(1, BUY, 100, 9, POST_ONLY, 2 * MS)
    gateway.place(2, BUY, 100, 2, POST_ONLY, 2 * MS)
    gateway.on_events(level(10, BUY, 90, 1))
    rejected = gateway.reports(FOREVER)
    rejected = rejected[rejected["kind"] == ORDER_REJECTED]
    assert [(int(one["order_id"]), int(one["reason"])) for one in rejected] == [(2, NO_MARGIN)]
    gateway.place(3, BUY, 99, 1, POST_ONLY, 11 * MS)  # what was refused binds nothing
    gateway.on_events(level(20, BUY, 90, 2))
    assert (gateway.reports(FOREVER)["kind"] != ORDER_REJECTED).all()


def test_an_order_that_closes_needs_no_margin() -> None:
    gateway = _portfolio(101.0).open(LINEAR, VENUE)
    gateway.on_events(opened())
    gateway.place(1, BUY, 101, 10, IOC, 2 * MS)
    gateway.on_events(level(10, BUY, 90, 1))
    assert gateway.reports(FOREVER)["kind"].tolist().count(FILL) == 1
    assert gateway.holding.ledger.position == 10
    for order_id, (side, kind) in enumerate([(BUY, ORDER_REJECTED), (SELL, FILL)], start=2):
        gateway.place(order_id, side, 103 if side == BUY else 98, 5, IOC, (10 * order_id) * MS)
        gateway.on_events(level(10 * order_id + 9, BUY, 90, 2))
        assert kind in gateway.reports(FOREVER)["kind"].tolist()


def test_a_limit_far_from_the_market_does_not_make_a_coin_contract_cheaper() -> None:
    # a contract of 100 USD at 10.05 is 9.95 BTC, a tenth of it 0.995; at a limit of 1,000 it would be 0.01
    gateway = _portfolio().open(COIN, VENUE)
    gateway.on_events(opened())
    gateway.place(1, BUY, 10_000, 2, GTC, 2 * MS)
    gateway.place(2, SELL, 10_000, 3, POST_ONLY, 2 * MS)
    assert gateway.venue.orders["reason"].tolist() == [NO_MARGIN, NO_MARGIN]


def _held_margin(instrument: Instrument, share: float, lots: int, ticks: float) -> float:
    """Initial margin of a position, from the contract's own words."""
    units = abs(lots) * instrument.multiplier * instrument.lot_size
    price = ticks * instrument.tick_size
    return share * (units / price if instrument.contract == "inverse" else units * price)


def _worst(position: int, sent: list[tuple[int, int]]) -> int:
    """Largest position, over every choice of which orders fill whole."""
    reached = {position}
    for side, qty in sent:
        reached |= {lots + side * qty for lots in reached}
    return max(map(abs, reached))


@given(
    st.sampled_from([LINEAR, COIN]),
    st.integers(-6, 6),
    st.lists(st.tuples(st.sampled_from([BUY, SELL]), st.integers(90, 115), st.integers(1, 6)), max_size=8),
)
def test_margin_refuses_what_a_plain_count_of_the_worst_case_refuses(instrument, position, asked) -> None:
    portfolio = Portfolio({"USD": 80.0, "BTC": 6.0}, 0.1)
    gateway = portfolio.open(instrument, VENUE)
    gateway.on_events(opened())
    if position:
        gateway.holding.ledger.book_fill(1 if position > 0 else -1, 100, abs(position), 0.0)
    equity, sent, expected = portfolio.equity(instrument.settlement), [], []
    for order_id, (side, price, qty) in enumerate(asked):
        after = _worst(position, [*sent, (side, qty)])
        dearest = max(_held_margin(instrument, 0.1, after, ticks) for ticks in (price, 100.5))
        expected.append(NO_MARGIN if after > _worst(position, sent) and dearest > equity else NO_REASON)
        sent.append((side, qty))
        gateway.place(order_id, side, price, qty, GTC, 2 * MS)
    assert gateway.venue.orders["reason"].tolist() == expected


def test_an_account_does_not_modify_orders_and_says_so() -> None:
    gateway = _portfolio().open(LINEAR, VENUE)
    with pytest.raises(BacktestError, match="order 7 .* cancel it and place another"):
        gateway.modify(7, 100, 2, 2 * MS)


def test_instruments_of_one_currency_share_its_margin_and_no_other() -> None:
    portfolio = _portfolio(1_000.0)
    linear, spot, coin = (portfolio.open(one, VENUE) for one in (LINEAR, SPOT, COIN))
    for gateway in (linear, spot, coin):
        gateway.on_events(opened())
    spot.place(1, BUY, 100, 9, POST_ONLY, 2 * MS)
    assert portfolio.margin("USD") == pytest.approx(9 * 100.5)
    linear.place(1, BUY, 100, 11, POST_ONLY, 2 * MS)  # 904.5 + 110 is too much
    coin.place(1, BUY, 100, 1, POST_ONLY, 2 * MS)  # 100 USD at 10 a coin: a tenth of 10 BTC
    refused = []
    for gateway in (linear, spot, coin):
        gateway.on_events(level(10, BUY, 90, 1))
        refused.append(ORDER_REJECTED in gateway.reports(FOREVER)["kind"])
    assert refused == [True, False, False]
    assert portfolio.margin("BTC") == pytest.approx(0.1 * 100 / 10.05)


def test_cash_and_equity_add_up_by_currency() -> None:
    portfolio = _portfolio()
    gateway = portfolio.open(LINEAR, VENUE)
    gateway.on_events(opened())
    gateway.place(1, BUY, 101, 4, GTC, 2 * MS)
    gateway.on_events(level(10, BUY, 90, 1))
    gateway.reports(FOREVER)
    assert portfolio.cash("USD") == 200.0 - 4 * 101
    assert portfolio.equity("USD") == 200.0 - 4 * 101 + 4 * 100.5
    assert (portfolio.cash("BTC"), portfolio.equity("EUR")) == (1.0, 0.0)


def _published(at_ms: int, mark: float, rate: float, next_ts: int):
    return message(at_ms, (MARK, NO_SIDE, round(mark * 1e8), 0), (FUNDING, NO_SIDE, round(rate * 1e12), next_ts))


@pytest.mark.parametrize(("instrument", "paid"), [(LINEAR, 0.001 * 5 * 120), (COIN, 0.001 * 5 * 100 / 120)])
def test_funding_is_booked_once_when_it_falls_due(instrument, paid) -> None:
    ledger = Ledger(instrument)
    ledger.book_fill(BUY, round(100 / instrument.tick_size), 5, 0.0)
    before = ledger.cash
    ledger.on_events(tape(_published(1, 110.0, 0.001, 50 * MS), _published(40, 120.0, 0.001, 50 * MS)))
    assert ledger.funding == 0.0
    ledger.on_events(level(49, BUY, 90, 1))
    assert ledger.funding == 0.0
    ledger.on_events(level(50, BUY, 90, 1))  # any event says how late it is
    assert ledger.funding == pytest.approx(paid)
    ledger.on_events(tape(_published(51, 130.0, 0.002, 90 * MS), _published(52, 131.0, 0.003, 90 * MS)))
    assert ledger.funding == pytest.approx(paid)
    assert ledger.cash == pytest.approx(before - paid)


def test_funding_on_a_position_before_any_mark_is_refused_and_not_booked_as_0() -> None:
    ledger = Ledger(LINEAR)
    told = message(1, (FUNDING, NO_SIDE, 10**9, 50 * MS))
    ledger.on_events(told)
    ledger.book_fill(BUY, 100, 5, 0.0)
    with pytest.raises(BacktestError, match="mark=nan"):
        ledger.on_events(level(60, BUY, 90, 1))


def test_spot_and_a_flat_position_pay_no_funding() -> None:
    events = tape(message(1, (FUNDING, NO_SIDE, 10**9, 50 * MS)), _published(60, 100.0, 0.001, 90 * MS))
    for instrument, lots in ((SPOT, 5), (LINEAR, 0)):
        ledger = Ledger(instrument)
        if lots:
            ledger.book_fill(BUY, 100, lots, 0.0)
        ledger.on_events(events)
        assert ledger.funding == 0.0


def test_a_long_feed_is_kept_short_and_pays_the_same() -> None:
    events = tape(
        *(_published(ms, 100.0 + ms % 7, 1e-5 * (ms % 5 + 1), (ms // 900 + 1) * 900 * MS) for ms in range(1, 2_900))
    )
    whole, parts = Ledger(LINEAR), Ledger(LINEAR)
    for ledger in (whole, parts):
        ledger.book_fill(BUY, 100, 5, 0.0)
    whole.on_events(events)
    for part in np.array_split(events, 400):
        parts.on_events(part)
    assert parts.funding == pytest.approx(whole.funding, rel=1e-12)
    assert parts.funding > 0


def test_a_short_position_receives_funding() -> None:
    ledger = Ledger(LINEAR)
    ledger.book_fill(SELL, 100, 5, 0.0)
    ledger.book_funding(0.001, 100.0)
    assert ledger.funding == pytest.approx(-0.5)
    assert ledger.equity(100.0) == pytest.approx(0.5)


@pytest.mark.parametrize(("rate", "mark"), [(float("nan"), 100.0), (0.1, 0.0)])
def test_funding_that_cannot_be_is_refused(rate: float, mark: float) -> None:
    with pytest.raises(BacktestError, match="funding rate"):
        Ledger(LINEAR).book_funding(rate, mark)


@pytest.mark.parametrize(("deposits", "margin"), [({"USD": -1.0}, 0.1), ({}, 0.0), ({}, 1.5)])
def test_an_account_that_cannot_be_is_refused(deposits, margin) -> None:
    with pytest.raises(BacktestError):
        Portfolio(deposits, margin)


def test_an_instrument_is_opened_once() -> None:
    portfolio = _portfolio()
    portfolio.open(LINEAR, VENUE)
    with pytest.raises(BacktestError, match="open already"):
        portfolio.open(LINEAR, VENUE)


def test_symbols_that_run_together_come_out_as_they_do_alone() -> None:
    tapes = [synthetic_events(12.0, seed) for seed in (0, 1)]
    window = Window(int(tapes[0]["ingest_ts"][0]) + 8 * SECOND, int(tapes[0]["ingest_ts"][0]) + 11 * SECOND)

    def market(events: np.ndarray) -> Market:
        portfolio = Portfolio({"BTC": 1e6}, 0.01)
        return Market(events, session("probe"), portfolio.open(COINM_BTC, TRADED_VENUE))

    together = run_markets([market(events) for events in tapes], window, 0)
    alone = [run_backtest(*market(events)[:3], window, 0) for events in tapes]
    assert together[0].decisions.size > 100
    assert all(result.reports.size > 0 for result in together)
    for one, other in zip(together, alone, strict=True):
        assert one.reports.tobytes() == other.reports.tobytes()
        assert one.tallies == other.tallies
