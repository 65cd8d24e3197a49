"""Where everything lies in the state of the feature step: eight arrays, the first three of them a book."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.parameters import BUCKET_MS, WINDOW_COUNT

NS_PER_MS: Final = 1_000_000
BUCKET_NS: Final = BUCKET_MS * NS_PER_MS

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
# ladder, spill, head (market.book), clock, ring, plan, history, scales
State = tuple[Ints, Ints, Ints, Ints, Ints, Ints, NDArray[np.float32], Floats]

# places in clock, int64
NEXT_ROW: Final = 0  # ns, the row that is open; 0 before the first event
SEALED: Final = 1  # newest instant of the bucket grid whose totals are final, in buckets
FIRST_EVENT: Final = 2  # ns
NEWEST_EVENT: Final = 3  # ns
DELAY: Final = 4  # ns, of the newest event
NEWEST_TRADE: Final = 5  # ns, 0: none
OPEN_SINCE: Final = 6  # ns, 0: the book is not open
TOUCH: Final = 7  # bid, its lots, ask, its lots, when the last whole message had been applied
SAMPLES: Final = 11  # samples ever taken by the normaliser
CLOCK: Final = 12

# columns of ring (buckets, TOTALS), int64: running totals at an instant of the bucket grid
FLOW: Final = 0  # order-flow imbalance, lots
SIGNED: Final = 1  # traded lots, bought minus sold
TRADED: Final = 2  # traded lots
EVENTS: Final = 3
SQUARES: Final = 4  # squared changes of the mid, quarter ticks squared
MID2: Final = 5  # not a total: best bid + best ask when the book was last open
TOTALS: Final = 6

# places in plan, int64, fixed by the parameters
ROW: Final = 0  # ns
SAMPLE: Final = 1  # ns
SILENCE: Final = 2  # ns
MIN_SAMPLES: Final = 3
WINDOWS: Final = 4  # buckets, one place a window
NORMALIZATIONS: Final = WINDOWS + WINDOW_COUNT  # one place a feature

# history (2, features, samples), float32
ARRIVED: Final = 0  # in order of arrival, a ring
SORTED: Final = 1

# columns of scales (features, 4), float64
MEDIAN: Final = 0
DEVIATION: Final = 1
FLOOR: Final = 2
BOUND: Final = 3
SCALES: Final = 4
