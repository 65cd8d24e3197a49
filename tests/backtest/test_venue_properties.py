"""What must hold on any tape, whoever sends what into it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.ledger import Ledger
from market.book import quantity
from market.events import BUY, MARK, NO_SIDE, SELL, TRADE
from market.orders import (
    ACKED,
    DUPLICATE_ID,
    FILL,
    IOC,
    MODIFIED,
    ORDER_CANCELLED,
    ORDER_EXPIRED,
    ORDER_REJECTED,
    POST_ONLY,
)
from tests.builders_venue import (
    COIN,
    FOREVER,
    MS,
    act,
    fills,
    message,
    messages,
    new_venue,
    parameters,
    sessions,
    tape,
)

_EITHER = st.one_of(sessions(), sessions(aligned=True))


@given(_EITHER, parameters())
def test_every_lot_of_every_order_is_filled_ended_or_open(actions, changes):
    venue = new_venue(**changes)
    reports = act(venue, actions)
    reports = reports[reports["reason"] != DUPLICATE_ID]
    for order in venue.orders[venue.orders["reason"] != DUPLICATE_ID]:
        own = reports[reports["order_id"] == order["order_id"]]
        ended = np.isin(own["kind"], (FILL, ORDER_CANCELLED, ORDER_EXPIRED, ORDER_REJECTED))
        assert own["qty"][ended].sum() + order["leaves"] == order["qty"]


@given(_EITHER, parameters())
def test_position_is_the_sum_of_fills(actions, changes):
    venue, ledger = new_venue(**changes), Ledger(COIN)
    reports = act(venue, actions)
    for fill in reports[reports["kind"] == FILL]:
        ledger.book_fill(int(fill["side"]), int(fill["price"]), int(fill["qty"]), 0.0)
    ended = reports[np.isin(reports["kind"], (ORDER_CANCELLED, ORDER_EXPIRED, ORDER_REJECTED))]
    done = venue.orders["qty"] - venue.orders["leaves"]
    signed = done @ venue.orders["side"].astype(np.int64) - ended["qty"] @ ended["side"].astype(np.int64)
    assert ledger.position == signed


@given(_EITHER, parameters())
def test_nothing_happens_before_arrival_and_nothing_is_known_before_it_happened(actions, changes):
    venue = new_venue(**changes)
    reports = act(venue, actions)
    arrivals = {int(order["order_id"]): int(order["arrival_ts"]) for order in venue.orders[::-1]}
    for report in reports[np.isin(reports["kind"], (ACKED, FILL))]:
        assert report["venue_ts"] >= arrivals[int(report["order_id"])]
    assert (reports["visible_ts"] >= reports["venue_ts"] + 3 * MS).all()
    assert (np.diff(np.sort(reports["report_id"])) == 1).all()


@given(_EITHER, parameters())
def test_fills_stay_inside_their_limit(actions, changes):
    limits: dict[int, int] = {}
    for report in np.sort(act(new_venue(**changes), actions), order="report_id"):
        if report["kind"] in (ACKED, MODIFIED):
            limits[int(report["order_id"])] = int(report["price"])
        if report["kind"] == FILL:
            assert (limits[int(report["order_id"])] - report["price"]) * report["side"] >= 0


@given(_EITHER, parameters())
def test_cash_is_what_fills_and_fees_leave(actions, changes):
    ledger = Ledger(COIN)
    reports = act(new_venue(**changes), actions)
    made = reports[reports["kind"] == FILL]
    for fill in made:
        ledger.book_fill(int(fill["side"]), int(fill["price"]), int(fill["qty"]), 2e-4 if fill["maker"] else 5e-4)
    coins = made["qty"] * 100.0 / (made["price"] * 0.1)  # of an inverse contract
    fees = coins * np.where(made["maker"] == 1, 2e-4, 5e-4)
    assert ledger.cash == pytest.approx((made["side"] * coins).sum() - fees.sum())


@given(sessions(), parameters())
def test_own_fills_of_a_trade_stay_within_its_printed_volume(actions, changes):
    venue = new_venue(**(changes | {"crossed_book": "none"}))
    for name, *arguments in actions:
        if name == "reports":
            continue
        getattr(venue, name)(*arguments)
        reports = venue.reports(FOREVER)
        printed = arguments[0]["qty"][arguments[0]["kind"] == TRADE].sum() if name == "on_events" else 0
        assert reports["qty"][reports["maker"] == 1].sum() <= printed


@given(messages(), st.lists(st.tuples(st.integers(95, 106), st.integers(1, 30)), min_size=1, max_size=8))
def test_displayed_depth_is_taken_once(parts, wanted):
    venue = new_venue()
    venue.on_events(tape(*parts))
    now = int(parts[-1]["ingest_ts"][0])
    shown = sum(quantity(venue.book, 1, price) for price in range(80, 120))
    for order_id, (price, qty) in enumerate(wanted):
        venue.place(order_id, BUY, price, qty, IOC, now)
    venue.on_events(message(now // MS + 50, (MARK, NO_SIDE, 1, 1)))
    taken = sum(lots for _, _, lots in fills(venue.reports(FOREVER)))
    assert taken + sum(quantity(venue.book, 1, price) for price in range(80, 120)) == shown


_MODELS = st.sampled_from(
    [
        {},
        {"crossed_book": "fill"},
        {"queue_model": "front"},
        {"queue_model": "log"},
        {"queue_model": "power", "queue_power": 0.5},
        {"queue_model": "power", "queue_power": 1.0},  # above 1 the formula itself is not monotone
    ]
)


def _filled(parts, order, changes) -> int | None:
    """Lots filled of one passive order, None where the venue did not let it rest."""
    venue = new_venue(**changes)
    venue.place(*order)
    venue.on_events(tape(*parts))
    reports = venue.reports(FOREVER)
    accepted = (reports["kind"] == ACKED).any()
    return int(reports["qty"][reports["kind"] == FILL].sum()) if accepted else None


@given(
    messages(),
    st.sampled_from([(BUY, 100), (BUY, 99), (SELL, 101), (SELL, 102)]),
    st.integers(1, 30),
    st.integers(1, 20),
    _MODELS,
)
def test_a_longer_queue_never_adds_fills(parts, where, qty, longer, changes):
    side, price = where
    more = parts[0].copy()
    more["qty"][(more["side"] == side) & (more["price"] == price)] += longer
    order = (1, side, price, qty, POST_ONLY, 8 * MS)  # meets the first book
    assert _filled([more, *parts[1:]], order, changes) <= _filled(parts, order, changes)


@given(messages(), st.sampled_from([BUY, SELL]), st.integers(97, 104), st.integers(1, 30), st.integers(1, 60), _MODELS)
def test_a_later_arrival_never_adds_fills(parts, side, price, qty, later_ms, changes):
    early = _filled(parts, (1, side, price, qty, POST_ONLY, 8 * MS), changes)
    late = _filled(parts, (1, side, price, qty, POST_ONLY, (8 + later_ms) * MS), changes)
    assert early is None or late is None or late <= early


@given(sessions(), st.data())
def test_trace_may_be_cut_at_any_event(actions, data):
    whole = tape(*(action[1] for action in actions if action[0] == "on_events"))
    sends = [action for action in actions if action[0] in ("place", "cancel")]
    cut = data.draw(st.integers(0, whole.size))
    once = act(new_venue(), [*sends, ("on_events", whole), ("reports", FOREVER)])
    parts = [("on_events", whole[:cut].copy()), ("on_events", whole[cut:].copy())]
    assert act(new_venue(), [*sends, *parts, ("reports", FOREVER)]).tobytes() == once.tobytes()


@given(_EITHER, st.data())
def test_dumped_venue_goes_on_to_the_same_reports(actions, data):
    cut = data.draw(st.integers(0, len(actions)))
    first, second, third = new_venue(), new_venue(), new_venue()
    before = act(first, actions[:cut])
    saved = first.dump()
    second.load(saved)
    third.load(saved)
    assert {name: array.tobytes() for name, array in third.dump().items()} == {
        name: array.tobytes() for name, array in saved.items()
    }
    assert [*before.tolist(), *act(second, actions[cut:]).tolist()] == act(new_venue(), actions).tolist()
