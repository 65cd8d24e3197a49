"""Places of the market view that a decision is handed: int64, prices in ticks, quantities in lots, times in ns."""

from typing import Final

from numba import njit

from market.borrowing import BORROWING

ROW_TS: Final = 0
STATUS: Final = 1  # of the feature row, 0: valid
BEST_BID: Final = 2
BEST_ASK: Final = 3
BID_QTY: Final = 4
ASK_QTY: Final = 5
DELAY_NS: Final = 6  # of the newest event
EXCHANGE_TS: Final = 7  # newest venue stamp known
INGEST_TS: Final = 8
VIEW: Final = 9


@njit(**BORROWING)
def note_newest(view, events):
    """Take the stamps of the newest events in, in the order of their arrival."""
    newest = events[events.size - 1]
    view[DELAY_NS], view[INGEST_TS] = newest.delay_ns, newest.ingest_ts
    for i in range(events.size):
        view[EXCHANGE_TS] = max(view[EXCHANGE_TS], events[i].exchange_ts)
