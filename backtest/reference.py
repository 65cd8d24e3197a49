"""The simulated venue once more in plain Python: slow and plain, the oracle that the compiled one is tested against."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from backtest.latency import ConstantLatency, LatencyModel
from backtest.parameters import VenueParameters
from market import orders as codes
from market.counter_hash import draw
from market.events import BBO, BUY, FIRST, GAP, LAST, LEVEL, SELL, SNAPSHOT, TRADE, Events
from market.orders import REPORT, Reports

Now = tuple[int, int, int]  # venue_ts, acknowledgement leg, ingest_ts of the cause or 0


class ReferenceBook:
    """Lots by price for each side, with the rules of ``market.book``."""

    def __init__(self) -> None:
        self.levels: dict[int, dict[int, int]] = {BUY: {}, SELL: {}}
        self.touch: dict[int, int] = {}  # last best bid and offer that was believed
        self.valid = False
        self.depth_id = self.touch_id = 0

    def apply(self, event: np.void) -> None:
        """Change the book by one event."""
        kind, side, price, qty = (int(event[name]) for name in ("kind", "side", "price", "qty"))
        update_id, flags = int(event["update_id"]), int(event["flags"])
        if kind == GAP:
            self.valid = False
        elif kind == SNAPSHOT:
            self._snapshot(side, price, qty, flags)
            self.depth_id = update_id
        elif kind == LEVEL:
            old = update_id < self.touch_id and side in self.touch and (price - self.touch[side]) * side >= 0
            if self.valid and not old:
                self.set(side, price, qty)
            self.depth_id = max(self.depth_id, update_id)
        elif kind == BBO and self.valid and qty > 0 and update_id > self.depth_id and update_id >= self.touch_id:
            for own in [level for level in self.levels[side] if (level - price) * side > 0]:
                del self.levels[side][own]
            for other in [level for level in self.levels[-side] if (level - price) * side <= 0]:
                del self.levels[-side][other]
            self.levels[side][price] = qty
            self.touch[side], self.touch_id = price, update_id

    def _snapshot(self, side: int, price: int, qty: int, flags: int) -> None:
        if flags & FIRST:
            self.levels, self.touch, self.touch_id, self.valid = {BUY: {}, SELL: {}}, {}, 0, False
        if qty > 0:
            self.levels[side][price] = qty
        if flags & LAST:
            self.valid = True

    def set(self, side: int, price: int, qty: int) -> None:
        """Set the lots at one price; none removes it."""
        self.levels[side].pop(price, None)
        if qty > 0:
            self.levels[side][price] = qty

    def within(self, side: int, limit: int) -> list[int]:
        """Prices of ``side`` that an order of the other side may take at its limit, best first."""
        return sorted((price for price in self.levels[side] if (price - limit) * side >= 0), key=lambda p: -p * side)


@dataclass(slots=True)
class ReferenceOrder:
    """An order and what became of it."""

    order_id: int
    side: int
    price: int
    qty: int
    tif: int
    stands_since: int  # arrival of the order, or of the modify that last cost it its place
    ack_ns: int
    leaves: int
    reason: int
    front: float = 0.0  # displayed lots ahead
    shown: int = 0  # lots at its level when front was last judged
    traded: int = 0  # lots printed there since then
    cancels: int = 0  # ever sent
    arrived: bool = False


class Request(NamedTuple):
    """What is under way to the venue: ``place``, ``cancel``, ``refused``, ``lost``, ``look`` or ``modify``."""

    arrival_ts: int
    verb: str
    order_id: int
    order: ReferenceOrder | None
    ack_ns: int
    price: int = 0
    qty: int = 0


class ReferenceVenue:
    """The interface of ``SimulatedVenue``, as far as reports go."""

    def __init__(self, parameters: VenueParameters, latency: LatencyModel | None = None) -> None:
        self.book = ReferenceBook()
        self.clock = self.report_count = 0
        self.orders: dict[int, ReferenceOrder] = {}
        self._parameters = parameters
        self._latency = latency or ConstantLatency(parameters.order_latency_ns, parameters.ack_latency_ns)
        self._resting: list[ReferenceOrder] = []  # first come first
        self._requests: list[Request] = []
        self._waiting: list[tuple[int, ...]] = []
        self._whole, self._fresh = True, False

    def place(self, order_id: int, side: int, price: int, qty: int, tif: int, sent_ts: int) -> None:
        """Send an order."""
        refused = draw(self._parameters.seed, order_id, 1) < self._parameters.reject_share
        flaws = {
            codes.VENUE_REFUSED: refused,
            codes.BAD_QTY: not 1 <= qty <= codes.LARGEST,
            codes.BAD_PRICE: not 1 <= price <= codes.LARGEST,
            codes.BAD_TIF: tif not in (codes.GTC, codes.IOC, codes.FOK, codes.POST_ONLY),
            codes.BAD_SIDE: side not in (BUY, SELL),
            codes.DUPLICATE_ID: order_id in self.orders,
        }
        reason = max((flaw for flaw, found in flaws.items() if found), key=list(flaws).index, default=0)
        *_, entry_ns, ack_ns = self._latency.legs_of(order_id, sent_ts)
        price, qty, side = np.clip((price, qty, side), (0, 0, SELL), (codes.LARGEST, codes.LARGEST, BUY)).tolist()
        order = ReferenceOrder(order_id, side, price, qty, tif, sent_ts + entry_ns, ack_ns, qty, reason)
        self.orders.setdefault(order_id, order)
        self._requests.append(Request(order.stands_since, "place", order_id, order, ack_ns))

    def cancel(self, order_id: int, sent_ts: int) -> None:
        """Send a cancel; an id not placed by now is a stranger's."""
        order, (*_, entry_ns, ack_ns) = self.orders.get(order_id), self._latency.legs_of(order_id, sent_ts)
        drawn = draw(self._parameters.seed, order_id, 16 + (order.cancels if order else 0))
        lost = self._parameters.cancel_lost_share
        refused = drawn < lost + self._parameters.cancel_reject_share
        verb = "lost" if drawn < lost else "refused" if refused else "cancel"
        if order:
            order.cancels += 1
        self._requests.append(Request(sent_ts + entry_ns, verb, order_id, order, ack_ns))
        if verb == "lost":
            look_ts = sent_ts + max(self._parameters.reconcile_ns, entry_ns)
            self._requests.append(Request(look_ts, "look", order_id, order, ack_ns))

    def modify(self, order_id: int, price: int, qty: int, sent_ts: int) -> None:
        """Send a new price and total quantity."""
        *_, entry_ns, ack_ns = self._latency.legs_of(order_id, sent_ts)
        order = self.orders.get(order_id)
        self._requests.append(Request(sent_ts + entry_ns, "modify", order_id, order, ack_ns, price, qty))

    def on_events(self, events: Events) -> None:
        """Follow events in the order received."""
        for event in events:
            self._meet(event)
            if self._whole:
                self._deliver(self.clock, int(event["ingest_ts"]))

    def match_research(self, events: Events, until: int) -> None:
        """Follow events in the order of aligned_ts."""
        for event in events:
            self._deliver(int(event["ingest_ts"] - event["delay_ns"]) - 1, 0)
            self._meet(event)
        self._deliver(until, 0)
        self.clock = max(self.clock, until)

    def reports(self, until: int) -> Reports:
        """Reports visible by ``until`` that were not handed out before."""
        visible = REPORT.names.index("visible_ts") if REPORT.names else 0
        due = [report for report in self._waiting if report[visible] <= until]
        self._waiting = [report for report in self._waiting if report[visible] > until]
        return np.array(sorted(due, key=lambda report: report[visible]), REPORT)

    def _meet(self, event: np.void) -> None:
        printed_ts = int(event["ingest_ts"] - event["delay_ns"])
        self.clock = max(self.clock, printed_ts)
        if event["kind"] != TRADE:
            self.book.apply(event)
            self._fresh |= event["kind"] == SNAPSHOT and bool(event["flags"] & LAST)
        elif self.book.valid and event["side"] != 0:
            self._print(event)
        for order in self._resting:
            level = (event["kind"], event["side"], event["price"], event["qty"])
            if level == (LEVEL, order.side, order.price, order.shown):
                order.traded = 0
        self._whole = bool(event["flags"] & LAST)
        if self._whole and self.book.valid:
            self._follow()
            if self._parameters.crossed_book == "fill":
                self._cross(printed_ts, int(event["ingest_ts"]))

    def _follow(self) -> None:
        for order in self._resting:
            displayed = self.book.levels[order.side].get(order.price, 0)
            if self._fresh or displayed != order.shown:
                gone = order.shown - displayed - order.traded
                if gone > 0 and not self._fresh:
                    order.front -= self._share_ahead(order) * gone
                order.front = max(min(order.front, displayed), 0.0)
                order.shown, order.traded = displayed, 0
        self._fresh = False

    def _share_ahead(self, order: ReferenceOrder) -> float:
        back = max(order.shown - order.front, 0.0)
        model, n = self._parameters.queue_model, self._parameters.queue_power
        if model in ("risk_averse", "front"):
            return 0.0
        if model == "power":
            ahead, behind = order.front**n, back**n
        else:
            ahead, behind = math.log(1.0 + order.front), math.log(1.0 + back)
        return 1.0 - (behind / (ahead + behind) if ahead + behind > 0 else 1.0)

    def _cross(self, printed_ts: int, ingest_ts: int) -> None:
        for order in sorted(self._resting, key=lambda order: (-order.side, -order.price * order.side)):
            lots = 0
            for price in self.book.within(-order.side, order.price) if order.stands_since <= printed_ts else []:
                lots += self._take_level(order, price, order.leaves - lots)
            if lots > 0:
                self._fill(order, order.price, lots, 1, (self.clock, order.ack_ns, ingest_ts))
        self._resting = [order for order in self._resting if order.leaves > 0]

    def _take_level(self, order: ReferenceOrder, price: int, most: int) -> int:
        displayed = self.book.levels[-order.side][price]
        lots = min(most, displayed)
        self.book.set(-order.side, price, displayed - lots)
        return lots

    def _print(self, event: np.void) -> None:
        side, price, printed_ts = -int(event["side"]), int(event["price"]), int(event["ingest_ts"] - event["delay_ns"])
        hit = [order for order in self._resting if order.side == side and (order.price - price) * side >= 0]
        left, before = float(event["qty"]), 0.0  # lots not yet used; displayed lots used at the printed price
        for order in sorted(hit, key=lambda order: -order.price * side):
            if order.stands_since > printed_ts:
                continue
            if order.price == price:
                market = min(left, max(order.front - before, 0.0))
                left, before, order.traded = left - market, before + market, order.traded + int(event["qty"])
            order.front = max(order.front - before, 0.0) if order.price == price else 0.0
            lots = min(math.floor(left + 0.5), order.leaves)
            if order.front == 0 and lots > 0:
                left -= lots
                self._fill(order, order.price, lots, 1, (self.clock, order.ack_ns, int(event["ingest_ts"])))
        self._resting = [order for order in self._resting if order.leaves > 0]

    def _deliver(self, until: int, cause_ts: int) -> None:
        while self._whole and any(request.arrival_ts <= until for request in self._requests):
            request = min(self._requests, key=lambda request: request.arrival_ts)
            self._requests.remove(request)
            now = (max(request.arrival_ts, self.clock), request.ack_ns, cause_ts)
            if request.verb == "place" and request.order:
                self._accept(request.order, now)
            elif request.verb == "modify":
                self._modify(request, now)
            elif request.verb != "lost":
                self._cancel(request, now)

    def _accept(self, order: ReferenceOrder, now: Now) -> None:
        order.arrived = True
        reason = order.reason or self._refusal(order, order.price)
        if reason:
            self._finish(order, codes.ORDER_REJECTED, reason, now)
            return
        self._report(order, (codes.ACKED, codes.NO_REASON), order.price, order.qty, 0, now)
        reach = sum(self.book.levels[-order.side][price] for price in self.book.within(-order.side, order.price))
        if order.tif == codes.FOK and reach < order.qty:
            self._finish(order, codes.ORDER_EXPIRED, codes.FOK_SHORT, now)
            return
        self._trade_and_rest(order, now)

    def _trade_and_rest(self, order: ReferenceOrder, now: Now) -> None:
        for price in self.book.within(-order.side, order.price):
            if lots := self._take_level(order, price, order.leaves):
                self._fill(order, price, lots, 0, now)
        if order.leaves > 0 and order.tif in (codes.GTC, codes.POST_ONLY):
            order.shown, order.traded = self.book.levels[order.side].get(order.price, 0), 0
            order.front = 0.0 if self._parameters.queue_model == "front" else float(order.shown)
            self._resting.append(order)
        elif order.leaves > 0:
            self._finish(order, codes.ORDER_EXPIRED, codes.NOT_FILLED, now)

    def _refusal(self, order: ReferenceOrder, price: int) -> int:
        if not self.book.valid:
            return codes.BOOK_CLOSED
        if any(own.side == -order.side and (price - own.price) * order.side >= 0 for own in self._resting):
            return codes.SELF_CROSS
        crosses = order.tif == codes.POST_ONLY and self.book.within(-order.side, price)
        return codes.WOULD_CROSS if crosses else codes.NO_REASON

    def _stands(self, request: Request, kind: int, now: Now) -> bool:
        order = request.order
        if order is None or not order.arrived:
            stranger = ReferenceOrder(request.order_id, 0, 0, 0, 0, 0, 0, 0, 0)
            self._report(stranger, (kind, codes.UNKNOWN_ORDER), 0, 0, 0, now)
        elif order.leaves == 0:
            self._report(order, (kind, codes.ALREADY_DONE), order.price, 0, 0, now)
        return order is not None and order.arrived and order.leaves > 0

    def _cancel(self, request: Request, now: Now) -> None:
        order = request.order
        if not self._stands(request, codes.CANCEL_REJECTED, now) or order is None:
            return
        if request.verb == "cancel":
            self._resting.remove(order)
            self._finish(order, codes.ORDER_CANCELLED, codes.NO_REASON, now)
            return
        why = codes.VENUE_REFUSED if request.verb == "refused" else codes.NO_ANSWER
        self._report(order, (codes.CANCEL_REJECTED, why), order.price, 0, 0, now)

    def _modify(self, request: Request, now: Now) -> None:
        order, price, qty = request.order, request.price, request.qty
        if not self._stands(request, codes.MODIFY_REJECTED, now) or order is None:
            return
        keeps = price == order.price and qty <= order.qty
        reason = codes.NO_REASON if keeps else self._refusal(order, price)
        if not 1 <= qty <= codes.LARGEST:
            reason = codes.BAD_QTY
        if not 1 <= price <= codes.LARGEST:
            reason = codes.BAD_PRICE
        filled = order.qty - order.leaves
        if reason == codes.WOULD_CROSS or (not reason and qty <= filled):
            self._resting.remove(order)
            self._finish(order, codes.ORDER_CANCELLED, reason, now)
        elif reason:
            self._report(order, (codes.MODIFY_REJECTED, reason), order.price, 0, 0, now)
        else:
            order.price, order.qty, order.leaves = price, qty, qty - filled
            self._report(order, (codes.MODIFIED, codes.NO_REASON), price, qty, 0, now)
            if not keeps:
                order.stands_since = request.arrival_ts
                self._resting.remove(order)
                self._trade_and_rest(order, now)

    def _fill(self, order: ReferenceOrder, price: int, lots: int, maker: int, now: Now) -> None:
        order.leaves -= lots
        self._report(order, (codes.FILL, codes.NO_REASON), price, lots, maker, now)

    def _finish(self, order: ReferenceOrder, kind: int, reason: int, now: Now) -> None:
        lots, order.leaves = order.leaves, 0
        self._report(order, (kind, reason), order.price, lots, 0, now)

    def _report(
        self, order: ReferenceOrder, what: tuple[int, int], price: int, lots: int, maker: int, now: Now
    ) -> None:
        times = (now[0], max(now[0] + now[1], now[2]))
        self._waiting.append(
            (self.report_count, order.order_id, price, lots, order.leaves, *times, *what, order.side, maker)
        )
        self.report_count += 1
