"""The journal played back with an eye on one order: what its desk saw, what the venue did with it, what came after."""

from collections import deque
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtest.venue import SimulatedVenue
from features.stream import Row, as_kept
from live.desk import Desk, DeskGateway, recalls
from live.explain.finding import Found
from live.replay import Pair, Playback
from market.book import Book
from market.errors import JournalError
from market.events import LAST, Events, empty_events
from market.orders import FILL, IN_FLIGHT, Reports
from market.units import NS_PER_MS
from storage.journal import Record
from trading.account import Account
from trading.parameters import REMEMBERED_ROWS

Dump = dict[str, NDArray[Any]]
_NEVER: Final = 2**63 - 1


class Before(NamedTuple):
    """What the decision started from."""

    rows: tuple[Row, ...]  # the newest last
    account: Account
    book: Book  # ours
    venue: Dump


class LaterRow(NamedTuple):
    """One row of the desk after the decision."""

    row_ts: int
    events: Events  # that its venue followed before it
    intents: NDArray[np.void]


class Standing(NamedTuple):
    """The order in its queue, in lots."""

    ts: int  # the venue's clock
    ahead: float
    leaves: int


class Looked(NamedTuple):
    """The desk right after the decision."""

    pair: Pair
    view: NDArray[np.int64]  # the market as it was seen
    floats: NDArray[np.float64]  # of the account, once the row was looked at
    limits: NDArray[np.float64]  # the rules
    members: NDArray[np.float64]
    bundle_sha: str


class Played(NamedTuple):
    """Everything that an explanation is made of."""

    before: Before
    looked: Looked
    later: tuple[LaterRow, ...]
    standings: tuple[Standing, ...]


class _Stream:
    """A desk's stream of rows that remembers them and, at the wanted one, what the decision starts from."""

    def __init__(self, desk: Desk, venue: SimulatedVenue, row_ts: int) -> None:
        own = as_kept(desk.session.features)
        self.parameters, self.push, self.dump, self.restore = own.parameters, own.push, own.dump, own.restore
        self._own = own
        self.before: Before | None = None
        self._desk, self._venue, self._row_ts = desk, venue, row_ts
        self._rows: deque[Row] = deque(maxlen=REMEMBERED_ROWS)

    @property
    def next_row_ts(self) -> int:
        """When the open row closes, ns."""
        return self._own.next_row_ts

    @property
    def book(self) -> Book:
        """Our own book, as we have received it."""
        return self._own.book

    def close(self, row_ts: int) -> Row:
        """The open row."""
        row = self._own.close(row_ts)
        if row_ts <= self._row_ts:
            self._rows.append(row)
        if row_ts == self._row_ts:
            orders, integers, floats = self._desk.session.account
            ladder, spill, head = self.book
            self.before = Before(
                tuple(self._rows),
                (orders.copy(), integers.copy(), floats.copy()),
                (ladder.copy(), spill.copy(), head.copy()),
                self._venue.dump(),
            )
        return row


class _Venue:
    """A desk's gateway that keeps the newest events and, while the order works, looks at it after every message.

    What is looked at is the simulated venue itself, or one beside a gateway that simulates nothing, sent the same.
    """

    def __init__(self, gateway: DeskGateway, venue: SimulatedVenue, order_id: int) -> None:
        self.events = empty_events(0)
        self.standings: list[Standing] = []
        self.reports, self.dump, self.load = gateway.reports, gateway.dump, gateway.load
        self._beside = None if gateway is venue else gateway
        self._venue, self._order_id = venue, order_id

    def on_events(self, events: Events) -> None:
        """Follow the market."""
        self.events = events
        if self._beside:
            self._beside.on_events(events)
        order = self._venue.order(self._order_id)
        if order is None or (order["status"] != IN_FLIGHT and order["leaves"] == 0):
            self._venue.on_events(events)
            return
        for message in np.split(events, np.flatnonzero(events["flags"] & LAST) + 1):
            self._venue.on_events(message)
            self._note()

    def place(self, order_id: int, side: int, price: int, qty: int, tif: int, sent_ts: int) -> None:
        """Send an order."""
        self._venue.place(order_id, side, price, qty, tif, sent_ts)
        if self._beside:
            self._beside.place(order_id, side, price, qty, tif, sent_ts)

    def cancel(self, order_id: int, sent_ts: int) -> None:
        """Ask for an order to be cancelled."""
        self._venue.cancel(order_id, sent_ts)
        if self._beside:
            self._beside.cancel(order_id, sent_ts)

    def _note(self) -> None:
        order = self._venue.order(self._order_id)
        if order is None or not order["accepted_ts"]:
            return
        standing = Standing(self._venue.clock, float(order["front"]), int(order["leaves"]))
        if not self.standings or standing[1:] != self.standings[-1][1:]:
            self.standings.append(standing)


class _Recalled(_Venue):
    """Beside a gateway whose reports the journal tells."""

    def __init__(self, gateway: DeskGateway, venue: SimulatedVenue, order_id: int) -> None:
        super().__init__(gateway, venue, order_id)
        if recalls(gateway):
            self.hear = gateway.hear


def play(
    playback: Playback, records: Iterable[Record], found: Found, twin: SimulatedVenue, horizons_ms: Iterable[int]
) -> Played:
    """Play ``records`` until everything is known of the order that ``found`` speaks of, or until they end.

    twin : follows the market beside a desk whose gateway simulates nothing
    horizons_ms : how long after its last fill the market is followed, at most
    """
    desk = playback.desks[found.place]
    venue = desk.gateway if isinstance(desk.gateway, SimulatedVenue) else twin
    watching = _Recalled if recalls(desk.gateway) else _Venue
    stream = _Stream(desk, venue, found.row_ts)
    eye = watching(desk.gateway, venue, int(found.intent["order_id"]))
    desk.session.features, desk.gateway = stream, eye
    looked: Looked | None = None
    later: list[LaterRow] = []
    until = _until(found, max(horizons_ms) * NS_PER_MS)
    for pair in playback.decisions(records):
        if pair.desk != found.place or pair.row_ts < found.row_ts:
            continue
        if looked is None:
            looked = _look(desk, pair)
            continue
        later.append(LaterRow(pair.row_ts, eye.events, pair.again.intents))
        if min(pair.row_ts, venue.clock) > until:
            break
    if stream.before is None or looked is None:
        raise JournalError(f"row {found.row_ts} was found in the journal and does not come out again")
    return Played(stream.before, looked, tuple(later), tuple(eye.standings))


def _look(desk: Desk, pair: Pair) -> Looked:
    session = desk.session
    return Looked(
        pair, session.seen.copy(), session.account[2].copy(), session.strategy.limits, session.forecasting.of_members(),
        desk.bundle_sha,
    )  # fmt: skip


def _until(found: Found, longest_ns: int) -> int:
    """When all that is asked is known, on our clock and on the venue's, ns UTC."""
    if not found.ended:
        return _NEVER
    fills: Reports = found.reports[found.reports["kind"] == FILL]
    last = max(int(fills["venue_ts"].max()) if fills.size else 0, int(found.intent["sent_ts"]))
    return max(int(found.reports["visible_ts"].max()), last + longest_ns)
