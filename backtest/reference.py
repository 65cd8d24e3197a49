"""The simulated venue once more in plain Python: slow and plain, the oracle that the compiled one is tested against."""

from dataclasses import dataclass

import numpy as np

from market import orders as codes
from market.events import BBO, BUY, FIRST, GAP, LAST, LEVEL, SELL, SNAPSHOT, TRADE, Events
from market.orders import REPORT, Reports


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
    arrival_ts: int
    leaves: int
    reason: int
    front: int = 0
    arrived: bool = False


class ReferenceVenue:
    """The interface of ``SimulatedVenue``, as far as reports go."""

    def __init__(self, entry_ns: int, ack_ns: int) -> None:
        self.book = ReferenceBook()
        self.clock = self.report_count = 0
        self.orders: dict[int, ReferenceOrder] = {}
        self._entry_ns, self._ack_ns = entry_ns, ack_ns
        self._resting: list[ReferenceOrder] = []  # first come first
        self._requests: list[tuple[int, int, ReferenceOrder | None, bool]] = []  # arrival, id, order, whether to cancel
        self._waiting: list[tuple[int, ...]] = []
        self._whole = True

    def place(self, order_id: int, side: int, price: int, qty: int, tif: int, sent_ts: int) -> None:
        """Send an order."""
        flaws = {
            codes.BAD_QTY: not 1 <= qty <= codes.LARGEST,
            codes.BAD_PRICE: not 1 <= price <= codes.LARGEST,
            codes.BAD_TIF: tif not in (codes.GTC, codes.IOC, codes.FOK, codes.POST_ONLY),
            codes.BAD_SIDE: side not in (BUY, SELL),
            codes.DUPLICATE_ID: order_id in self.orders,
        }
        reason = max((flaw for flaw, found in flaws.items() if found), key=list(flaws).index, default=0)
        price, qty, side = np.clip((price, qty, side), (0, 0, SELL), (codes.LARGEST, codes.LARGEST, BUY)).tolist()
        order = ReferenceOrder(order_id, side, price, qty, tif, sent_ts + self._entry_ns, qty, reason)
        self.orders.setdefault(order_id, order)
        self._requests.append((order.arrival_ts, order_id, order, False))

    def cancel(self, order_id: int, sent_ts: int) -> None:
        """Send a cancel; an id not placed by now is a stranger's."""
        self._requests.append((sent_ts + self._entry_ns, order_id, self.orders.get(order_id), True))

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
        self.clock = max(self.clock, int(event["ingest_ts"] - event["delay_ns"]))
        if event["kind"] != TRADE:
            self.book.apply(event)
        elif self.book.valid and event["side"] != 0:
            self._print(event)
        self._whole = bool(event["flags"] & LAST)
        if self._whole and self.book.valid:
            for order in self._resting:
                order.front = min(order.front, self.book.levels[order.side].get(order.price, 0))

    def _print(self, event: np.void) -> None:
        side, price, printed_ts = -int(event["side"]), int(event["price"]), int(event["ingest_ts"] - event["delay_ns"])
        hit = [order for order in self._resting if order.side == side and (order.price - price) * side >= 0]
        queue = sorted(
            (order for order in hit if order.arrival_ts <= printed_ts), key=lambda order: -order.price * side
        )
        line: list[tuple[ReferenceOrder | None, int]] = []  # who stands there, None: somebody else; lots
        for order in queue:
            order.front = order.front if order.price == price else 0
            others = order.front - sum(lots for owner, lots in line if owner is None)
            line += [(None, max(others, 0)), (order, order.leaves)]
        left = int(event["qty"])
        for place, (owner, lots) in enumerate(line):
            used = min(left, lots)
            left -= used
            if owner is None:
                for behind in (order for order, _ in line[place:] if order is not None):
                    behind.front = max(behind.front - used, 0)
            elif used > 0:
                self._fill(owner, owner.price, used, 1, (self.clock, int(event["ingest_ts"])))
        self._resting = [order for order in self._resting if order.leaves > 0]

    def _deliver(self, until: int, cause_ts: int) -> None:
        while self._whole and any(request[0] <= until for request in self._requests):
            request = min(self._requests, key=lambda request: request[0])
            self._requests.remove(request)
            arrival_ts, order_id, order, cancels = request
            now = (max(arrival_ts, self.clock), cause_ts)
            if order is None or cancels:
                self._cancel(order_id, order, now)
            else:
                self._accept(order, now)

    def _accept(self, order: ReferenceOrder, now: tuple[int, int]) -> None:
        order.arrived = True
        reason = order.reason or self._refusal(order)
        if reason:
            self._finish(order, codes.ORDER_REJECTED, reason, now)
            return
        self._report(order, (codes.ACKED, codes.NO_REASON), order.price, order.qty, 0, now)
        other = self.book.levels[-order.side]
        prices = self.book.within(-order.side, order.price)
        if order.tif == codes.FOK and sum(other[price] for price in prices) < order.qty:
            self._finish(order, codes.ORDER_EXPIRED, codes.FOK_SHORT, now)
            return
        for price in prices:
            lots = min(order.leaves, other[price])
            if lots > 0:
                self.book.set(-order.side, price, other[price] - lots)
                self._fill(order, price, lots, 0, now)
        if order.leaves > 0 and order.tif in (codes.GTC, codes.POST_ONLY):
            order.front = self.book.levels[order.side].get(order.price, 0)
            self._resting.append(order)
        elif order.leaves > 0:
            self._finish(order, codes.ORDER_EXPIRED, codes.NOT_FILLED, now)

    def _refusal(self, order: ReferenceOrder) -> int:
        if not self.book.valid:
            return codes.BOOK_CLOSED
        if any(own.side == -order.side and (order.price - own.price) * order.side >= 0 for own in self._resting):
            return codes.SELF_CROSS
        crosses = order.tif == codes.POST_ONLY and self.book.within(-order.side, order.price)
        return codes.WOULD_CROSS if crosses else codes.NO_REASON

    def _cancel(self, order_id: int, order: ReferenceOrder | None, now: tuple[int, int]) -> None:
        if order is None or not order.arrived:
            stranger = ReferenceOrder(order_id, 0, 0, 0, 0, 0, 0, 0)
            self._report(stranger, (codes.CANCEL_REJECTED, codes.UNKNOWN_ORDER), 0, 0, 0, now)
            return
        if order.leaves == 0:
            self._report(order, (codes.CANCEL_REJECTED, codes.ALREADY_DONE), order.price, 0, 0, now)
            return
        self._resting.remove(order)
        self._finish(order, codes.ORDER_CANCELLED, codes.NO_REASON, now)

    def _fill(self, order: ReferenceOrder, price: int, lots: int, maker: int, now: tuple[int, int]) -> None:
        order.leaves -= lots
        self._report(order, (codes.FILL, codes.NO_REASON), price, lots, maker, now)

    def _finish(self, order: ReferenceOrder, kind: int, reason: int, now: tuple[int, int]) -> None:
        lots, order.leaves = order.leaves, 0
        self._report(order, (kind, reason), order.price, lots, 0, now)

    def _report(
        self, order: ReferenceOrder, what: tuple[int, int], price: int, lots: int, maker: int, now: tuple[int, int]
    ) -> None:
        times = (now[0], max(now[0] + self._ack_ns, now[1]))
        self._waiting.append(
            (self.report_count, order.order_id, price, lots, order.leaves, *times, *what, order.side, maker)
        )
        self.report_count += 1
