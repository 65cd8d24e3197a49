"""What a gateway has told its desk, report by report: each once, handed out when it is visible, kept over a restart."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from live.gateways.life import OrderLife, Told
from market.orders import MOVES, NEVER_ARRIVED, REPORT, Reports

ORDER_FIELDS: Final = 7


class Tellings:
    """The reports of one gateway. What is told waits until it is handed out; what a journal told is handed out next."""

    def __init__(self) -> None:
        self.position = 0  # lots, the sum of all fills told
        self.told = 0  # reports, those of the journal among them
        self.given_up: set[int] = set()  # orders of which we told that they never arrived
        self._seen: dict[int, OrderLife] = {}  # orders, as far as their reports were handed out
        self._seen_position = 0  # of fills handed out
        self._waiting: list[tuple[int, ...]] = []
        self._heard: list[Reports] = []

    def follow(self, life: OrderLife) -> None:
        """Keep how far an order's reports are handed out, from a life of its own."""
        self._seen.setdefault(life.order_id, life)

    def tell(self, told: list[Told], visible_ts: int) -> None:
        """Have reports wait until they are handed out, ns UTC."""
        for report in told:
            if report.kind in MOVES:
                self.position += report.side * report.qty
            if report.reason == NEVER_ARRIVED:
                self.given_up.add(report.order_id)
            self._waiting.append(
                (
                    *(self.told, report.order_id, report.price, report.qty, report.leaves),
                    *(report.venue_ts, visible_ts, report.kind, report.reason, report.side, report.maker),
                )
            )
            self.told += 1

    def hear(self, reports: Reports) -> None:
        """Take reports out of the journal: they are handed out next, as they were then."""
        for report in reports:
            self.told = max(self.told, int(report["report_id"]) + 1)
            if int(report["reason"]) == NEVER_ARRIVED:
                self.given_up.add(int(report["order_id"]))
            if int(report["kind"]) in MOVES:
                self.position += int(report["side"]) * int(report["qty"])
        self._note_seen(reports)
        self._heard.append(reports)

    def hand_out(self, until: int) -> Reports:
        """Reports that are visible by ``until``, ns UTC, each once; those of a journal first, whenever they were."""
        if self._heard:
            replayed = np.concatenate(self._heard)
            self._heard = []
            return replayed
        reports = np.array(self._waiting, REPORT)
        due = reports["visible_ts"] <= until
        self._waiting = self._waiting[int(due.sum()) :]
        self._note_seen(reports[due])
        return reports[due]

    def dump(self) -> dict[str, NDArray[np.int64]]:
        """What a snapshot beside the journal has to keep: what was handed out; orders that are done are left out."""
        lives = self._seen.values()
        orders = [(life.order_id, life.side, life.price, life.qty, life.tif, life.acked, life.filled) for life in lives]
        fills = [(life.order_id, price, qty) for life in lives for price, qty in life.fills]
        return {
            "totals": np.array([self._seen_position, self.told - len(self._waiting)], np.int64),
            "orders": np.array(orders, np.int64).reshape(-1, ORDER_FIELDS),
            "fills": np.array(fills, np.int64).reshape(-1, 3),
        }

    def load(self, totals: NDArray[np.int64]) -> None:
        """Go on from the totals of a ``dump``."""
        self.position, self.told = (int(total) for total in totals)
        self._seen_position = self.position

    def seen(self, order_id: int) -> OrderLife:
        """An order as far as its reports were handed out. Raises KeyError once its end was."""
        return self._seen[order_id]

    def _note_seen(self, reports: Reports) -> None:
        for report in reports:
            life = self._seen.get(int(report["order_id"]))
            if int(report["kind"]) in MOVES:
                self._seen_position += int(report["side"]) * int(report["qty"])
            if life is not None:
                life.remember(report)
                if life.ended:
                    del self._seen[life.order_id]
