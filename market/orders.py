"""Orders and the venue's answers to them, in integers: the words of decision core, matching kernel and gateways.

Prices are ticks, quantities lots, times int64 nanoseconds UTC.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

# time in force
GTC: Final = 0  # takes what it reaches, the rest stays
IOC: Final = 1  # takes what it reaches, the rest expires
FOK: Final = 2  # takes all of it at once, or nothing
POST_ONLY: Final = 3  # stays; rejected if it would take

TIF_NAMES: Final = ("GTC", "IOC", "FOK", "post-only")

# life of an order, as the venue knows it
IN_FLIGHT: Final = 0
LIVE: Final = 1
PARTIAL: Final = 2
PENDING_CANCEL: Final = 3  # a cancel is on its way; still fillable
FILLED: Final = 4
CANCELLED: Final = 5
REJECTED: Final = 6
EXPIRED: Final = 7
PENDING_MODIFY: Final = 8  # a new price or quantity is on its way; still fillable at the old ones
UNKNOWN: Final = 9  # a cancel stays unanswered: alive, still fillable, and we do not know it

STATUS_NAMES: Final = (
    "in flight",
    "live",
    "partly filled",
    "pending cancel",
    "filled",
    "cancelled",
    "rejected",
    "expired",
    "pending modify",
    "unknown",
)

# kinds of report
ACKED: Final = 1
FILL: Final = 2
ORDER_CANCELLED: Final = 3
ORDER_REJECTED: Final = 4
CANCEL_REJECTED: Final = 5
ORDER_EXPIRED: Final = 6
MODIFIED: Final = 7  # price and quantity asked for are the new ones
MODIFY_REJECTED: Final = 8  # the order goes on as it was
OPENING: Final = 9  # no order's: a position that the account held before, taken over at its entry price without a fee

MOVES: Final = (FILL, OPENING)  # kinds that change the position
ENDED: Final = (ORDER_CANCELLED, ORDER_REJECTED, ORDER_EXPIRED)  # kinds that end an order; the last fill does too

REPORT_NAMES: Final = (
    "",
    "acked",
    "fill",
    "cancelled",
    "rejected",
    "cancel rejected",
    "expired",
    "modified",
    "modify rejected",
    "opening",
)

# reasons
NO_REASON: Final = 0
WOULD_CROSS: Final = 1  # a post-only order that would have taken
BOOK_CLOSED: Final = 2  # after a gap, until the next snapshot
SELF_CROSS: Final = 3  # its limit reaches an own order on the other side
NOT_FILLED: Final = 4  # what an IOC order found no quantity for
FOK_SHORT: Final = 5  # less within the limit than a FOK order asks for
BAD_SIDE: Final = 6
BAD_TIF: Final = 7
BAD_PRICE: Final = 8  # outside [1, LARGEST] ticks
BAD_QTY: Final = 9  # outside [1, LARGEST] lots
DUPLICATE_ID: Final = 10  # the earlier order of that id goes on
UNKNOWN_ORDER: Final = 11  # never seen, or not yet arrived
ALREADY_DONE: Final = 12  # filled, cancelled, rejected or expired before the cancel came
VENUE_REFUSED: Final = 13  # the venue would not, as venues do now and then; drawn
NO_ANSWER: Final = 14  # a cancel was lost on its way, as a later look at the venue showed
NO_MARGIN: Final = 15  # the account cannot carry the position that it would open
SHADOWED: Final = 16  # decided in shadow: nothing was sent
LINE_DOWN: Final = 17  # the account stream is down, or the venue has sent us away; nothing was sent
NEVER_ARRIVED: Final = 18  # no answer, and the venue does not know it now that it can no longer arrive

REASON_NAMES: Final = (
    "",
    "post-only order would cross",
    "book closed",
    "own order on the other side",
    "nothing left within the limit",
    "less than its quantity within the limit",
    "no such side",
    "no such time in force",
    "price off the range",
    "quantity off the range",
    "order id used before",
    "unknown order",
    "order already done",
    "refused by the venue",
    "no answer; found alive",
    "not enough margin",
    "shadow: not sent",
    "account stream down: not sent",
    "no answer; never arrived",
)

LARGEST: Final = 2**48  # ticks, lots

ORDER: Final = np.dtype(
    [
        ("order_id", "i8"),
        ("price", "i8"),  # limit, ticks
        ("qty", "i8"),  # lots asked for
        ("leaves", "i8"),  # lots not yet filled, cancelled or expired
        ("front", "f8"),  # displayed lots believed ahead of it while it rests
        ("shown", "i8"),  # lots that its level showed when front was last judged
        ("traded", "i8"),  # lots printed at its price since then
        ("sent_ts", "i8"),
        ("arrival_ts", "i8"),
        (
            "stands_since",
            "i8",
        ),  # its arrival, or that of the modify that last cost it its place
        ("ack_ns", "i8"),  # acknowledgement leg of its reports
        ("accepted_ts", "i8"),  # the venue's clock, 0: not accepted
        ("cancel_ts", "i8"),  # when its cancel arrives, 0: none under way
        ("modify_ts", "i8"),  # when its new price or quantity arrives, 0: none under way
        ("requests", "i8"),  # cancels ever sent for it
        ("unanswered", "i8"),  # cancels lost that we have not yet heard of
        ("side", "i2"),
        ("tif", "u2"),
        ("status", "u2"),
        ("reason", "u2"),
    ]
)
REPORT: Final = np.dtype(
    [
        ("report_id", "i8"),  # from 0, in the order of the venue's doing
        ("order_id", "i8"),
        ("price", "i8"),  # of the fill, ticks; otherwise the order's limit
        ("qty", "i8"),  # lots filled, cancelled, expired or rejected; of acked and modified, asked for
        ("leaves", "i8"),  # lots still open after it
        ("venue_ts", "i8"),
        ("visible_ts", "i8"),  # when we can know it
        ("kind", "u2"),
        ("reason", "u2"),
        ("side", "i2"),
        ("maker", "u2"),  # 1: a resting order was filled
    ]
)
Reports = NDArray[np.void]
Orders = NDArray[np.void]
