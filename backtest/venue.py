"""The simulated venue: the matching kernel behind the interface of a gateway, for backtests and paper trading alike."""

import operator
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from backtest.columns import columns_of
from backtest.latency import ConstantLatency, LatencyModel, arrival
from backtest.matching import follow_aligned, follow_trace
from backtest.orders import (
    ARRIVAL,
    CANCEL,
    CLOCK,
    CROSSED_BOOK,
    FORGOTTEN,
    LOST,
    MET,
    META,
    MODIFY,
    ORDER_COUNT,
    ORDERS,
    OWED,
    PLACE,
    POWERS,
    QUEUE_MODEL,
    RECONCILE,
    REFUSED,
    REPORT_COUNT,
    REPORTS,
    REQUEST_COUNT,
    REQUESTS,
    RESTING,
    RESTING_COUNT,
    TALLIES,
    TALLY,
    enter,
    new_state,
    send,
    standing,
    without_done,
)
from backtest.parameters import VenueParameters
from market.book import Book
from market.counter_hash import draw
from market.errors import BacktestError
from market.events import BUY, EVENT, SELL, Events, aligned_ts
from market.instrument import Instrument
from market.orders import (
    BAD_PRICE,
    BAD_QTY,
    BAD_SIDE,
    BAD_TIF,
    DUPLICATE_ID,
    IN_FLIGHT,
    LARGEST,
    NO_REASON,
    REPORT,
    TIF_NAMES,
    VENUE_REFUSED,
    Orders,
    Reports,
)
from market.packing import packed
from market.spill import require_room

_NAMES: Final = ("ladder", "spill", "head", "orders", "resting", "requests", "reports", "meta", "powers")
_NO_REPORTS: Final = np.zeros(0, REPORT)

# legs of the counter hash: what is drawn for an order
REJECT_LEG: Final = 1
CANCEL_LEG: Final = 16  # and one leg more for each further cancel of it


class Admission(Protocol):
    """Who may refuse an order before the book sees it."""

    def refusal(self, side: int, price: int, qty: int) -> int:
        """Reason code, NO_REASON if the order may go on."""


class SimulatedVenue:
    """One symbol's matching engine at a distance. Orders and cancels travel, meet the book, and are reported back.

    Fed by ``on_events`` in the order received (replay of a journal, paper trading), or by ``match_research`` in the
    order of aligned_ts; one venue is fed by one of the two.
    """

    def __init__(
        self,
        instrument: Instrument,
        parameters: VenueParameters,
        latency: LatencyModel | None = None,
        admission: Admission | None = None,
        *,
        forgets: bool = False,
    ) -> None:
        """``latency`` is the parameters' constant one unless given; without ``admission`` nobody asks for margin.

        One that ``forgets`` drops orders that are done when its table is full, so that it can run for months; order
        ids have to rise then, as those of a session do.
        """
        self.instrument = instrument
        self.parameters = parameters
        self._latency = latency or ConstantLatency(parameters.order_latency_ns, parameters.ack_latency_ns)
        self._admission = admission
        self._forgets = forgets
        self._state = new_state(parameters.queue_code, parameters.queue_power, parameters.crossed_code)
        self._slots: dict[int, int] = {}  # order id -> row of its order

    @property
    def book(self) -> Book:
        """The venue's own book, less what our orders have taken from it. Not to be changed."""
        return self._state[0], self._state[1], self._state[2]

    @property
    def orders(self) -> Orders:
        """A copy of every order ever sent, in the order sent, less those forgotten."""
        return self._state[ORDERS][: self._meta[ORDER_COUNT]].copy()

    def order(self, order_id: int) -> np.void | None:
        """A copy of one order as it stands, see ``market.orders.ORDER``; None if it was never sent, or is forgotten."""
        slot = self._slots.get(order_id)
        return None if slot is None else self._state[ORDERS][slot].copy()

    @property
    def clock(self) -> int:
        """The venue's clock, ns UTC: the running maximum of aligned_ts, 0 before the first event."""
        return int(self._meta[CLOCK])

    @property
    def _meta(self) -> NDArray[np.int64]:
        return self._state[META]

    @property
    def tallies(self) -> dict[str, int]:
        """Orders and cancels that the venue met, and what became of them against our will, by name."""
        return {name: int(self._meta[TALLY + place]) for place, name in enumerate(TALLIES)}

    def place(self, order_id: int, side: int, price: int, qty: int, tif: int, sent_ts: int) -> None:
        """Send an order: price in ticks, qty in lots; an order that the venue refuses is reported with its reason.

        Raises BacktestError if an argument is no whole number.
        """
        order_id, side, price = _whole("order_id", order_id), _whole("side", side), _whole("price", price)
        qty, tif, sent_ts = _whole("qty", qty), _whole("tif", tif), _whole("sent_ts", sent_ts)
        self._forget_done()
        slot = int(self._meta[ORDER_COUNT])
        self._make_room(ORDERS, slot)
        self._make_room(RESTING, slot)
        reason = self._flaw(order_id, side, price, qty, tif) or self._refusal(order_id, side, price, qty)
        legs = self._latency.legs_of(order_id, sent_ts)
        arrival_ts = int(arrival(sent_ts, legs.entry_ns))
        price, qty = _clip(price, 0, LARGEST), _clip(qty, 0, LARGEST)
        wanted = (order_id, _clip(side, SELL, BUY), price, qty, _clip(tif, 0, 255), reason)
        enter(self._state, slot, wanted, (sent_ts, arrival_ts, legs.ack_ns))
        self._meta[ORDER_COUNT] += 1
        self._slots.setdefault(order_id, slot)
        self._send(PLACE, slot, order_id, (arrival_ts, legs.ack_ns))

    def cancel(self, order_id: int, sent_ts: int) -> None:
        """Send a cancel; until it arrives the order can still be filled. An id not placed by now is unknown.

        Raises BacktestError if an argument is no whole number.
        """
        order_id, sent_ts = _whole("order_id", order_id), _whole("sent_ts", sent_ts)
        legs = self._latency.legs_of(order_id, sent_ts)
        arrival_ts = int(arrival(sent_ts, legs.entry_ns))
        slot = self._slots.get(order_id, -1)
        fate = self._fate(slot, order_id)
        self._mark(slot, "cancel_ts", arrival_ts)
        self._send(CANCEL, slot, order_id, (arrival_ts, legs.ack_ns), fate)
        if fate == LOST:
            look_ts = max(sent_ts + self.parameters.reconcile_ns, arrival_ts)
            self._send(RECONCILE, slot, order_id, (look_ts, legs.ack_ns))

    def modify(self, order_id: int, price: int, qty: int, sent_ts: int) -> None:
        """Send a new price (ticks) and total quantity (lots); until it arrives the order stands as it was.

        Less quantity at the same price keeps the place in the queue, anything else loses it. A quantity not above what
        was filled, or a post-only price that would take, ends the order.
        Raises BacktestError if an argument is no whole number.
        """
        order_id, price, qty = _whole("order_id", order_id), _whole("price", price), _whole("qty", qty)
        legs = self._latency.legs_of(order_id, _whole("sent_ts", sent_ts))
        arrival_ts = int(arrival(sent_ts, legs.entry_ns))
        slot = self._slots.get(order_id, -1)
        self._mark(slot, "modify_ts", arrival_ts)
        self._send(MODIFY, slot, order_id, (arrival_ts, legs.ack_ns), MET, (price, qty))

    def on_events(self, events: Events) -> None:
        """Follow events in the order received; what has arrived by then meets each whole message's book.

        Raises BacktestError if ``events`` are no event records, DataError if the book runs out of room.
        """
        events, done = _tape(events), 0
        while done < events.size or self._meta[OWED]:
            done = follow_trace(self._state, columns_of(events), done)
            require_room(self._state[2])
            if done < events.size or self._meta[OWED]:
                self._double(REPORTS)

    def match_research(self, events: Events, until: int) -> None:
        """Follow events in the order of aligned_ts, up to ``until``: what arrives meets the state in force then.

        Raises BacktestError if the tape is out of order, goes past ``until``, or starts before the venue's clock, or if
        an order arrives before that clock: its past has been played. DataError if the book runs out of room.
        """
        events, done = _tape(events), 0
        self._check_order(events, until)
        self._meta[OWED] = 1
        while self._meta[OWED]:
            done = follow_aligned(self._state, columns_of(events), done, until)
            require_room(self._state[2])
            if self._meta[OWED]:
                self._double(REPORTS)

    def reports(self, until: int) -> Reports:
        """Reports that are visible by ``until`` and were not handed out before, by (visible_ts, report_id)."""
        count = self._meta[REPORT_COUNT]
        if count == 0:
            return _NO_REPORTS
        waiting = self._state[REPORTS][:count]
        due = waiting["visible_ts"] <= until
        handed, kept = waiting[due], waiting[~due]
        self._state[REPORTS][: kept.size] = kept
        self._meta[REPORT_COUNT] = kept.size
        return handed[np.argsort(handed["visible_ts"], kind="stable")]

    def dump(self) -> dict[str, NDArray[np.generic]]:
        """The whole state as arrays, so that ``load`` goes on to the same reports, byte for byte."""
        arrays = dict(zip(_NAMES, self._state, strict=True))
        meta = self._meta
        arrays["orders"] = arrays["orders"][: meta[ORDER_COUNT]]
        arrays["resting"] = arrays["resting"][:, : max(meta[RESTING_COUNT], meta[RESTING_COUNT + 1])]
        arrays["requests"] = arrays["requests"][: meta[REQUEST_COUNT]]
        arrays["reports"] = arrays["reports"][: meta[REPORT_COUNT]]
        return {name: array.copy() for name, array in arrays.items()}

    def load(self, arrays: dict[str, NDArray[np.generic]]) -> None:
        """Go on from a ``dump``.

        Raises BacktestError if it is not one, or was made with another queue model.
        """
        fresh = self.__class__(self.instrument, self.parameters, self._latency, self._admission, forgets=self._forgets)
        fresh._fill_from(arrays)
        self._state, self._slots = fresh._state, fresh._slots

    def _fill_from(self, arrays: dict[str, NDArray[np.generic]]) -> None:
        if set(arrays) != set(_NAMES):
            raise BacktestError(f"a venue's dump holds {sorted(_NAMES)}, not {sorted(arrays)}")
        for place, name in enumerate(_NAMES):
            self._copy_in(place, name, arrays[name])
        made = [*self._meta[[QUEUE_MODEL, CROSSED_BOOK]].tolist(), *self._state[POWERS].tolist()]
        own = [self.parameters.queue_code, self.parameters.crossed_code, self.parameters.queue_power]
        if made != own:
            raise BacktestError(f"the dump's queue code, crossed book and power are {made}, this venue's {own}")
        self._slots = self._first_rows()

    def _first_rows(self) -> dict[int, int]:
        ids = self._state[ORDERS][: self._meta[ORDER_COUNT]]["order_id"].tolist()
        return {order_id: slot for slot, order_id in reversed(list(enumerate(ids)))}

    def _forget_done(self) -> None:
        if self._forgets and self._meta[ORDER_COUNT] == self._state[ORDERS].size:
            self._state = without_done(self._state)
            self._slots = self._first_rows()

    def _copy_in(self, place: int, name: str, saved: NDArray[np.generic]) -> None:
        axis = 1 if place == RESTING else 0
        if saved.dtype != self._state[place].dtype or saved.ndim != self._state[place].ndim:
            raise BacktestError(f"{name} of a venue's dump is {saved.dtype} in {saved.ndim} dimensions")
        while self._state[place].shape[axis] < max(saved.shape[axis], 1):
            self._double(place)
        self._state[place][tuple(slice(size) for size in saved.shape)] = saved

    def _flaw(self, order_id: int, side: int, price: int, qty: int, tif: int) -> int:
        if order_id in self._slots or 0 < order_id <= self._meta[FORGOTTEN]:
            return DUPLICATE_ID
        if side not in (BUY, SELL):
            return BAD_SIDE
        if not 0 <= tif < len(TIF_NAMES):
            return BAD_TIF
        if not 1 <= price <= LARGEST:
            return BAD_PRICE
        return NO_REASON if 1 <= qty <= LARGEST else BAD_QTY

    def _refusal(self, order_id: int, side: int, price: int, qty: int) -> int:
        share = self.parameters.reject_share
        if share > 0 and draw(self.parameters.seed, order_id, REJECT_LEG) < share:
            return VENUE_REFUSED
        return self._admission.refusal(side, price, qty) if self._admission else NO_REASON

    def _fate(self, slot: int, order_id: int) -> int:
        refused, lost = self.parameters.cancel_reject_share, self.parameters.cancel_lost_share
        if refused + lost == 0:
            return MET
        attempt = 0
        if slot >= 0:
            attempt = int(self._state[ORDERS][slot]["requests"])
            self._state[ORDERS][slot]["requests"] += 1
        drawn = draw(self.parameters.seed, order_id, CANCEL_LEG + attempt)
        return LOST if drawn < lost else REFUSED if drawn < lost + refused else MET

    def _mark(self, slot: int, pending: str, arrival_ts: int) -> None:
        if slot < 0 or self._state[ORDERS][slot]["leaves"] == 0:
            return
        order = self._state[ORDERS][slot]
        order[pending] = arrival_ts
        if order["status"] != IN_FLIGHT:
            order["status"] = standing(order)

    def _send(
        self,
        verb: int,
        slot: int,
        order_id: int,
        times: tuple[int, int],
        fate: int = MET,
        wanted: tuple[int, int] = (0, 0),
    ) -> None:
        self._make_room(REQUESTS, int(self._meta[REQUEST_COUNT]))
        send(self._state, (verb, slot, order_id, *times, fate, *wanted))

    def _make_room(self, place: int, count: int) -> None:
        if count >= self._state[place].shape[-1 if place == RESTING else 0]:
            self._double(place)

    def _double(self, place: int) -> None:
        grown = np.concatenate(
            [self._state[place], np.zeros_like(self._state[place])], axis=1 if place == RESTING else 0
        )
        self._state = (*self._state[:place], grown, *self._state[place + 1 :])  # type: ignore[assignment]

    def _check_order(self, events: Events, until: int) -> None:
        clock, stamps = self.clock, aligned_ts(events)
        bounds = np.concatenate([[clock], stamps, [until]])
        back = np.flatnonzero(np.diff(bounds) < 0)
        if back.size:
            at = int(back[0])
            raise BacktestError(f"the tape goes back from {bounds[at]} to {bounds[at + 1]} ns at event {at}")
        waiting = self._state[REQUESTS][: self._meta[REQUEST_COUNT], ARRIVAL]
        if (waiting <= clock).any():
            raise BacktestError(f"a request arrives at {waiting.min()} ns, the venue's clock is already at {clock}")


def _tape(events: Events) -> Events:
    if events.dtype != EVENT or events.ndim != 1:
        raise BacktestError(f"a tape is one row of event records, not {events.dtype} in {events.ndim} dimensions")
    return packed(events)


def _whole(name: str, value: int) -> int:
    """Raises BacktestError unless ``value`` is a whole number of 64 bits."""
    try:
        whole = operator.index(value)
    except TypeError:
        raise BacktestError(f"{name}={value!r} is no whole number") from None
    if not -(2**63) <= whole < 2**63:
        raise BacktestError(f"{name}={value} does not fit 64 bits")
    return whole


def _clip(value: int, low: int, high: int) -> int:
    return min(max(value, low), high)
