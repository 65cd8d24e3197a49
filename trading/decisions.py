"""What a row's decision comes to: its record, the orders that go with it, and the reports that it saw."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from market.orders import Reports
from modeling.certainty import Outlook
from modeling.forecast import CLASSES
from trading import account as own
from trading import intents as sent
from trading import records, view
from trading.account import Account
from trading.records import INTENT, NO_INTENTS


class Decision(NamedTuple):
    """One row's decision and the orders that go with it."""

    record: NDArray[np.void]  # shape (1,), DECISION
    intents: NDArray[np.void]  # shape (orders,), INTENT


class Turn(NamedTuple):
    """What one row brought."""

    decision: Decision
    reports: Reports


class Weighed(NamedTuple):
    """What a decision went by, and why it is what it is."""

    reason: int
    ready: bool  # whether the forecast may be used
    forecast: NDArray[np.float64]  # of the traded cell
    outlook: Outlook
    equity: float  # settlement currency, marked at mid


class Slate:
    """What ``decide`` writes on: its orders and its thoughts, row after row."""

    def __init__(self) -> None:
        self.intents = np.zeros((sent.MAX_INTENTS, sent.INTENT_COLUMNS), np.int64)
        self.thoughts = np.zeros(sent.THOUGHTS)

    def wipe(self, target: int = 0) -> None:
        """No thoughts but a target, lots."""
        self.thoughts[:] = 0.0
        self.thoughts[sent.TARGET] = target

    def read(self, now: int, seen: NDArray[np.int64], account: Account, weighed: Weighed) -> Decision:
        """The decision made at ``now``, ns UTC, by what was ``seen``; the account's next one has the next number."""
        integers, thoughts = account[1], self.thoughts.tolist()
        record = _record(now, seen.tolist(), integers, thoughts, weighed)
        integers[own.NEXT_DECISION] += 1
        return Decision(record, self._written(record, int(thoughts[sent.COUNT]), now))

    def _written(self, record: NDArray[np.void], count: int, now: int) -> NDArray[np.void]:
        if count == 0:
            return NO_INTENTS
        intents = np.zeros(count, INTENT)
        written = self.intents[:count]
        intents["decision_id"], intents["sent_ts"] = record["decision_id"], now
        for column, name in enumerate(records.WRITTEN):
            intents[name] = written[:, column]
        self.intents[:count] = 0
        return intents


def _record(
    now: int, seen: list[int], integers: NDArray[np.int64], thoughts: list[float], weighed: Weighed
) -> NDArray[np.void]:
    """The fields of DECISION in their order."""
    reason, ready, forecast, outlook, equity = weighed
    number, position = integers.item(own.NEXT_DECISION), integers.item(own.POSITION)
    clocks = number, seen[view.ROW_TS], now, seen[view.EXCHANGE_TS], seen[view.INGEST_TS]
    halvings, capped, count = (int(thoughts[place]) for place in (sent.HALVINGS, sent.CAPPED, sent.COUNT))
    held = position, int(thoughts[sent.TARGET])
    expected = thoughts[sent.MU_BP], thoughts[sent.SIGMA_BP]
    sure = outlook.spread_bp, outlook.lower_bp, outlook.upper_bp, outlook.classes
    return records.record_of(
        (
            *clocks,
            *(reason, halvings, capped, ready, count),
            *(seen[view.BEST_BID], seen[view.BEST_ASK]),
            *held,
            seen[view.DELAY_NS],
            *expected,
            *sure,
            thoughts[sent.COST_BP],
            *forecast[:CLASSES].tolist(),
            equity,
        )
    )
