"""Event arrays as compiled kernels take them."""

import numpy as np

from market.events import Events


def packed(events: Events) -> Events:
    """The events in one writable piece: themselves, or a copy where they are not."""
    flags = events.flags
    if flags.c_contiguous and flags.writeable:
        return events
    return np.require(events, requirements=["C", "W"])
