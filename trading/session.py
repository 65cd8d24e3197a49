"""The spine: events and reports in; rows, forecasts and decisions out. Runner, backtest and parity replay drive it.

A session has no clock: ``now`` is an argument. It knows no venue: what it decides goes to a ``Gateway``, and all
that it learns of its orders comes back as reports. ``close_row`` is the one loop body that everyone runs.
"""

from collections import deque
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from features.catalogue import VALID
from features.stream import Arrays, Row, RowStream, as_kept
from market.errors import ConfigError, ModelError
from market.events import Events, empty_events
from market.orders import ACKED, ALREADY_DONE, CANCEL_REJECTED, ENDED, FILL, OPENING, Reports
from market.units import NS_PER_MS
from modeling.certainty import Outlook
from trading import account as own
from trading import policy, view
from trading.account import Account, new_account
from trading.decisions import Decision, Slate, Turn, Weighed
from trading.forecasting import Forecasting
from trading.limits import LOSS_PAUSE_NS, LOSS_STREAK, TAKER_FEE_BP
from trading.looking import note_events, note_row
from trading.parent import ParentOrder
from trading.ports import Books, Gateway, Now, Strategy
from trading.queue import EventQueue, joined
from trading.records import PLACE, SKIPPED, STOOD_DOWN
from trading.risk import watch, worst_fill_usd


class Session:
    """One symbol, one strategy: book, features, forecast, account and policy, advanced row by row."""

    def __init__(self, features: RowStream, strategy: Strategy, books: Books) -> None:
        self.features = features
        self.books = books
        self.queue = EventQueue()
        self.account = new_account()
        self.standing_down = False
        self.parents: deque[ParentOrder] = deque()  # those that wait for their start
        self.row: Row | None = None  # the newest that was closed
        self.forecasting = Forecasting(strategy, features.parameters.row_interval_ms * NS_PER_MS)
        self._over_ts = 0  # the venue's time up to which all is heard, ns: just before the newest stamp
        self._view = np.zeros(view.VIEW, np.int64)
        self._mark = 0.0
        self._ahead: list[Events] = []  # of the open row, taken already
        self._slate = Slate()

    @property
    def strategy(self) -> Strategy:
        """Who decides."""
        return self.forecasting.strategy

    @property
    def outlook(self) -> Outlook:
        """What the newest row's forecast says of the traded cell, and how sure it is."""
        return self.forecasting.outlook

    @property
    def position(self) -> int:
        """Lots held, as far as acknowledged."""
        return int(self.account[1][own.POSITION])

    @property
    def decided(self) -> int:
        """Rows that a decision was made on, or skipped."""
        return int(self.account[1][own.NEXT_DECISION]) - 1

    @property
    def idle(self) -> bool:
        """Whether no order works."""
        return not self.account[0][:, own.STATE].any()

    @property
    def flat(self) -> bool:
        """Whether no position is held and no order works."""
        return self.position == 0 and self.idle

    @property
    def seen(self) -> NDArray[np.int64]:
        """The market view of the newest row that was decided on, see trading/view.py; a view of the state."""
        return self._view

    @property
    def next_row_ts(self) -> int:
        """When the open row closes, ns UTC; 0 while no event has ever come."""
        row_ts = self.features.next_row_ts
        if row_ts or (first := self.queue.next_ingest_ts) is None:
            return row_ts
        return self.features.parameters.row_at_or_after(first)

    def take_due(self, row_ts: int) -> Events:
        """Events of the row that closes at ``row_ts``, but for those taken ahead; remembers the newest stamps."""
        events = self._take(row_ts)
        if self._ahead:
            self.books.on_events(joined([*self._ahead, events]))
            self._ahead.clear()
        else:
            self.books.on_events(events)
        return events

    def take_ahead(self) -> Events:
        """Events of the open row that have come by now; the books learn of them when it closes."""
        events = self._take(self.next_row_ts)
        if events.size:
            self._ahead.append(events)
        return events

    def _take(self, until: int) -> Events:
        events = self.queue.take(until)
        if events.size:
            self._over_ts = max(self._over_ts, note_events(self._view, events) - 1)
            self.features.push(events)
        return events

    def on_reports(self, reports: Reports) -> None:
        """Learn what became of our orders, in the order of the reports."""
        if not reports.size:
            return
        orders = self.account[0]
        for report in reports:
            kind, order_id = int(report["kind"]), int(report["order_id"])
            if kind == ACKED:
                own.acknowledge(orders, order_id)
            elif kind == FILL:
                self._on_fill(report)
            elif kind == OPENING:
                self._on_opening(report)
            elif kind in ENDED:
                own.finish(orders, order_id)
            elif kind == CANCEL_REJECTED and int(report["reason"]) != ALREADY_DONE:
                own.keep(orders, order_id)

    def _on_fill(self, report: np.void) -> None:
        orders, integers, floats = self.account
        side, qty = int(report["side"]), int(report["qty"])
        fee = self.strategy.maker_fee if report["maker"] else self.strategy.taker_fee
        self.books.book_fill(side, int(report["price"]), qty, fee)
        own.fill(orders, integers, int(report["order_id"]), side, qty, int(report["leaves"]))
        if integers[own.POSITION] == 0:
            limits, seen = self.strategy.limits, int(report["visible_ts"])
            pause_ns, streak = int(limits[LOSS_PAUSE_NS]), int(limits[LOSS_STREAK])
            own.close_trip(integers, floats, self.books.cash, pause_ns, streak, seen)

    def _on_opening(self, report: np.void) -> None:
        side, qty = int(report["side"]), int(report["qty"])
        self.books.book_fill(side, int(report["price"]), qty, 0.0)
        self.account[1][own.POSITION] += side * qty
        self._mark = self._mark or float(report["price"])  # until the first valid row

    def observe(self, row_ts: int) -> None:
        """Close the row at ``row_ts`` without deciding: features and forecast go on, the account does not."""
        self.forecasting.step(self.features.close(row_ts), self._over_ts, self.features.book)

    def skip(self, row_ts: int, now: Now) -> Decision:
        """Close the row at ``row_ts`` without deciding, for want of time; what is noted of it has no order.

        Features, forecast and view go on as ever, so that the next decision knows all that it would have known.
        """
        traded, ready = self._see(row_ts)
        self._slate.wipe(self.position)
        return self._read(now(), SKIPPED, ready, traded, self.books.equity(self._mark))

    def decide(self, row_ts: int, now: Now) -> Decision:
        """Close the row at ``row_ts``, forecast, and only then read ``now`` and decide: orders leave no earlier.

        While ``standing_down``, every resting order is cancelled, whatever the forecast says.
        """
        traded, ready = self._see(row_ts)
        equity, moment = self.books.equity(self._mark), now()
        rules, intents, thoughts = self.strategy.limits, self._slate.intents, self._slate.thoughts
        if self.standing_down:
            policy.cancel_all(self.account, rules, self._view, moment, intents, thoughts)
            return self._read(moment, STOOD_DOWN, ready, traded, equity)
        self._begin_due(row_ts)
        reason = policy.decide(self.account, rules, traded, self._view, ready, equity, moment, intents, thoughts)
        return self._read(moment, int(reason), ready, traded, equity)

    def adopt(self, row_ts: int, written: Decision) -> Decision:
        """Close the row at ``row_ts`` and take a decision as it was written down, whose model is gone.

        Afterwards the account is as the decision left it, but for what the model's forecasts had added to it, which
        ``stand_aside`` drops.
        """
        self._see(row_ts)
        reason = int(written.record["reason"][0])
        if reason not in (SKIPPED, STOOD_DOWN) and int(self._view[view.STATUS]) == VALID:
            watch(self.account, self.strategy.limits, self._view, self.books.equity(self._mark))
        for intent in written.intents:
            _enter(self.account, self.strategy.limits, self._view, intent)
        self.account[1][own.NEXT_DECISION] += 1
        return written

    def stand_aside(self, idle: Strategy) -> None:
        """Decide without a model from the next row on: what is held is left at the first row that allows it."""
        self.forecasting.begin(idle)
        own.forget_forecast(self.account)
        self.account[1][own.SIGNAL_TS] = 0
        self._slate.wipe()

    def work(self, parents: Iterable[ParentOrder]) -> None:
        """Take parent orders on, each worked from its start if the strategy executes.

        Raises ConfigError if one begins before the last one ends: one is worked at a time.
        """
        for parent in parents:
            if self.parents and parent.start_ts < self.parents[-1].end_ts:
                raise ConfigError(f"{parent} begins before {self.parents[-1]} ends")
            self.parents.append(parent)

    def _begin_due(self, row_ts: int) -> None:
        if self.parents and self.parents[0].start_ts <= row_ts and self.idle:
            own.begin_parent(self.account, self.parents.popleft())

    @property
    def kill_state(self) -> str:
        """Of the kill switch: off, unverified while an order may still be alive at the venue, verified after that."""
        return own.kill_state(self.account)

    def kill(self) -> None:
        """Latch the kill switch: from the next row on every order is cancelled until the venue has said its end."""
        self.account[1][own.KILLED] = 1

    def swap(self, strategy: Strategy) -> None:
        """Decide with another strategy from the next row on; its forecast is warmed with the rows of late.

        Raises ModelError unless flat: a position belongs to the model that took it.
        """
        if not self.flat:
            raise ModelError(f"a position of {self.position} lots or an open order is in the way of another model")
        self.forecasting.warm(strategy)
        own.forget_forecast(self.account)

    def _see(self, row_ts: int) -> tuple[NDArray[np.float64], bool]:
        """Close a row, look at it and forecast; returns the traded cell's forecast, and whether it may be used."""
        self.row = row = self.features.close(row_ts)
        self._look(row_ts, row.status, row.best_bid, row.best_ask)
        return self.forecasting.step(row, self._over_ts, self.features.book)

    def dump(self) -> Arrays:
        """The whole state as arrays, so that ``load`` goes on to the same decisions, bit for bit."""
        own_state = {
            "orders": self.account[0],
            "integers": self.account[1],
            "floats": self.account[2],
            "view": self._view,
            "mark": np.array(self._mark),
            "over_ts": np.array(self._over_ts),
            "thoughts": self._slate.thoughts,
            "ahead": joined([empty_events(0), *self._ahead]),
        } | self.forecasting.dump()
        memory = self.forecasting.dump_memory()
        parts = {"own": own_state, "memory": memory, "features": as_kept(self.features).dump()}
        parts |= {"queue": self.queue.dump(), "books": self.books.dump()}
        return {f"{part}/{name}": np.array(array) for part, arrays in parts.items() for name, array in arrays.items()}

    def load(self, arrays: Arrays, strategy: Strategy) -> None:
        """Go on from a ``dump`` of a session under the same settings, whose model was this ``strategy``'s.

        Raises DataError if it is of another feature catalogue, ModelError if it is of another model.
        """
        self.load_without_model(arrays, strategy)
        self.forecasting.load(_part(arrays, "own"), _part(arrays, "memory"))

    def load_without_model(self, arrays: Arrays, strategy: Strategy) -> None:
        """Go on from a ``dump`` whose model is gone: all but what that remembered, under a ``strategy`` in its place.

        Raises DataError if it is of another feature catalogue.
        """
        as_kept(self.features).restore(_part(arrays, "features"))
        self.books.load(_part(arrays, "books"))
        self.queue.load(_part(arrays, "queue"))
        self.forecasting.begin(strategy)
        found = _part(arrays, "own")
        self.account = (found["orders"].copy(), found["integers"].copy(), found["floats"].copy())
        self._slate.thoughts[:] = found["thoughts"]
        self._view[:], self._mark, self._over_ts = found["view"], float(found["mark"]), int(found["over_ts"])
        self._ahead = [found["ahead"].copy()] if found["ahead"].size else []
        self.forecasting.load_rows(found)

    def _look(self, row_ts: int, status: int, best_bid: int, best_ask: int) -> None:
        note_row(self._view, self.features.book, row_ts, status, best_bid, best_ask)
        if status == VALID:
            self._mark = 0.5 * (best_bid + best_ask)

    def _read(self, now: int, reason: int, ready: bool, forecast: NDArray[np.float64], equity: float) -> Decision:
        weighed = Weighed(reason, ready, forecast, self.forecasting.outlook, equity)
        return self._slate.read(now, self._view, self.account, weighed)


def _enter(account: Account, limits: NDArray[np.float64], seen: NDArray[np.int64], intent: np.void) -> None:
    """Take an order, or a cancel, into the account as its decision did."""
    slot, sent_ts = int(intent["slot"]), int(intent["sent_ts"])
    if intent["verb"] == PLACE:
        asked = int(intent["side"]), int(intent["price"]), int(intent["qty"])
        account[2][own.HEADROOM_USD] -= worst_fill_usd(limits, seen, *asked, limits[TAKER_FEE_BP])
        own.take_slot(account, slot, *asked, sent_ts)
    else:
        account[0][slot, own.STATE], account[0][slot, own.CANCEL_TS] = own.CANCEL_SENT, sent_ts


def at(moment: int) -> Now:
    """A clock that stands at ``moment``, ns UTC: of a replay, or of a latency model."""
    return lambda: moment


def send(gateway: Gateway, intents: NDArray[np.void]) -> None:
    """Hand a decision's orders to a gateway, in order."""
    if not intents.size:
        return
    for intent in intents:
        order_id, sent_ts = int(intent["order_id"]), int(intent["sent_ts"])
        if intent["verb"] == PLACE:
            side, price, qty = int(intent["side"]), int(intent["price"]), int(intent["qty"])
            gateway.place(order_id, side, price, qty, int(intent["tif"]), sent_ts)
        else:
            gateway.cancel(order_id, sent_ts)


def close_row(
    session: Session, gateway: Gateway, row_ts: int, now: Now, note: Callable[[Turn], None] = lambda turn: None
) -> Turn:
    """One turn of the loop, everywhere: the venue sees the market, we see its reports, decide, note, and send.

    Everything up to ``row_ts`` is known at the decision, and nothing later, however late ``now`` says it is.
    ``note`` returns when the turn may act: a runner writes it down there.
    """
    turn = _turn(session, gateway, row_ts, lambda: session.decide(row_ts, now))
    note(turn)
    send(gateway, turn.decision.intents)
    session.forecasting.prepare()
    return turn


def take_ahead(session: Session, gateway: Gateway) -> None:
    """Show session and venue what has come of the open row, so that less is left to do once it closes."""
    gateway.on_events(session.take_ahead())


def skip_row(session: Session, gateway: Gateway, row_ts: int, now: Now, note: Callable[[Turn], None]) -> Turn:
    """A turn of the loop when there is no time to decide: everything but the decision and its orders."""
    turn = _turn(session, gateway, row_ts, lambda: session.skip(row_ts, now))
    note(turn)
    return turn


def adopt_row(session: Session, gateway: Gateway, row_ts: int, written: Decision) -> Turn:
    """A turn whose decision and orders are those that were written down, as the model that made them is gone."""
    turn = _turn(session, gateway, row_ts, lambda: session.adopt(row_ts, written))
    send(gateway, written.intents)
    return turn


def _turn(session: Session, gateway: Gateway, row_ts: int, decide: Callable[[], Decision]) -> Turn:
    gateway.on_events(session.take_due(row_ts))
    reports = gateway.reports(row_ts)
    session.on_reports(reports)
    return Turn(decide(), reports)


def _part(arrays: Arrays, part: str) -> Arrays:
    return {name.removeprefix(f"{part}/"): array for name, array in arrays.items() if name.startswith(f"{part}/")}
