"""How long what we send and what we hear is under way: constant, drawn from a journal, stressed, or as recorded.

A backtest asks a ``LatencyModel`` for the legs of each order and cancel when it leaves. The feed leg of a draw comes
in by ``restamped``, before the run: features and forecasts are then made of what we would have known.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

from backtest.answers import legs_of_answers
from market.errors import BacktestError
from market.events import FIRST, Events, aligned_ts, connection_of
from market.latency import LatencyTable, Legs, draw_all, draw_legs, message_rates, message_stamps, stressed


@njit(cache=True)
def arrival(sent_ts, entry_ns):
    """When the matching engine can first meet what was sent, ns."""
    return sent_ts + entry_ns


@njit(cache=True)
def visible(venue_ts, ack_ns, cause_ts):
    """When a report can be known: after the acknowledgement leg, and not before the event that caused it was received.

    ``cause_ts`` is that event's ingest_ts, 0 where no event caused the report.
    """
    return max(venue_ts + ack_ns, cause_ts)


class LatencyModel(Protocol):
    """Where the legs of an order, or of its cancel, come from."""

    def legs_of(self, order_id: int, sent_ts: int) -> Legs:
        """Legs of what left for the venue at ``sent_ts`` (ns UTC)."""


def slower(latency: "LatencyTable | TracedLatency", factor: float) -> "LatencyTable | TracedLatency":
    """The same source of legs, each so many times as long."""
    return latency.stressed(factor) if isinstance(latency, TracedLatency) else stressed(latency, factor)


class ConstantLatency:
    """The same two legs for everything that is sent."""

    def __init__(self, entry_ns: int, ack_ns: int) -> None:
        self._legs = Legs(0, 0, entry_ns, ack_ns)

    def legs_of(self, order_id: int, sent_ts: int) -> Legs:
        """The legs, whatever is sent; feed and inference are none of them."""
        return self._legs


class SampledLatency:
    """Legs drawn from a table: bootstrapped, stressed, or constant where it has one row.

    What is drawn depends on seed, time slot and message rate, never on what was drawn before. A decision is one draw,
    that of its row's end: inference leg, and entry and acknowledgement of all that it sends, are of one row of the
    table, however long it thinks. What no decision sent meets the draw of the instant at which it left.
    """

    def __init__(self, table: LatencyTable, seed: int, stamps: NDArray[np.int64]) -> None:
        """``stamps``: when the messages of the tape are received (``message_stamps``), which say how fast they come."""
        self.table = table
        self.seed = seed
        self._stamps = stamps
        self._decided = (-1, -1)  # when the newest decision leaves, and the end of its row, ns UTC

    def drawn_at(self, ts: int) -> Legs:
        """The legs in force at an instant (ns UTC); all of one time slot and message rate share them."""
        rate = int(message_rates(self._stamps, np.int64(ts)))
        return Legs(*draw_legs(self.table, self.seed, ts, rate))

    def legs_of(self, order_id: int, sent_ts: int) -> Legs:
        """Those of the newest decision for what left with it, else those in force at ``sent_ts``."""
        left_ts, row_ts = self._decided
        return self.drawn_at(row_ts if sent_ts == left_ts else sent_ts)

    def infer_ns(self, row_ts: int) -> int:
        """The inference leg of the decision on a row (ns UTC), as ``run_backtest`` asks for it before its orders."""
        leg_ns = self.drawn_at(row_ts).infer_ns
        self._decided = (row_ts + leg_ns, row_ts)
        return leg_ns


class TracedLatency:
    """The legs that a journal recorded, for orders of its own and, by time, for those of another run.

    What left as the journal's did (same order id, same instant) meets exactly that order's legs. What the journal does
    not have meets those of its newest answered order or cancel that left no later.
    """

    def __init__(self, answers: NDArray[np.void], factor: float = 1.0) -> None:
        """``answers``: of one desk (``backtest.answers``); ``factor``: times as long, all legs."""
        told = answers[answers["kind"] != 0]
        told = told[(legs_of_answers(told) >= 0).all(axis=1)]  # a clock that is off has answers before their orders
        self.answers, self.factor = told[np.argsort(told["sent_ts"], kind="stable")], factor
        self._legs = [Legs(*legs) for legs in np.rint(legs_of_answers(self.answers) * factor).astype(int).tolist()]
        self._own = dict(zip(self.answers[["order_id", "sent_ts"]].tolist(), self._legs, strict=True))

    @property
    def size(self) -> int:
        """Orders and cancels that were answered."""
        return len(self._legs)

    @property
    def first_ts(self) -> int:
        """When the first of them left, ns UTC; there must be one."""
        return int(self.answers["sent_ts"][0])

    @property
    def last_ts(self) -> int:
        """When the last of them left, ns UTC; there must be one."""
        return int(self.answers["sent_ts"][-1])

    def speaks_of(self, start: int, end: int) -> bool:
        """Whether one of them left in [start, end)."""
        first, last = np.searchsorted(self.answers["sent_ts"], [start, end])
        return bool(first < last)

    def stressed(self, factor: float) -> "TracedLatency":
        """The same with every leg so many times as long."""
        return TracedLatency(self.answers, self.factor * factor)

    def legs_of(self, order_id: int, sent_ts: int) -> Legs:
        """The legs. Raises BacktestError before the journal's first answered order left."""
        return self._own.get((order_id, sent_ts)) or self._legs_at(self.answers["sent_ts"], sent_ts)

    def infer_ns(self, row_ts: int) -> int:
        """The inference leg of the decision on a row, ns: that of the newest row decided with an order, or this one."""
        return self._legs_at(self.answers["sent_ts"] - self.answers["infer_ns"], row_ts).infer_ns

    def _legs_at(self, stamps: NDArray[np.int64], moment: int) -> Legs:
        place = int(np.searchsorted(stamps, moment, side="right")) - 1
        if place < 0:
            since = f"the first of its {self.size:,} left at {self.first_ts} ns" if self.size else "it has none"
            raise BacktestError(
                f"no answered order of the journal left by {moment} ns: {since}; begin the window there"
            )
        return self._legs[place]


class RecordedLatency:
    """The legs that each order of a journal really had: trace mode, for the journal's own orders."""

    def __init__(self, legs: Mapping[tuple[int, int], Legs]) -> None:
        self._legs = legs

    def legs_of(self, order_id: int, sent_ts: int) -> Legs:
        """The recorded legs. Raises BacktestError if the journal holds no answer to what left then."""
        found = self._legs.get((order_id, sent_ts))
        if found is None:
            raise BacktestError(
                f"no recorded latency for order {order_id} sent at {sent_ts} ns: trace mode knows the orders of its "
                "journal that were answered, and no others"
            )
        return found


def restamped(events: Events, table: LatencyTable, seed: int) -> Events:
    """The same market, received later or sooner: a copy whose messages come after a drawn feed leg, in their new order.

    When the venue matched an event (``aligned_ts``) is unmoved, so ``ingest_ts`` and ``delay_ns`` change by as much. A
    message comes whole, after the last thing that it tells of; on one connection no message overtakes an earlier one,
    and connections are merged by their new stamps. A message's leg is that of the orders sent when it was matched.
    """
    if not events.size:
        return events.copy()
    message = np.cumsum((events["flags"] & FIRST) != 0)
    message -= message[0]
    matched = np.full(message[-1] + 1, np.iinfo(np.int64).min)
    np.maximum.at(matched, message, aligned_ts(events))
    known = np.maximum.accumulate(events["ingest_ts"])[np.searchsorted(message, np.arange(matched.size))]
    rates = message_rates(message_stamps(events), known).astype(np.float64)
    arrived = matched + draw_all(table, seed, matched, rates)[:, 0]
    return _received(events, arrived[message])


def _received(events: Events, stamps: NDArray[np.int64]) -> Events:
    connection = connection_of(events["flags"])
    for host in np.unique(connection):
        own = connection == host
        stamps[own] = np.maximum.accumulate(stamps[own])
    moved = events.copy()
    moved["delay_ns"] += stamps - events["ingest_ts"]
    moved["ingest_ts"] = stamps
    return moved[np.argsort(stamps, kind="stable")]
