"""The features a second time, from their definitions: dictionaries, lists, and no running sums."""

import math
from bisect import bisect_right
from datetime import UTC, datetime
from statistics import median
from zoneinfo import ZoneInfo

import numpy as np

from features.catalogue import catalogue
from features.parameters import FeatureParameters
from market.events import (
    BBO,
    BUY,
    FIRST,
    FUNDING,
    GAP,
    INDEX,
    LAST,
    LEVEL,
    LIQUIDATION,
    MARK,
    NO_VENUE_TIME,
    REPLAYED,
    SNAPSHOT,
    TRADE,
    Events,
)

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

    def levels(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """(price, lots) of each side, from the touch outwards."""
        return sorted(self.bids.items(), reverse=True), sorted(self.asks.items())

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
        self.delays: list[tuple[int, int]] = []  # ts, ns; of stamped messages
        self.trades: list[tuple[int, int, int]] = []  # ts, signed lots, price
        self.flows: list[tuple[int, int]] = []  # ts, lots
        self.changes: list[tuple[int, int, int]] = []  # ts, +1 bid or -1 ask, lots; one per price and message
        self.touches: list[tuple[int, int]] = []  # ts, how many best prices moved
        self.mids: list[tuple[int, float]] = []  # ts, ticks; one per whole message with an open book
        self.moves: list[tuple[int, float]] = []  # ts, ticks
        self.open_since = None
        self.before = None
        self.heard: dict[int, tuple[int, int, int]] = {}  # newest ts, price and qty by kind
        self.forced: list[tuple[int, int, int]] = []  # ts, price, signed lots
        self.leading: list[tuple[int, int, float]] = []  # ts, mid2 (0: not valid), imbalance
        self.samples: list[list[np.float32]] = []

    def rows(self, events: Events, leader=()) -> list[tuple[int, str, list[float], list[float]]]:
        """(row_ts, status, raw, values) up to the newest event; ``leader``: (row_ts, mid2, imbalance) in order."""
        interval = self.parameters.row_interval_ms * MS
        row_ts, rows, ahead = -(-int(events[0]["ingest_ts"]) // interval) * interval, [], list(leader)
        for event in events:
            while row_ts < event["ingest_ts"]:
                while ahead and ahead[0][0] <= row_ts:
                    self.leading.append(ahead.pop(0))
                rows.append(self.row(row_ts))
                row_ts += interval
            self.take(event)
        return rows

    def take(self, event) -> None:
        now = max(int(event["ingest_ts"]), self.event_ts[-1] if self.event_ts else 0)
        kind, flags, price, qty = (int(event[name]) for name in ("kind", "flags", "price", "qty"))
        self.event_ts.append(now)
        self.delay_ns = int(event["delay_ns"])
        if flags & LAST and kind != SNAPSHOT and not flags & NO_VENUE_TIME and not flags & REPLAYED:
            self.delays.append((now, self.delay_ns))
        self.book.apply(event)
        if kind == TRADE:
            self.trades.append((now, int(event["side"]) * qty, price))
        elif kind == LIQUIDATION:
            self.forced.append((now, price, int(event["side"]) * qty))
        elif kind in (FUNDING, MARK, INDEX):
            self.heard[kind] = (now, price, qty)
        elif kind in (LEVEL, BBO, SNAPSHOT, GAP) and (flags & LAST or kind == GAP):
            self.observe(now)

    def observe(self, now: int) -> None:
        if self.book.status != "valid":
            self.open_since = None
            return
        (bid, ask), sides = self.book.best, self.book.levels()
        if self.open_since is None:
            self.open_since = now
        else:
            (old_bid, old_bid_qty), (old_ask, old_ask_qty) = (side[0] for side in self.before)
            flow = (bid >= old_bid) * sides[0][0][1] - (bid <= old_bid) * old_bid_qty
            flow += (ask >= old_ask) * old_ask_qty - (ask <= old_ask) * sides[1][0][1]
            self.flows.append((now, flow))
            self.touches.append((now, (bid != old_bid) + (ask != old_ask)))
            self.moves.append((now, (bid + ask - old_bid - old_ask) / 2))
            for sign, old, new in zip((1, -1), self.before, sides, strict=True):
                self.changes += [(now, sign, lots) for lots in deep_changes(sign, dict(old[:5]), dict(new[:5]))]
        self.before = sides
        self.mids.append((now, (bid + ask) / 2))

    def row(self, row_ts: int) -> tuple[int, str, list[float], list[float]]:
        zeros = [0.0] * len(catalogue(self.parameters))
        status = self.status(row_ts)
        if status != "valid":
            return row_ts, status, zeros, zeros
        raw = self.instant(row_ts) + [x for window in self.parameters.windows_ms for x in self.window(row_ts, window)]
        raw += self.leader(row_ts) if self.parameters.leader else []
        ready = len(self.samples) >= self.parameters.normalizer_min_samples
        if ready:
            raw[BURST] = self.burst(raw)
        values = self.normalized(raw) if ready else zeros
        if row_ts % (self.parameters.normalizer_sample_ms * MS) == 0:
            self.samples.append([np.float32(x) for x in raw])
        return (row_ts, "valid", raw, values) if ready else (row_ts, "warming up", zeros, zeros)

    def status(self, row_ts: int) -> str:
        if self.book.status != "valid":
            return self.book.status
        if row_ts - self.event_ts[-1] > self.parameters.max_silence_ms * MS:
            self.open_since = self.open_since and row_ts
            return "silent feed"
        if self.open_since is None or row_ts - self.open_since < self.parameters.windows_ms[-1] * MS:
            return "warming up"
        limit = self.parameters.max_funding_age_s * 1_000 * MS
        if limit and (FUNDING not in self.heard or row_ts - self.heard[FUNDING][0] > limit):
            return "late funding"
        return "no leader" if self.parameters.leader and not self.led(row_ts) else "valid"

    def led(self, row_ts: int) -> bool:
        """Whether the newest run of valid rows of the leader is long and fresh enough."""
        run = []
        for ts, mid2, _ in reversed(self.leading):
            if mid2 == 0 or (run and run[-1] - ts > self.parameters.max_silence_ms * MS):
                break
            run.append(ts)
        fresh = bool(run) and row_ts - run[0] <= self.parameters.max_silence_ms * MS
        return fresh and row_ts - run[-1] >= self.parameters.windows_ms[-1] * MS

    def instant(self, row_ts: int) -> list[float]:
        (bid, ask), (bids, asks) = self.book.best, self.book.levels()
        mid, bid_qty, ask_qty = (bid + ask) / 2, bids[0][1], asks[0][1]
        microprice = (bid * ask_qty + ask * bid_qty) / (bid_qty + ask_qty)
        imbalances = []
        for depth in (1, 5, 10):
            left, right = (sum(lots for _, lots in side[:depth]) for side in (bids, asks))
            imbalances.append((left - right) / (left + right))
        sizes = [
            math.log(1 + side[level][1]) if level < len(side) else 0.0 for side in (bids, asks) for level in range(5)
        ]
        offsets = [
            math.sqrt(abs(side[level][0] - mid)) if level < len(side) else 0.0
            for side in (bids, asks)
            for level in range(5)
        ]
        last_trade = self.trades[-1][0] if self.trades else self.event_ts[0]
        age = math.log(1 + (row_ts - last_trade) / MS)
        clocks = [self.delay_ns / MS, self.jitter(row_ts), age, self.run()]
        flags = [*session_flags(self.parameters, row_ts), 0.0]
        return [ask - bid, *imbalances, microprice - mid, *sizes, *offsets, *clocks, *self.derivatives(row_ts), *flags]

    def jitter(self, row_ts: int) -> float:
        start = row_ts - self.parameters.windows_ms[-1] * MS
        first = bisect_right(self.delays, start, key=lambda pair: pair[0])
        pairs = zip(self.delays[max(first, 1) - 1 :], self.delays[max(first, 1) :], strict=False)
        changes = [abs(later - earlier) // 1_000 for (_, earlier), (_, later) in pairs]
        return sum(changes) / len(changes) / 1_000 if changes else 0.0

    def run(self) -> float:
        count, sign = 0, 0
        for _, lots, _ in reversed(self.trades):
            side = 1 if lots > 0 else -1
            if sign not in (0, side):
                break
            count, sign = count + 1, side
        return sign * math.log(1 + count)

    def derivatives(self, row_ts: int) -> list[float]:
        _, rate, next_funding = self.heard.get(FUNDING, (0, 0, 0))
        hours = max(0.0, next_funding - row_ts) / (3_600_000 * MS)
        mark, index = (self.heard.get(kind, (0, 0, 0))[1] for kind in (MARK, INDEX))
        basis = (mark / index - 1) * 10_000 if mark and index else 0.0
        return [rate * 1e-12 * 10_000, min(1.0, hours / 8), basis, *self.liquidated(row_ts)]

    def liquidated(self, row_ts: int) -> list[float]:
        mid2, totals = sum(self.book.best), {True: 0.0, False: 0.0}
        for ts, price, lots in self.forced[-64:]:
            if abs(2 * price - mid2) * 10_000 <= self.parameters.liquidation_reach_bp * mid2:
                age_s = (row_ts - ts) / (1_000 * MS)
                totals[lots > 0] += abs(lots) * 0.5 ** (age_s / self.parameters.liquidation_halflife_s)
        return [math.log(1 + totals[True]), math.log(1 + totals[False])]

    def window(self, row_ts: int, window_ms: int) -> list[float]:
        start = row_ts - window_ms * MS
        trades = since(self.trades, start)
        traded, count = sum(abs(lots) for lots, _ in trades), len(self.event_ts) - bisect_right(self.event_ts, start)
        before = [mid for _, mid in self.mids[: bisect_right(self.mids, start, key=lambda pair: pair[0])][-1:]]
        changes = since(self.changes, start)
        added = sum(lots for _, lots in changes if lots > 0)
        cancelled = max(0, -sum(lots for _, lots in changes if lots < 0) - traded)
        mid = self.mids[-1][1]
        return [
            sum(flow for (flow,) in since(self.flows, start)),
            sum(sign * lots for sign, lots in changes),
            sum(lots for lots, _ in trades) / traded if traded else 0.0,
            sum(1 if lots > 0 else -1 for lots, _ in trades) / len(trades) if trades else 0.0,
            math.log(1 + count),
            math.log(1 + len(trades)),
            math.log(1 + traded),
            math.log(1 + sum(moved for (moved,) in since(self.touches, start))),
            cancelled / (cancelled + added) if cancelled + added else 0.0,
            math.sqrt(sum(move**2 for (move,) in since(self.moves, start))),
            mid - sum(abs(lots) * price for lots, price in trades) / traded if traded else 0.0,
            mid - before[0],
        ]

    def leader(self, row_ts: int) -> list[float]:
        valid = [(ts, mid2) for ts, mid2, _ in self.leading if mid2]
        mid2 = valid[-1][1]
        returns = []
        for window_ms in self.parameters.windows_ms:
            start = row_ts - window_ms * MS
            old = [price for ts, price in valid if ts <= start][-1]
            returns.append((mid2 / old - 1) * 10_000)
        imbalance = next(imbalance for _, price, imbalance in reversed(self.leading) if price)
        return [imbalance, 10_000 * math.log(2 * self.mids[-1][1] / mid2), *returns]

    def burst(self, raw: list[float]) -> float:
        """Measured against the samples, as the volume's own score is, but not cut off."""
        middle, deviation = middle_and_deviation([row[LONGEST_VOLUME] for row in self.recent()], 0.5)
        return float(np.float32(raw[LONGEST_VOLUME]) - middle >= self.parameters.burst_deviations * deviation)

    def recent(self) -> list[list[np.float32]]:
        return self.samples[-self.parameters.normalizer_samples :]

    def normalized(self, raw: list[float]) -> list[float]:
        features = catalogue(self.parameters)
        columns = zip(features, raw, zip(*self.recent(), strict=True), strict=True)
        return [normalize(np.float32(x), feature, samples) for feature, x, samples in columns]


BURST, LONGEST_VOLUME = 36, 37 + 2 * 12 + 6


def deep_changes(sign: int, old: dict[int, int], new: dict[int, int]) -> list[int]:
    """Change of lots at every price that both states reach to; a state of fewer than 5 levels reaches everywhere."""
    within = [
        price
        for price in old.keys() | new.keys()
        if all(len(side) < 5 or sign * price >= min(sign * other for other in side) for side in (old, new))
    ]
    return [new.get(price, 0) - old.get(price, 0) for price in within]


def session_flags(parameters: FeatureParameters, row_ts: int) -> list[float]:
    opening = closing = 0.0
    for session in parameters.sessions.values():
        local = datetime.fromtimestamp(row_ts // 1_000_000_000, UTC).astimezone(ZoneInfo(session.timezone))
        seconds = local.hour * 3_600 + local.minute * 60 + local.second
        opens, closes = (60 * (60 * int(text[:2]) + int(text[3:])) for text in (session.opens, session.closes))
        if local.weekday() < 5 and 0 <= seconds - opens < 60 * parameters.session_flag_minutes:
            opening = 1.0
        if local.weekday() < 5 and 0 < closes - seconds <= 60 * parameters.session_flag_minutes:
            closing = 1.0
    return [opening, closing]


def since(entries: list[tuple], start: int) -> list[tuple]:
    """What came after ``start``, without its stamps."""
    return [rest for _, *rest in entries[bisect_right(entries, start, key=lambda entry: entry[0]) :]]


def middle_and_deviation(samples, floor: float) -> tuple[float, float]:
    middle = median(map(float, samples))
    return middle, max(1.4826 * median(abs(float(s) - middle) for s in samples), floor)


def normalize(x: np.float32, feature, samples) -> float:
    if feature.normalization == "none":
        return float(x)
    if feature.normalization == "rank":
        below, equal = sum(s < x for s in samples), sum(s == x for s in samples)
        return 2 * (below + equal / 2) / len(samples) - 1
    middle, deviation = middle_and_deviation(samples, feature.floor)
    return min(max((float(x) - middle) / deviation, -8.0), 8.0)
