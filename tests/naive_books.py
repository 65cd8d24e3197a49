"""Every venue's book in plain dictionaries, straight from the JSON: the venues' rules told a second time."""

import json
from typing import Any, Final

Pairs = list[list[str]]


class NaiveBook:
    """Two dictionaries of ticks to lots, and the rule by which a best bid or offer moves the touch."""

    def __init__(self, tick: float, lot: float, with_touches: bool = True) -> None:
        self.sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.valid, self._with_touches = False, with_touches
        self._tick, self._lot = tick, lot
        self._depth_id = self._touch_id = 0
        self._touch: list[int | None] = [None, None]
        self._best: list[int | None] = [None, None]  # None: to be looked for
        self._steps: dict[tuple[str, str], tuple[int, int]] = {}

    def steps(self, price: str, qty: str) -> tuple[int, int]:
        if (price, qty) not in self._steps:
            self._steps[price, qty] = round(float(price) / self._tick), round(float(qty) / self._lot)
        return self._steps[price, qty]

    def replace(self, bids: Pairs, asks: Pairs, number: int) -> None:
        self.sides = ({}, {})
        self._touch, self._touch_id, self.valid = [None, None], 0, True
        self._best = [None, None]
        for side, pairs in zip(self.sides, (bids, asks), strict=True):
            for price, qty in pairs:
                ticks, lots = self.steps(price, qty)
                side[ticks] = lots
        self._depth_id = number

    def change(self, bids: Pairs, asks: Pairs, number: int) -> None:
        for row, pairs in enumerate((bids, asks)):
            side = self.sides[row]
            for price, qty in pairs:
                ticks, lots = self.steps(price, qty)
                if number < self._touch_id and self._at_touch(row, ticks):
                    continue
                if lots:
                    side[ticks] = lots
                else:
                    side.pop(ticks, None)
                self._best[row] = self._best[row] if self._keeps_best(row, ticks, lots) else None
        if bids or asks:
            self._depth_id = max(self._depth_id, number)

    def move_touch(self, row: int, price: str, qty: str, number: int) -> None:
        ticks, lots = self.steps(price, qty)
        stale = lots == 0 or number <= self._depth_id or number < self._touch_id
        if not self._with_touches or not self.valid or stale:
            return
        for other in (row, 1 - row):
            while (best := self.best(other)) is not None and self._is_crossed(row, other, best, ticks):
                del self.sides[other][best]
                self._best[other] = None
        self.sides[row][ticks] = lots
        self._best[row] = ticks
        self._touch_id, self._touch[row] = number, ticks

    def best(self, row: int) -> int | None:
        if self._best[row] is None and self.sides[row]:
            self._best[row] = (max, min)[row](self.sides[row])
        return self._best[row]

    def _keeps_best(self, row: int, ticks: int, lots: int) -> bool:
        best = self._best[row]
        return best is not None and ticks != best and (lots == 0 or (ticks < best if row == 0 else ticks > best))

    def _is_crossed(self, row: int, other: int, best: int, ticks: int) -> bool:
        """Whether a level lies before the new touch of ``row``, or across it."""
        if row == other:
            return best > ticks if row == 0 else best < ticks
        return best <= ticks if row == 0 else best >= ticks

    def _at_touch(self, row: int, ticks: int) -> bool:
        touch = self._touch[row]
        return touch is not None and (ticks >= touch if row == 0 else ticks <= touch)


class NaiveBinance:
    """Diffs on a REST snapshot: each begins where the last ended; those that came before it wait for the snapshot."""

    def __init__(self, books: list[NaiveBook], symbol: str) -> None:
        self._books, self._symbol = books, symbol
        self._newest, self._joined = -1, False
        self._held: list[dict[str, Any]] | None = []

    def read(self, frame: str) -> None:
        told = json.loads(frame)
        name, _, topic = told.get("stream", "").partition("@")
        if "lastUpdateId" in told:
            self._snapshot(told)
        elif name == self._symbol and topic.startswith("depth"):
            self._depth(told["data"])
        elif name == self._symbol and topic == "bookTicker":
            data = told["data"]
            for book in self._books:
                book.move_touch(0, data["b"], data["B"], data["u"])
                book.move_touch(1, data["a"], data["A"], data["u"])

    def _depth(self, data: dict[str, Any]) -> None:
        if self._held is not None:
            self._held.append(data)
            return
        previous = data.get("pu", data["U"] - 1)
        if data["u"] <= self._newest:
            return
        assert previous == self._newest or (not self._joined and previous <= self._newest), "no recording has a break"
        self._newest, self._joined = data["u"], True
        for book in self._books:
            book.change(data["b"], data["a"], data["u"])

    def _snapshot(self, told: dict[str, Any]) -> None:
        self._newest, self._joined = told["lastUpdateId"], False
        for book in self._books:
            book.replace(told["bids"], told["asks"], self._newest)
        held, self._held = self._held or [], None
        for data in held:
            self._depth(data)


class NaiveBybit:
    """A snapshot, then deltas numbered by ones."""

    def __init__(self, books: list[NaiveBook], symbol: str) -> None:
        self._books, self._topic, self._newest = books, f"orderbook.200.{symbol.upper()}", 0

    def read(self, frame: str) -> None:
        told = json.loads(frame)
        if told.get("topic") != self._topic:
            return
        data, whole = told["data"], told["type"] == "snapshot"
        assert whole or data["u"] == self._newest + 1, "no recording has a break"
        self._newest = data["u"]
        for book in self._books:
            (book.replace if whole else book.change)(data["b"], data["a"], data["seq"])


class NaiveOkx:
    """A snapshot, then updates; the recording bears no numbers."""

    def __init__(self, books: list[NaiveBook], symbol: str) -> None:
        self._books, self._argument = books, {"channel": "books", "instId": symbol.upper()}

    def read(self, frame: str) -> None:
        told = json.loads(frame)
        if told.get("arg") != self._argument or "event" in told:
            return
        bids, asks = ([level[:2] for level in told["data"][0][side]] for side in ("bids", "asks"))
        for book in self._books:
            (book.replace if told["action"] == "snapshot" else book.change)(bids, asks, 0)


class NaiveCoinbase:
    """A snapshot, then updates; all messages of the connection are numbered by ones."""

    def __init__(self, books: list[NaiveBook], symbol: str) -> None:
        self._books, self._product, self._newest = books, symbol.upper(), -1

    def read(self, frame: str) -> None:
        told = json.loads(frame)
        assert told["sequence_num"] == self._newest + 1, "no recording has a break"
        self._newest = told["sequence_num"]
        for event in told["events"] if told["channel"] == "l2_data" else ():
            if event["product_id"] != self._product:
                continue
            sides = ([one for one in event["updates"] if one["side"] == side] for side in ("bid", "offer"))
            bids, asks = ([[one["price_level"], one["new_quantity"]] for one in side] for side in sides)
            for book in self._books:
                (book.replace if event["type"] == "snapshot" else book.change)(bids, asks, self._newest)


NAIVE: Final = {
    "binance": NaiveBinance,
    "bybit": NaiveBybit,
    "coinbase": NaiveCoinbase,
    "okx": NaiveOkx,
}
