"""Where everything lies in the state of the feature step: eight arrays, the first three of them a book."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.parameters import BUCKET_MS, WINDOW_COUNT
from market.units import NS_PER_MS

BUCKET_NS: Final = BUCKET_MS * NS_PER_MS
TOP: Final = 5  # best levels a side that sizes, offsets and deep flow are read from
LIQUIDATIONS: Final = 64  # forced orders remembered, the newest

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
# ladder, spill, head (market.book), clock, ring, plan, history, scales
State = tuple[Ints, Ints, Ints, Ints, Ints, Ints, NDArray[np.float32], Floats]

# rows of another instrument in order: row_ts, best bid + best ask (0 where not valid), queue imbalance; (M,) each
LeaderRows = tuple[Ints, Ints, Floats]
ALONE: Final[LeaderRows] = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64))

# places in clock, int64
NEXT_ROW: Final = 0  # ns, the row that is open; 0 before the first event
SEALED: Final = 1  # newest instant of the bucket grid whose totals are final, in buckets
FIRST_EVENT: Final = 2  # ns
NEWEST_EVENT: Final = 3  # ns
DELAY: Final = 4  # ns, of the newest event
NEWEST_TRADE: Final = 5  # ns, 0: none
OPEN_SINCE: Final = 6  # ns, 0: the book is not open
SAMPLES: Final = 7  # samples ever taken by the normaliser
RUN: Final = 8  # trades in a row with one aggressor, signed like it
STAMPED_DELAY: Final = 9  # ns, of the newest stamped message
STAMPED: Final = 10  # stamped messages so far, up to 1
FUNDING_TS: Final = 11  # ns when the funding rate was last heard; 0: never
FUNDING_RATE: Final = 12  # 1e-12
NEXT_FUNDING: Final = 13  # ns
MARK_PRICE: Final = 14  # 1e-8 quote, 0: never heard
INDEX_PRICE: Final = 15  # likewise
FORCED: Final = 16  # liquidations ever heard
LEADER_TS: Final = 17  # ns, newest valid row of the leader; 0: none
LEADER_SINCE: Final = 18  # ns, since when its rows have been valid
LEADER_IMBALANCE: Final = 19  # 1 / LEADER_SCALE
DIRTY: Final = 20  # bids, then asks: whether the best levels may differ from TOP_LEVELS
TOP_COUNT: Final = 22  # bids, then asks: levels held at TOP_LEVELS
TOP_LEVELS: Final = 24  # bids, then asks: TOP prices, then TOP quantities, after the newest whole message
FORCED_ORDERS: Final = TOP_LEVELS + 4 * TOP  # a ring of ts, price, signed lots
SCRATCH: Final = FORCED_ORDERS + 3 * LIQUIDATIONS  # the best levels of a side while they are compared
CLOCK: Final = SCRATCH + 2 * TOP

LEADER_SCALE: Final = 1 << 30

# columns of ring (buckets, TOTALS), int64: running totals at an instant of the bucket grid; they may wrap around,
# as only their differences are read
FLOW: Final = 0  # order-flow imbalance of the touch, lots
DEEP_FLOW: Final = 1  # of the best TOP levels, lots
SIGNED: Final = 2  # traded lots, bought minus sold
TRADED: Final = 3  # traded lots
TRADES: Final = 4
SIGNS: Final = 5  # trades bought minus trades sold
PRICED: Final = 6  # traded lots times their price in ticks
EVENTS: Final = 7
CHURN: Final = 8  # moves of the best bid or ask
ADDED: Final = 9  # lots that joined the best TOP levels
REMOVED: Final = 10  # lots that left them
SQUARES: Final = 11  # squared changes of the mid, quarter ticks squared
JITTER: Final = 12  # absolute changes of the delay, us
MESSAGES: Final = 13  # stamped messages that JITTER compares
MID2: Final = 14  # not a total: best bid + best ask when the book was last open
LEADER_MID2: Final = 15  # not a total: the same of the leader
TOTALS: Final = 16

# places in plan, int64, fixed by the parameters
ROW: Final = 0  # ns
SAMPLE: Final = 1  # ns
SILENCE: Final = 2  # ns
MIN_SAMPLES: Final = 3
FUNDING_AGE: Final = 4  # ns; 0: funding is not required
LIQUIDATION_REACH: Final = 5  # 1e-6 of the mid
LIQUIDATION_HALFLIFE: Final = 6  # ns
BURST: Final = 7  # thousandths of a deviation
SESSION_FLAG: Final = 8  # s
PHASE: Final = 9  # ns
WINDOWS: Final = 10  # buckets, one place a window
NORMALIZATIONS: Final = WINDOWS + WINDOW_COUNT  # one place a feature, then the sessions

# history (2, features, samples), float32
ARRIVED: Final = 0  # in order of arrival, a ring
SORTED: Final = 1

# columns of scales (features, 4), float64
MEDIAN: Final = 0
DEVIATION: Final = 1
FLOOR: Final = 2
BOUND: Final = 3
SCALES: Final = 4
