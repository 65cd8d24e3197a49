"""The shadow gateway: a desk decides and is journalled, and nothing is sent."""

import numpy as np
from numpy.typing import NDArray

from market.events import Events
from market.orders import CANCEL_REJECTED, NO_REASON, ORDER_REJECTED, REPORT, SHADOWED, UNKNOWN_ORDER, Reports


class ShadowGateway:
    """Answers every order at once that it was not sent, so that a desk goes on deciding from flat."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, ...]] = []
        self._count = 0

    def on_events(self, events: Events) -> None:
        """Nothing rests here that the market could meet."""

    def reports(self, until: int) -> Reports:
        """Answers to what was asked by ``until``, ns UTC."""
        reports = np.array(self._waiting, REPORT)
        due = reports["visible_ts"] <= until
        self._waiting = [row for row, handed in zip(self._waiting, due, strict=True) if not handed]
        return reports[due]

    def place(self, order_id: int, side: int, price: int, qty: int, tif: int, sent_ts: int) -> None:
        """Answer that the order was not sent."""
        self._answer(order_id, price, qty, sent_ts, (ORDER_REJECTED, SHADOWED, side))

    def cancel(self, order_id: int, sent_ts: int) -> None:
        """Answer that there is nothing to cancel."""
        self._answer(order_id, 0, 0, sent_ts, (CANCEL_REJECTED, UNKNOWN_ORDER, NO_REASON))

    def dump(self) -> dict[str, NDArray[np.void]]:
        """What a snapshot beside the journal has to keep."""
        return {"waiting": np.array(self._waiting, REPORT), "count": np.array([self._count])}

    def load(self, arrays: dict[str, NDArray[np.void]]) -> None:
        """Go on from a ``dump``."""
        self._waiting = [tuple(row) for row in arrays["waiting"].tolist()]
        self._count = int(arrays["count"][0])

    def _answer(self, order_id: int, price: int, qty: int, ts: int, what: tuple[int, int, int]) -> None:
        kind, reason, side = what
        self._waiting.append((self._count, order_id, price, qty, 0, ts, ts, kind, reason, side, 0))
        self._count += 1
