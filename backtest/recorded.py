"""A simulated venue that answers as a journal recorded: by the legs of each order, or in the journal's own words."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from backtest.arrivals import legs_as_agreed
from backtest.venue import SimulatedVenue
from market.events import Events, aligned_ts
from market.latency import Legs
from market.orders import (
    CANCEL_REJECTED,
    FILL,
    GTC,
    LINE_DOWN,
    NEVER_ARRIVED,
    NO_ANSWER,
    NO_MARGIN,
    OPENING,
    POST_ONLY,
    REPORT,
    VENUE_REFUSED,
    Reports,
)
from trading.ports import Gateway
from trading.records import PLACE

AGAINST_US: Final = (VENUE_REFUSED, NO_MARGIN, LINE_DOWN, NEVER_ARRIVED, NO_ANSWER)  # reasons that no book gives
_FOREVER: Final = 2**62
_ASKED: Final = ("order_id", "side", "price", "qty", "tif", "sent_ts")


class OrderLegs:
    """The legs that a journal recorded, order by order: what left as the journal's did meets exactly its legs.

    What left at another instant meets those of the order that bears its id, and what the journal does not have those
    of its newest answered order that left no later, or of its first.
    """

    def __init__(self, answers: NDArray[np.void], tape: Events, otherwise: Legs) -> None:
        """``answers``: of one desk (``backtest.answers``); ``otherwise``: where none was ever answered, and agreed."""
        told = answers[answers["kind"] != 0]
        told = told[np.argsort(told["sent_ts"], kind="stable")]
        legs = [Legs(*row) for row in np.maximum(legs_as_agreed(told, tape, otherwise.entry_ns), 0).tolist()]
        placed = [place for place in range(told.size) if told["verb"][place] == PLACE]
        self._own = dict(zip(told[["order_id", "sent_ts"]].tolist(), legs, strict=True))
        self._of_order = {int(told["order_id"][place]): legs[place] for place in placed}
        self._stamps, self._legs = told["sent_ts"], legs or [otherwise]

    def legs_of(self, order_id: int, sent_ts: int) -> Legs:
        """The legs."""
        newest = max(int(np.searchsorted(self._stamps, sent_ts, side="right")) - 1, 0)
        return self._own.get((order_id, sent_ts)) or self._of_order.get(order_id) or self._legs[newest]


class RecordedOrders:
    """What a journal's orders asked for and were told."""

    def __init__(self, intents: NDArray[np.void], reports: Reports) -> None:
        """``intents``, ``reports``: of one desk, in the order of the journal."""
        placed = intents[intents["verb"] == PLACE]
        self._asked = {int(row["order_id"]): tuple(int(row[name]) for name in _ASKED) for row in placed}
        self._places: dict[int, list[int]] = defaultdict(list)
        self._reports = reports
        for place, order_id in enumerate(reports["order_id"].tolist()):
            self._places[order_id].append(place)
        against = np.isin(reports["reason"], AGAINST_US)
        self.refused = frozenset(reports["order_id"][against].tolist())
        stays = placed["order_id"][np.isin(placed["tif"], (GTC, POST_ONLY))]
        self.rested = frozenset(stays.tolist()) & frozenset(self._places) - self.refused

    def has(self, asked: Sequence[int]) -> bool:
        """Whether the journal sent this very order, at the same instant."""
        return self._asked.get(asked[0]) == tuple(asked)

    def reports_of(self, order_id: int) -> Reports:
        """What an order was told, oldest first."""
        return self._reports[self._places.get(order_id, [])]


class RecordedVenue:
    """A venue whose answers to the journal's own orders are known when they were known then.

    Of an order that leaves as the journal's did, every report becomes visible when its counterpart did. An order among
    ``told`` never meets the simulated book: the journal's reports are its life. The venue is ahead of the desk: it has
    matched whatever bears an earlier stamp than the row, received by then or not. No order can meet that any more, and
    a report of it may have come by another line before the frame did.
    """

    def __init__(self, venue: SimulatedVenue, tape: Events, orders: RecordedOrders, told: frozenset[int]) -> None:
        """``tape``: followed from its beginning; ``told``: ids of orders whose reports are the journal's."""
        self._venue, self._orders, self._told = venue, orders, told
        self._tape, self._played = tape, 0
        self._received = np.maximum.accumulate(tape["ingest_ts"])
        self._matched = np.maximum.accumulate(aligned_ts(tape))
        self._in_step: set[int] = set()
        self._left_to_journal: set[int] = set()
        self._failed_cancels: dict[int, int] = defaultdict(int)
        self._waiting: Reports = np.zeros(0, REPORT)

    def on_events(self, events: Events) -> None:
        """The venue has its own copy."""

    def place(self, order_id: int, side: int, price: int, qty: int, tif: int, sent_ts: int) -> None:
        """Send an order, or let the journal tell its life."""
        if self._orders.has((order_id, side, price, qty, tif, sent_ts)):
            self._in_step.add(order_id)
            if order_id in self._told:
                self._left_to_journal.add(order_id)
                self._waiting = np.concatenate([self._waiting, self._orders.reports_of(order_id)])
                return
        self._venue.place(order_id, side, price, qty, tif, sent_ts)

    def cancel(self, order_id: int, sent_ts: int) -> None:
        """Send a cancel; that of an order whose life is the journal's has its answer there."""
        if order_id not in self._left_to_journal:
            self._venue.cancel(order_id, sent_ts)

    def reports(self, until: int) -> Reports:
        """Reports that are visible by ``until`` (ns UTC), each handed out once."""
        self._follow(until)
        fresh = self._venue.reports(_FOREVER)
        for report in fresh:
            if int(report["order_id"]) in self._in_step:
                report["visible_ts"] = self._visible(report)
        waiting = np.concatenate([self._waiting, fresh]) if fresh.size else self._waiting
        due = waiting["visible_ts"] <= until
        self._waiting = waiting[~due]
        handed = waiting[due]
        return handed[np.argsort(handed["visible_ts"], kind="stable")]

    def _follow(self, row_ts: int) -> None:
        received = int(np.searchsorted(self._received, row_ts, side="right"))
        matched = int(np.searchsorted(self._matched, row_ts, side="left"))
        stop = max(received, matched)
        if stop > self._played:
            self._venue.on_events(self._tape[self._played : stop])
            self._played = stop

    def _visible(self, report: np.void) -> int:
        """When the journal's counterpart of a report was known; when this one would be, where there is none."""
        order_id, kind = int(report["order_id"]), int(report["kind"])
        alike = self._orders.reports_of(order_id)
        alike = alike[alike["kind"] == kind]
        if kind == FILL:
            alike = alike[alike["leaves"] <= report["leaves"]]
        elif kind == CANCEL_REJECTED:
            alike = alike[self._failed_cancels[order_id] :]
            self._failed_cancels[order_id] += 1
        return int(alike["visible_ts"][0]) if alike.size else int(report["visible_ts"])


class HeldBefore:
    """A gateway whose account begins with the position that the journal's account held before."""

    def __init__(self, gateway: Gateway, reports: Reports) -> None:
        """``reports``: the journal's, of which those of an opening count."""
        self.on_events, self.place, self.cancel = gateway.on_events, gateway.place, gateway.cancel
        self._reports = gateway.reports
        self._openings = reports[reports["kind"] == OPENING]

    def reports(self, until: int) -> Reports:
        """The position once it was told of, then the reports of the gateway."""
        due = self._openings["visible_ts"] <= until
        if not due.any():
            return self._reports(until)
        told, self._openings = self._openings[due], self._openings[~due]
        return np.concatenate([told, self._reports(until)])
