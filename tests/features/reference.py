"""The features a second time, from their definitions: dictionaries, lists, and no running sums."""

import math
from bisect import bisect_right
from statistics import median

import numpy as np

from features.parameters import FeatureParameters
from market.events import BBO, BUY, FIRST, GAP, LAST, LEVEL, SNAPSHOT, TRADE, Events

MS = 1_000_000


class ReferenceBook:
    """Price to lots in two dictionaries."""

    def __init__(self) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.synchronised = False
        self.depth_id = self.touch_id = 0
        self.touch = {True: 0, False: 0}

    def apply(self, event) -> None:
        kind, is_bid, price, qty = event["kind"], event["side"] == BUY, int(event["price"]), int(event["qty"])
        update_id, flags = int(event["update_id"]), int(event["flags"])
        if kind == SNAPSHOT:
            if flags & FIRST:
                self.__init__()
            self.put(is_bid, price, qty)
            self.depth_id = update_id
            self.synchronised = bool(flags & LAST)
        elif kind == GAP:
            self.synchronised = False
        elif kind == LEVEL:
            if self.synchronised and not self.outdated(is_bid, price, update_id):
                self.put(is_bid, price, qty)
            self.depth_id = max(self.depth_id, update_id)
        elif kind == BBO and self.synchronised and qty > 0 and update_id > self.depth_id and update_id >= self.touch_id:
            self.bids = {p: q for p, q in self.bids.items() if (p <= price if is_bid else p < price)}
            self.asks = {p: q for p, q in self.asks.items() if (p > price if is_bid else p >= price)}
            self.put(is_bid, price, qty)
            self.touch_id = update_id
            self.touch[is_bid] = price

    def put(self, is_bid: bool, price: int, qty: int) -> None:
        side = self.bids if is_bid else self.asks
        side[price] = qty
        if qty == 0:
            del side[price]

    def outdated(self, is_bid: bool, price: int, update_id: int) -> bool:
        known = self.touch[is_bid]
        return update_id < self.touch_id and known != 0 and (price >= known if is_bid else price <= known)

    def levels(self) -> tuple[list[int], list[int]]:
        """Lots of each side, from the touch outwards."""
        bids = [self.bids[price] for price in sorted(self.bids, reverse=True)]
        return bids, [self.asks[price] for price in sorted(self.asks)]

    @property
    def best(self) -> tuple[int, int]:
        return max(self.bids, default=0), min(self.asks, default=0)

    @property
    def status(self) -> str:
        bid, ask = self.best
        if not self.synchronised:
            return "book closed"
        if not bid or not ask:
            return "one-sided book"
        return "crossed book" if bid >= ask else "valid"


class Reference:
    """Every row of a tape, each computed from the whole past."""

    def __init__(self, parameters: FeatureParameters) -> None:
        self.parameters = parameters
        self.book = ReferenceBook()
        self.event_ts: list[int] = []
        self.delay_ns = 0
        self.trades: list[tuple[int, int]] = []  # ts, signed lots
        self.flows: list[tuple[int, int]] = []  # ts, lots
        self.mids: list[tuple[int, float]] = []  # ts, ticks; one per whole message with an open book
        self.moves: list[tuple[int, float]] = []  # ts, ticks
        self.open_since = None
        self.touch = None
        self.samples: list[list[np.float32]] = []

    def rows(self, events: Events) -> list[tuple[int, str, list[float], list[float]]]:
        """(row_ts, status, raw, values) up to the newest event."""
        interval = self.parameters.row_interval_ms * MS
        row_ts, rows = -(-int(events[0]["ingest_ts"]) // interval) * interval, []
        for event in events:
            while row_ts < event["ingest_ts"]:
                rows.append(self.row(row_ts))
                row_ts += interval
            self.take(event)
        return rows

    def take(self, event) -> None:
        now = max(int(event["ingest_ts"]), self.event_ts[-1] if self.event_ts else 0)
        self.event_ts.append(now)
        self.delay_ns = int(event["delay_ns"])
        self.book.apply(event)
        if event["kind"] == TRADE:
            self.trades.append((now, int(event["side"]) * int(event["qty"])))
        elif event["kind"] in (LEVEL, BBO, SNAPSHOT, GAP) and (event["flags"] & LAST or event["kind"] == GAP):
            self.observe(now)

    def observe(self, now: int) -> None:
        if self.book.status != "valid":
            self.open_since = None
            return
        (bid, ask), (bids, asks) = self.book.best, self.book.levels()
        if self.open_since is None:
            self.open_since = now
        else:
            old_bid, old_bid_qty, old_ask, old_ask_qty = self.touch
            flow = (bid >= old_bid) * bids[0] - (bid <= old_bid) * old_bid_qty
            flow += (ask >= old_ask) * old_ask_qty - (ask <= old_ask) * asks[0]
            self.flows.append((now, flow))
            self.moves.append((now, (bid + ask - old_bid - old_ask) / 2))
        self.touch = bid, bids[0], ask, asks[0]
        self.mids.append((now, (bid + ask) / 2))

    def row(self, row_ts: int) -> tuple[int, str, list[float], list[float]]:
        zeros = [0.0] * (9 + 5 * len(self.parameters.windows_ms))
        status = self.status(row_ts)
        if status != "valid":
            return row_ts, status, zeros, zeros
        raw = self.instant(row_ts) + [x for window in self.parameters.windows_ms for x in self.window(row_ts, window)]
        ready = len(self.samples) >= self.parameters.normalizer_min_samples
        values = self.normalized(raw) if ready else zeros
        if row_ts % (self.parameters.normalizer_sample_ms * MS) == 0:
            self.samples.append([np.float32(x) for x in raw])
        return (row_ts, "valid", raw, values) if ready else (row_ts, "warming up", zeros, zeros)

    def status(self, row_ts: int) -> str:
        if self.book.status != "valid":
            return self.book.status
        if row_ts - self.event_ts[-1] > self.parameters.max_silence_ms * MS:
            return "silent feed"
        young = self.open_since is None or row_ts - self.open_since < self.parameters.windows_ms[-1] * MS
        return "warming up" if young else "valid"

    def instant(self, row_ts: int) -> list[float]:
        (bid, ask), (bids, asks) = self.book.best, self.book.levels()
        microprice = (bid * asks[0] + ask * bids[0]) / (bids[0] + asks[0])
        last_trade = self.trades[-1][0] if self.trades else self.event_ts[0]
        imbalances = [
            (sum(bids[:depth]) - sum(asks[:depth])) / (sum(bids[:depth]) + sum(asks[:depth])) for depth in (1, 5, 10)
        ]
        sizes = [math.log(1 + bids[0]), math.log(1 + asks[0])]
        age = math.log(1 + (row_ts - last_trade) / MS)
        return [ask - bid, *imbalances, microprice - (bid + ask) / 2, *sizes, self.delay_ns / MS, age]

    def window(self, row_ts: int, window_ms: int) -> list[float]:
        start = row_ts - window_ms * MS
        trades = since(self.trades, start)
        traded = sum(abs(lots) for lots in trades)
        count = len(self.event_ts) - bisect_right(self.event_ts, start)
        before = [mid for ts, mid in self.mids[: bisect_right(self.mids, start, key=lambda pair: pair[0])][-1:]]
        return [
            sum(since(self.flows, start)),
            sum(trades) / traded if traded else 0.0,
            math.log(1 + count),
            self.mids[-1][1] - before[0],
            math.sqrt(sum(move**2 for move in since(self.moves, start))),
        ]

    def normalized(self, raw: list[float]) -> list[float]:
        recent = self.samples[-self.parameters.normalizer_samples :]
        return [normalize(np.float32(x), column, [row[column] for row in recent]) for column, x in enumerate(raw)]


def since(pairs: list[tuple[int, float]], start: int) -> list[float]:
    """What came after ``start``."""
    return [value for _, value in pairs[bisect_right(pairs, start, key=lambda pair: pair[0]) :]]


INSTANT_FLOORS = [1.0, None, None, None, 0.05, 0.1, 0.1, 0.5, 0.1]  # of the deviation; None: left as it is
WINDOW_FLOORS = ["rank", None, 0.1, "rank", "rank"]


def normalize(x: np.float32, column: int, samples: list[np.float32]) -> float:
    floor = INSTANT_FLOORS[column] if column < 9 else WINDOW_FLOORS[(column - 9) % 5]
    if floor is None:
        return float(x)
    if floor == "rank":
        below, equal = sum(s < x for s in samples), sum(s == x for s in samples)
        return 2 * (below + equal / 2) / len(samples) - 1
    middle = median(map(float, samples))
    deviation = 1.4826 * median(abs(float(s) - middle) for s in samples)
    return min(max((float(x) - middle) / max(deviation, floor), -8.0), 8.0)
