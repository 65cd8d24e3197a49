"""A market maker of fixed rules along a compiled tape: one compiled loop over the kernel that everyone trades through.

For research that asks what quoting is worth under many rules, latencies or queue models, without features or forecast.
The account is ``trading.account``'s, so that it knows of its orders what it was told, when it was told.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from backtest.ledger import Ledger, apply_fill
from backtest.matching import follow_aligned
from backtest.orders import (
    CANCEL,
    META,
    ORDERS,
    OWED,
    PLACE,
    REPORT_COUNT,
    REPORTS,
    TALLIES,
    TALLY,
    enter,
    new_state,
    send,
)
from backtest.parameters import VenueParameters
from backtest.tape import CompiledTape
from market.borrowing import BORROWING
from market.errors import BacktestError
from market.events import BUY, SELL
from market.instrument import Instrument
from market.orders import (
    ACKED,
    ALREADY_DONE,
    CANCEL_REJECTED,
    FILL,
    IN_FLIGHT,
    NO_REASON,
    ORDER_CANCELLED,
    ORDER_EXPIRED,
    ORDER_REJECTED,
    POST_ONLY,
)
from market.spill import require_room
from trading import account as own

END_OF_TAPE: Final = "end of tape"
_ROWS: Final = 16  # rows of orders, given to later ones when an order is done
_STRETCH: Final = 2_000_000  # events between two releases of the tape's memory
_STEPS: Final = 2  # place in a course: next event, touch seen, steps done, time of the next step


@dataclass(frozen=True, slots=True)
class QuoteRules:
    """One bid and one ask around the mid, looked at every step, moved against the position."""

    step_ns: int
    half_spread_ticks: int  # of a quote from the mid, before the skew
    skew_ticks: int  # both quotes move this far against each ``qty`` held
    qty: int  # lots of a quote
    most_lots: int  # no quote that could carry the position beyond it

    def __post_init__(self) -> None:
        if self.step_ns < 1 or self.qty < 1 or self.half_spread_ticks < 0 or self.most_lots < 0:
            raise BacktestError(f"{self}: step and quantity are above 0, half spread and most lots at least 0")


class QuoteResult(NamedTuple):
    """What a market maker was left with."""

    ledger: Ledger
    tallies: dict[str, int]  # of the venue
    steps: int
    end_reason: str


def quote_along(
    tape: CompiledTape,
    instrument: Instrument,
    parameters: VenueParameters,
    rules: QuoteRules,
    legs: NDArray[np.int64] | None = None,
) -> QuoteResult:
    """Quote from the first touch to the end of the tape; what is held then stays open.

    legs : shape (rows, 2), entry and acknowledgement leg in ns of the steps in turn, starting again after the last;
    the parameters' constant ones unless given
    Raises BacktestError if the tape shows no touch, legs are none or negative, or cancels are to fail at random, which
    this loop does not draw. DataError if the book runs out of room.
    """
    legs = np.array([[parameters.order_latency_ns, parameters.ack_latency_ns]]) if legs is None else legs
    _check(tape, parameters, legs)
    state = new_state(parameters.queue_code, parameters.queue_power, parameters.crossed_code)
    ledger, account = Ledger(instrument), own.new_account()
    numbers = (rules.step_ns, rules.half_spread_ticks, rules.skew_ticks, rules.qty, rules.most_lots)
    books = (ledger.counts, ledger.money, instrument.inverse, *parameters.fees)
    ours = (np.ascontiguousarray(legs), account, books)
    course = np.array([0, 0, 0, tape.touches[0][0] + rules.step_ns])
    while _quote_along(state, tape.venue, tape.touches, numbers, ours, course):
        require_room(state[2])
        if state[META][OWED]:
            raise BacktestError(f"more than {state[REPORTS].size} reports wait within one acknowledgement")
        tape.release()
    require_room(state[2])
    tallies = {name: int(state[META][TALLY + place]) for place, name in enumerate(TALLIES)}
    return QuoteResult(ledger, tallies, int(course[_STEPS]), END_OF_TAPE)


def _check(tape: CompiledTape, parameters: VenueParameters, legs: NDArray[np.int64]) -> None:
    if not (tape.touches[1] > 0).any():
        raise BacktestError("the tape never shows a two-sided book")
    if legs.ndim != 2 or legs.shape[0] < 1 or legs.shape[1] != 2:
        raise BacktestError(f"legs of shape {legs.shape} are no rows of entry and acknowledgement")
    if (legs < 0).any():
        raise BacktestError(f"a latency leg of {legs.min()} ns is below 0")
    if parameters.reject_share + parameters.cancel_reject_share + parameters.cancel_lost_share > 0:
        raise BacktestError("this loop draws no rejects and no cancel failures: set their shares to 0")


@njit(**BORROWING)
def _learn(state, account, books, until):
    """Take every report that is visible by ``until`` out of the venue's, and into account and ledger."""
    counts, money, inverse, maker_fee, taker_fee = books
    orders, integers, _ = account
    reports, meta = state[REPORTS], state[META]
    kept = 0
    for place in range(meta[REPORT_COUNT]):
        report = reports[place]
        if report.visible_ts > until:
            if kept != place:
                reports[kept] = report
            kept += 1
        elif report.kind == FILL:
            fee = maker_fee if report.maker else taker_fee
            apply_fill(counts, money, inverse, report.side, report.price, report.qty, fee)
            own.fill(orders, integers, report.order_id, report.side, report.qty, report.leaves)
        elif report.kind == ACKED:
            own.acknowledge(orders, report.order_id)
        elif report.kind in (ORDER_CANCELLED, ORDER_REJECTED, ORDER_EXPIRED):
            own.finish(orders, report.order_id)
        elif report.kind == CANCEL_REJECTED and report.reason != ALREADY_DONE:
            own.keep(orders, report.order_id)
    meta[REPORT_COUNT] = kept


@njit(**BORROWING)
def _free_row(state):
    """A row of orders whose order is done, -1 if there is none."""
    orders = state[ORDERS]
    for row in range(_ROWS):
        if (orders[row].leaves == 0 and orders[row].status != IN_FLIGHT) or orders[row].order_id == 0:
            return row
    return -1


@njit(**BORROWING)
def _row_of_order(state, order_id):
    for row in range(_ROWS):
        if state[ORDERS][row].order_id == order_id:
            return row
    return -1


@njit(**BORROWING)
def _want(state, account, quote, times):
    """Have one quote stand: cancel what stands elsewhere, place where nothing does. A price of 0 wants none."""
    slot, side, price, qty = quote
    now, entry_ns, ack_ns = times
    orders = account[0]
    if orders[slot, own.STATE] == own.RESTING and orders[slot, own.PRICE] != price:
        order_id = orders[slot, own.ORDER_ID]
        orders[slot, own.STATE] = own.CANCEL_SENT
        row = _row_of_order(state, order_id)
        send(state, (CANCEL, row, order_id, now + entry_ns, ack_ns, 0, 0, 0))
    elif orders[slot, own.STATE] == own.FREE and price > 0:
        row = _free_row(state)
        if row >= 0:
            order_id = own.take_slot(account, slot, side, price, qty, now)
            enter(state, row, (order_id, side, price, qty, POST_ONLY, NO_REASON), (now, now + entry_ns, ack_ns))
            send(state, (PLACE, row, order_id, now + entry_ns, ack_ns, 0, 0, 0))


@njit(**BORROWING)
def _quotes(rules, position, bid, ask):
    """Prices of bid and ask, 0 where none is wanted: never through the touch."""
    _, half, skew, qty, most = rules
    if bid == 0:
        return 0, 0
    shift = skew * position // qty
    our_bid = min((bid + ask) // 2 - half - shift, bid)
    our_ask = max((bid + ask + 1) // 2 + half - shift, ask)
    return (our_bid if position + qty <= most else 0), (our_ask if position - qty >= -most else 0)


@njit(**BORROWING)
def _quote_along(state, tape, touches, rules, ours, course):
    """Quote along the next stretch of events; False at the end of the tape. OWED is left set if reports had no room."""
    legs, account, books = ours
    meta, step_ns, qty = state[META], rules[0], rules[3]
    stamps, bids, asks = touches
    at, seen, steps, now = course
    stop, end = at + _STRETCH, max(tape[6][tape[0].size - 1], stamps[stamps.size - 1])
    while now <= end and at < stop:
        at = follow_aligned(state, tape, at, now)
        while meta[OWED] != 0:
            waiting = meta[REPORT_COUNT]
            _learn(state, account, books, now)
            if meta[REPORT_COUNT] == waiting:
                return True
            at = follow_aligned(state, tape, at, now)
        _learn(state, account, books, now)
        while seen + 1 < stamps.size and stamps[seen + 1] <= now:
            seen += 1
        leg = steps % legs.shape[0]
        times = (now, legs[leg, 0], legs[leg, 1])
        bid, ask = _quotes(rules, account[1][own.POSITION], bids[seen], asks[seen])
        _want(state, account, (own.BID_SLOT, BUY, bid, qty), times)
        _want(state, account, (own.ASK_SLOT, SELL, ask, qty), times)
        steps += 1
        now += step_ns
    course[0], course[1], course[_STEPS], course[3] = at, seen, steps, now
    return now <= end
