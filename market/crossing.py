"""Whether a rebuilt book was ever crossed or locked: what the feed said of the touch after each message."""

from typing import Final

from numba import njit

from market.book import BEST_ASK, BEST_BID, VALID, apply
from market.events import LAST

NOT_JUDGED: Final = 0  # inside a message, or the book is closed or one-sided
APART: Final = 1  # best bid below best ask
LOCKED: Final = 2  # best bid at best ask
CROSSED: Final = 3  # best bid above best ask


@njit(cache=True)
def touch_states(book, events, states):
    """Apply all events to the book and write down, for each, one of the codes above.

    states : shape (events,), uint8
    """
    head = book[2]
    for i in range(events.size):
        event = events[i]
        apply(book, event.kind, event.side, event.price, event.qty, event.update_id, event.flags)
        bid, ask = head[BEST_BID], head[BEST_ASK]
        if not event.flags & LAST or head[VALID] == 0 or bid == 0 or ask == 0:
            states[i] = NOT_JUDGED
        elif bid < ask:
            states[i] = APART
        else:
            states[i] = LOCKED if bid == ask else CROSSED
