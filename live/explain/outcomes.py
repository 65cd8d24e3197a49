"""What would have become of an order, had it been sent otherwise: the matching kernel, from the same state on.

All else stays as it was: the market, and every later order and cancel of the desk. What the policy would have done
after another outcome is not asked.
"""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtest.ledger import Ledger
from backtest.mids import MidPath
from backtest.parameters import VenueParameters
from backtest.venue import SimulatedVenue
from live.explain.answer import Outcome
from live.explain.playing import LaterRow, Played
from market.instrument import Instrument
from market.orders import FILL, IOC, ORDER_REJECTED, POST_ONLY, REASON_NAMES, Reports
from trading import limits as rule
from trading.records import CANCEL, PLACE
from trading.routing import taker_limit, touch_price
from trading.session import send
from trading.view import BEST_ASK, BEST_BID

Intents = NDArray[np.void]
_BP: Final = 1e4


class Terms(NamedTuple):
    """On what terms outcomes are reckoned."""

    instrument: Instrument
    venue: VenueParameters
    maker_fee: float
    taker_fee: float
    valued_ts: int  # one traded horizon after the decision, ns UTC


def outcomes(played: Played, order_id: int, leg_ns: int, terms: Terms, mids: MidPath) -> tuple[Outcome, ...]:
    """As sent first, then otherwise.

    leg_ns : one latency, from sending an order to the venue's answer
    """
    intent = _own(played.looked.pair.again.intents, order_id)[0]
    view, limits, side = played.looked.view, played.looked.limits, int(intent["side"])
    worst = taker_limit(side, int(view[BEST_BID]), int(view[BEST_ASK]), int(limits[rule.MAX_SLIPPAGE_TICKS]))
    taken, posted = (IOC, int(worst)), (POST_ONLY, int(touch_price(side, view)))
    if int(intent["tif"]) == IOC:
        ends = int(intent["sent_ts"]) + int(limits[rule.HORIZON_NS])
        other = ("posted", "at the touch instead of taken, until one horizon later", _as(order_id, *posted, ends))
    else:
        other = ("taken", "at once instead of posted", _as(order_id, *taken, None))
    variants: tuple[tuple[str, str, Callable[[Intents], Intents]], ...] = (
        ("as sent", "what the replay makes of it", lambda intents: intents),
        other,
        ("one latency later", f"sent {leg_ns / 1e6:.1f} ms later", _later(order_id, leg_ns)),
        ("not sent", "neither order nor cancel", _without(order_id)),
    )
    return tuple(
        _valued(name, what, _reported(played, order_id, change, terms), terms, mids) for name, what, change in variants
    )


def _own(intents: Intents, order_id: int) -> Intents:
    return intents[(intents["order_id"] == order_id) & (intents["verb"] == PLACE)]


def _reported(played: Played, order_id: int, change: Callable[[Intents], Intents], terms: Terms) -> Reports:
    """What is reported of the order by a venue that goes on from the decision."""
    venue = SimulatedVenue(terms.instrument, terms.venue)
    venue.load(played.before.venue)
    send(venue, change(played.looked.pair.again.intents))
    heard = []
    for row in _rows(played.later, change):
        venue.on_events(row.events)
        heard.append(venue.reports(row.row_ts))
        send(venue, row.intents)
    reports: Reports = np.concatenate(heard) if heard else venue.reports(0)
    return reports[reports["order_id"] == order_id]


def _rows(later: Iterable[LaterRow], change: Callable[[Intents], Intents]) -> Iterable[LaterRow]:
    return (row._replace(intents=change(row.intents)) for row in later)


def _as(order_id: int, tif: int, price: int, ends: int | None) -> Callable[[Intents], Intents]:
    """Sends the order with another time in force and price; its cancels go, one at ``ends`` comes."""

    def change(intents: Intents) -> Intents:
        kept = _without_cancels(intents, order_id).copy()
        own = kept["order_id"] == order_id
        kept["tif"][own], kept["price"][own] = tif, price
        if ends is None or not own.any():
            return kept
        cancel = kept[own].copy()
        cancel["verb"], cancel["sent_ts"] = CANCEL, ends
        return np.concatenate((kept, cancel))

    return change


def _later(order_id: int, leg_ns: int) -> Callable[[Intents], Intents]:
    def change(intents: Intents) -> Intents:
        moved = intents.copy()
        moved["sent_ts"][(moved["order_id"] == order_id) & (moved["verb"] == PLACE)] += leg_ns
        return moved

    return change


def _without(order_id: int) -> Callable[[Intents], Intents]:
    return lambda intents: intents[intents["order_id"] != order_id]


def _without_cancels(intents: Intents, order_id: int) -> Intents:
    return intents[(intents["order_id"] != order_id) | (intents["verb"] == PLACE)]


def _valued(name: str, what: str, reports: Reports, terms: Terms, mids: MidPath) -> Outcome:
    """The fills up to the horizon, in money at its mid; an order that the venue refuses says why."""
    fills, refused = (reports[reports["kind"] == kind] for kind in (FILL, ORDER_REJECTED))
    instrument, books = terms.instrument, Ledger(terms.instrument)
    counted = fills[fills["venue_ts"] <= terms.valued_ts]
    for fill in counted:
        fee = terms.maker_fee if fill["maker"] else terms.taker_fee
        books.book_fill(int(fill["side"]), int(fill["price"]), int(fill["qty"]), fee)
    mark, lots = float(mids.at(np.array([terms.valued_ts]))[0]), int(counted["qty"].sum())
    paid = sum(instrument.notional(int(fill["price"]), int(fill["qty"])) for fill in counted)
    each = instrument.lot_value * lots
    profit = books.equity(mark) if np.isfinite(mark) else None
    return Outcome(
        name=name,
        what=f"{what}; refused: {REASON_NAMES[int(refused['reason'][0])]}" if refused.size else what,
        filled=lots * instrument.lot_size,
        average_price=(each / paid if instrument.inverse else paid / each) if lots else None,
        maker_share=float(np.average(counted["maker"], weights=counted["qty"])) if lots else None,
        profit=profit,
        profit_bp=_BP * profit / paid if profit is not None and paid else None,
    )
