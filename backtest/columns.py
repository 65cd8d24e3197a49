"""A tape as a tuple of columns, so that event records and the columns of a compiled tape meet the same kernels."""

from typing import Any, Final

from numba import njit
from numpy.typing import NDArray

from market.borrowing import BORROWING
from market.events import Events

Tape = tuple[NDArray[Any], ...]
COLUMNS: Final = ("kind", "side", "flags", "price", "qty", "update_id", "ingest_ts", "delay_ns")

# places in an event, as ``event_at`` reads it
KIND: Final = 0
SIDE: Final = 1
FLAGS: Final = 2
EVENT_PRICE: Final = 3
EVENT_QTY: Final = 4
UPDATE_ID: Final = 5
INGEST_TS: Final = 6
ALIGNED_TS: Final = 7


def columns_of(events: Events) -> Tape:
    """The columns that the kernel reads, as views of event records."""
    return tuple(events[name] for name in COLUMNS)


@njit(**BORROWING, forceinline=True)
def aligned_at(tape, i):
    """When the venue matched an event, by our clock, ns."""
    return tape[6][i] - tape[7][i]


@njit(**BORROWING, forceinline=True)
def event_at(tape, i):
    """An event as the kernels pass it on."""
    return (
        tape[0][i],
        tape[1][i],
        tape[2][i],
        tape[3][i],
        tape[4][i],
        tape[5][i],
        tape[6][i],
        tape[6][i] - tape[7][i],
    )
