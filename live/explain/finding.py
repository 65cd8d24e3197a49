"""Where an order stands in the journal: the row that sent it, and when the last was heard of it."""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from live.replay import decision_of, reports_of
from market.errors import JournalError
from market.orders import ENDED, FILL, Reports
from storage.journal import DECISION, REPORTS, Record
from trading.records import PLACE

_ORDER: Final = re.compile(r"([a-z0-9_]+)-(\d{1,18})")


class OrderName(NamedTuple):
    """An order as people write it, DESK-NUMBER."""

    desk: str
    number: int

    def __str__(self) -> str:
        return f"{self.desk}-{self.number}"


class Found(NamedTuple):
    """What the journal holds of an order."""

    place: int  # of its desk
    row_ts: int  # that it was decided on
    intent: np.void
    reports: Reports  # on it, in the order seen
    ended: bool  # whether nothing of it works any more


def order_name(text: str) -> OrderName:
    """The order that ``text`` names.

    Raises JournalError if it does not name one.

    >>> order_name("probe-12")
    OrderName(desk='probe', number=12)
    """
    match = _ORDER.fullmatch(text)
    if match is None:
        raise JournalError(f"{text[:64]!r} names no order; say DESK-NUMBER, as in probe-12")
    return OrderName(match[1], int(match[2]))


def find(records: Iterable[Record], place: int, order_id: int) -> Found | None:
    """The order of the desk at ``place``, None if the journal does not hold it."""
    row_ts, intent, reports = 0, None, []
    for record in records:
        if record.place != place:
            continue
        if record.kind == DECISION and intent is None:
            intents = decision_of(record.payload).intents
            sent = intents[(intents["order_id"] == order_id) & (intents["verb"] == PLACE)]
            if sent.size:
                row_ts, intent = record.ts, sent[0]
        elif record.kind == REPORTS and intent is not None:
            heard = reports_of(record.payload)
            reports.append(heard[heard["order_id"] == order_id])
    if intent is None:
        return None
    heard = np.concatenate(reports) if reports else reports_of(b"")
    last = heard[np.isin(heard["kind"], (*ENDED, FILL))]
    return Found(place, row_ts, intent, heard, bool(last.size and last["leaves"][-1] == 0))
