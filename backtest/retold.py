"""A desk's journal decided once more on other terms: the same rows and forecasts, another venue, other books.

Rows and forecasts do not depend on what a desk does, so they are those of the replay; session, policy, ledger and
matching kernel are the ones of every other way of trading, run whole.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from backtest.booked import booked_beside
from backtest.compiled import CompiledStream
from backtest.latency import SampledLatency
from backtest.ledger import Ledger
from backtest.parameters import VenueParameters
from backtest.recorded import HeldBefore, OrderLegs, RecordedOrders, RecordedVenue
from backtest.resampling import Floats
from backtest.told import Change, Told
from backtest.venue import SimulatedVenue
from market.book import new_book
from market.latency import LatencyTable, Legs, message_stamps
from trading.ports import Gateway, Strategy
from trading.records import SKIPPED, STOOD_DOWN
from trading.session import Session, at, close_row, skip_row

CAUSES: Final = ("fees", "funding", "latency", "queue", "rejects")  # in the order in which facts replace assumptions
NOTHING: Final[frozenset[str]] = frozenset()
_NONE: Final[frozenset[int]] = frozenset()

Decided = Callable[[int], int]  # place of a row -> when it was decided on, ns UTC


@dataclass(frozen=True, slots=True)
class Assumed:
    """On what terms a desk is run again, where the journal is not asked."""

    venue: VenueParameters  # fees charged, constant legs, queue model, shares of refusals
    infer_ns: int  # from a row's end to its decision


class Backtests:
    """The runs of one desk under one set of assumptions."""

    def __init__(self, told: Told, assumed: Assumed) -> None:
        self.told = told
        self.assumed = assumed
        self._beside = booked_beside(told)
        self._orders = RecordedOrders(told.intents, told.reports)
        self._known: dict[tuple[tuple[float, float], bool, frozenset[int]], Floats] = {}

    def equity(self, recorded: frozenset[str]) -> Floats:
        """Equity after each row, (N,), settlement currency; ``recorded`` causes are as the journal has them."""
        fees = self.assumed.venue.fees
        if "fees" in recorded:
            maker, taker = self.told.venue.fees
            fees = maker + self._beside.maker_fee, taker + self._beside.taker_fee
        rested = self._orders.rested if "queue" in recorded else _NONE
        refused = self._orders.refused if "rejects" in recorded else _NONE
        equity = self._ran(fees, "latency" in recorded, rested | refused)
        return equity - np.cumsum(self._beside.funding) if "funding" in recorded else equity

    def drawn(self, table: LatencyTable, seed: int) -> Floats:
        """The same with inference, entry and acknowledgement legs drawn from a table, all else as assumed."""
        latency = SampledLatency(table, seed, message_stamps(self.told.tape))
        stamps = self.told.rows.row_ts.tolist()
        venue = SimulatedVenue(self.told.instrument, self.assumed.venue, latency)
        return _run(
            self.told,
            venue,
            lambda place: stamps[place] + latency.infer_ns(stamps[place]),
            _NONE,
            self.assumed.venue.fees,
        )

    def _ran(self, fees: tuple[float, float], recorded_latency: bool, left: frozenset[int]) -> Floats:
        """The run on these terms, made once; ``left``: orders whose life is the journal's."""
        terms = (fees, recorded_latency, left)
        if terms not in self._known:
            self._known[terms] = self._as_recorded(fees, left) if recorded_latency else self._as_assumed(fees)
        return self._known[terms]

    def _as_assumed(self, fees: tuple[float, float]) -> Floats:
        decided = (self.told.rows.row_ts + self.assumed.infer_ns).tolist()
        venue = SimulatedVenue(self.told.instrument, self.assumed.venue)
        return _run(self.told, venue, decided.__getitem__, _NONE, fees)

    def _as_recorded(self, fees: tuple[float, float], left: frozenset[int]) -> Floats:
        told, assumed = self.told, self.assumed.venue
        agreed = Legs(0, 0, told.venue.order_latency_ns, told.venue.ack_latency_ns)
        legs = OrderLegs(told.answers, told.tape, agreed)
        inner = SimulatedVenue(told.instrument, assumed, legs)
        venue = RecordedVenue(inner, told.tape, self._orders, left)
        skipped = frozenset(np.flatnonzero(told.decisions["reason"] == SKIPPED).tolist())
        return _run(told, venue, told.decisions["infer_ts"].tolist().__getitem__, skipped, fees)


def _run(told: Told, gateway: Gateway, decided: Decided, skipped: frozenset[int], fees: tuple[float, float]) -> Floats:
    """Equity after each row of a fresh session that trades at ``gateway``."""
    stream = CompiledStream(new_book(), told.rows, told.forecasts, told.features)
    session = Session(stream, _at_fees(told.opening, fees), Ledger(told.instrument))
    session.queue.push(told.tape)
    gateway = HeldBefore(gateway, told.reports)
    changes, equity = list(told.changes), np.zeros(told.rows.row_ts.size)
    stands_down = told.decisions["reason"] == STOOD_DOWN
    for place, row_ts in enumerate(told.rows.row_ts.tolist()):
        while changes and changes[0].row_ts <= row_ts and _change(session, changes[0], fees):
            del changes[0]
        session.standing_down = bool(stands_down[place])
        now = at(decided(place))
        if place in skipped:
            turn = skip_row(session, gateway, row_ts, now, lambda _: None)
        else:
            turn = close_row(session, gateway, row_ts, now)
        equity[place] = turn.decision.record["equity"][0]
    return equity


def _change(session: Session, change: Change, fees: tuple[float, float]) -> bool:
    """Whether a change could be made: a model waits for a desk that is flat, as it does live."""
    if change.strategy is None:
        session.kill()
    elif change.aside:
        session.stand_aside(_at_fees(change.strategy, fees))
    elif session.flat:
        session.swap(_at_fees(change.strategy, fees))
    else:
        return False
    return True


def _at_fees(strategy: Strategy, fees: tuple[float, float]) -> Strategy:
    """The same rules, whose fills are booked at other fees; what the policy believes of them is the journal's."""
    return strategy._replace(maker_fee=fees[0], taker_fee=fees[1])
