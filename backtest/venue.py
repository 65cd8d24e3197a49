"""The simulated venue: the matching kernel behind the interface of a gateway, for backtests and paper trading alike."""

import operator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from backtest.latency import arrival
from backtest.matching import follow_aligned, follow_trace
from backtest.orders import (
    ACK_NS,
    CANCEL,
    CLOCK,
    ENTRY_NS,
    META,
    ORDER_COUNT,
    ORDERS,
    OWED,
    PLACE,
    QUEUE_MODEL,
    REPORT_COUNT,
    REPORTS,
    REQUEST_COUNT,
    REQUESTS,
    RESTING,
    RESTING_COUNT,
    new_state,
)
from backtest.parameters import VenueParameters
from market.book import Book
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
    LIVE,
    NO_REASON,
    PARTIAL,
    PENDING_CANCEL,
    REPORT,
    TIF_NAMES,
    Orders,
    Reports,
)
from market.spill import require_room

_NAMES: Final = ("ladder", "spill", "head", "orders", "resting", "requests", "reports", "meta")
_NO_REPORTS: Final = np.zeros(0, REPORT)


class SimulatedVenue:
    """One symbol's matching engine at a distance. Orders and cancels travel, meet the book, and are reported back.

    Fed by ``on_events`` in the order received (replay of a journal, paper trading), or by ``match_research`` in the
    order of aligned_ts; one venue is fed by one of the two.
    """

    def __init__(self, instrument: Instrument, parameters: VenueParameters) -> None:
        self.instrument = instrument
        self.parameters = parameters
        self._state = new_state(parameters.queue_code, parameters.order_latency_ns, parameters.ack_latency_ns)
        self._slots: dict[int, int] = {}  # order id -> row of its order

    @property
    def book(self) -> Book:
        """The venue's own book, less what our orders have taken from it. Not to be changed."""
        return self._state[0], self._state[1], self._state[2]

    @property
    def orders(self) -> Orders:
        """A copy of every order ever sent, in the order sent."""
        return self._state[ORDERS][: self._meta[ORDER_COUNT]].copy()

    @property
    def clock(self) -> int:
        """The venue's clock, ns UTC: the running maximum of aligned_ts, 0 before the first event."""
        return int(self._meta[CLOCK])

    @property
    def _meta(self) -> NDArray[np.int64]:
        return self._state[META]

    def place(self, order_id: int, side: int, price: int, qty: int, tif: int, sent_ts: int) -> None:
        """Send an order: price in ticks, qty in lots; an order that the venue refuses is reported with its reason.

        Raises BacktestError if an argument is no whole number.
        """
        order_id, side, price = _whole("order_id", order_id), _whole("side", side), _whole("price", price)
        qty, tif, sent_ts = _whole("qty", qty), _whole("tif", tif), _whole("sent_ts", sent_ts)
        slot = int(self._meta[ORDER_COUNT])
        self._make_room(ORDERS, slot)
        self._make_room(RESTING, slot)
        order = self._state[ORDERS][slot]
        order["reason"] = self._flaw(order_id, side, price, qty, tif)
        order["order_id"], order["side"], order["tif"] = order_id, _clip(side, SELL, BUY), _clip(tif, 0, 255)
        order["price"], order["qty"] = _clip(price, 0, LARGEST), _clip(qty, 0, LARGEST)
        order["leaves"], order["status"] = order["qty"], IN_FLIGHT
        order["sent_ts"], order["arrival_ts"] = sent_ts, arrival(sent_ts, self._meta[ENTRY_NS])
        self._meta[ORDER_COUNT] += 1
        self._slots.setdefault(order_id, slot)
        self._send(PLACE, slot, order_id, int(order["arrival_ts"]))

    def cancel(self, order_id: int, sent_ts: int) -> None:
        """Send a cancel; until it arrives the order can still be filled. An id not placed by now is unknown.

        Raises BacktestError if an argument is no whole number.
        """
        order_id, sent_ts = _whole("order_id", order_id), _whole("sent_ts", sent_ts)
        arrival_ts = int(arrival(sent_ts, self._meta[ENTRY_NS]))
        slot = self._slots.get(order_id, -1)
        if slot >= 0:
            self._mark_cancel(slot, arrival_ts)
        self._send(CANCEL, slot, order_id, arrival_ts)

    def on_events(self, events: Events) -> None:
        """Follow events in the order received; what has arrived by then meets each whole message's book.

        Raises BacktestError if ``events`` are no event records, DataError if the book runs out of room.
        """
        events, done = _tape(events), 0
        while done < events.size or self._meta[OWED]:
            done = follow_trace(self._state, events, done)
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
            done = follow_aligned(self._state, events, done, until)
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

        Raises BacktestError if it is not one, or was made with another queue model or other latencies.
        """
        fresh = self.__class__(self.instrument, self.parameters)
        fresh._fill_from(arrays)
        self._state, self._slots = fresh._state, fresh._slots

    def _fill_from(self, arrays: dict[str, NDArray[np.generic]]) -> None:
        if set(arrays) != set(_NAMES):
            raise BacktestError(f"a venue's dump holds {sorted(_NAMES)}, not {sorted(arrays)}")
        for place, name in enumerate(_NAMES):
            self._copy_in(place, name, arrays[name])
        legs = [int(value) for value in self._meta[QUEUE_MODEL : ACK_NS + 1]]
        own = [self.parameters.queue_code, self.parameters.order_latency_ns, self.parameters.ack_latency_ns]
        if legs != own:
            raise BacktestError(f"the dump's queue code and latency legs in ns are {legs}, this venue's {own}")
        ids = arrays["orders"]["order_id"].tolist()  # type: ignore[call-overload]
        self._slots = {order_id: slot for slot, order_id in reversed(list(enumerate(ids)))}

    def _copy_in(self, place: int, name: str, saved: NDArray[np.generic]) -> None:
        axis = 1 if place == RESTING else 0
        if saved.dtype != self._state[place].dtype or saved.ndim != self._state[place].ndim:
            raise BacktestError(f"{name} of a venue's dump is {saved.dtype} in {saved.ndim} dimensions")
        while self._state[place].shape[axis] < max(saved.shape[axis], 1):
            self._double(place)
        self._state[place][tuple(slice(size) for size in saved.shape)] = saved

    def _flaw(self, order_id: int, side: int, price: int, qty: int, tif: int) -> int:
        if order_id in self._slots:
            return DUPLICATE_ID
        if side not in (BUY, SELL):
            return BAD_SIDE
        if not 0 <= tif < len(TIF_NAMES):
            return BAD_TIF
        if not 1 <= price <= LARGEST:
            return BAD_PRICE
        return NO_REASON if 1 <= qty <= LARGEST else BAD_QTY

    def _mark_cancel(self, slot: int, arrival_ts: int) -> None:
        order = self._state[ORDERS][slot]
        if order["leaves"] == 0:
            return
        order["cancel_ts"] = arrival_ts
        if order["status"] in (LIVE, PARTIAL):
            order["status"] = PENDING_CANCEL

    def _send(self, verb: int, slot: int, order_id: int, arrival_ts: int) -> None:
        count = int(self._meta[REQUEST_COUNT])
        self._make_room(REQUESTS, count)
        self._state[REQUESTS][count] = (verb, slot, order_id, arrival_ts)
        self._meta[REQUEST_COUNT] += 1

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
        waiting = self._state[REQUESTS][: self._meta[REQUEST_COUNT], 3]
        if (waiting <= clock).any():
            raise BacktestError(f"a request arrives at {waiting.min()} ns, the venue's clock is already at {clock}")


def _tape(events: Events) -> Events:
    if events.dtype != EVENT or events.ndim != 1:
        raise BacktestError(f"a tape is one row of event records, not {events.dtype} in {events.ndim} dimensions")
    return np.require(events, requirements=["C", "W"])


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
