"""What a session has seen of the market, written into the view that decisions are handed."""

from numba import njit

from market.book import ASK, BID, quantity
from market.borrowing import BORROWING
from trading.view import ASK_QTY, BEST_ASK, BEST_BID, BID_QTY, ROW_TS, STATUS, note_newest


@njit(**BORROWING)
def note_row(view, book, row_ts, status, best_bid, best_ask):
    """Take a row in: touch prices in ticks, 0 where there is none, and the lots that our own book holds there."""
    view[ROW_TS], view[STATUS] = row_ts, status
    view[BEST_BID], view[BEST_ASK] = best_bid, best_ask
    view[BID_QTY] = quantity(book, BID, best_bid) if best_bid else 0
    view[ASK_QTY] = quantity(book, ASK, best_ask) if best_ask else 0


@njit(**BORROWING)
def note_events(view, events):
    """Take the stamps of events in, in the order of their arrival.

    Returns when the venue matched the newest of them, on our clock, ns UTC.
    """
    note_newest(view, events)
    newest = events[0].ingest_ts - events[0].delay_ns
    for i in range(1, events.size):
        newest = max(newest, events[i].ingest_ts - events[i].delay_ns)
    return newest
