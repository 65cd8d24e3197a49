"""When orders reached a venue that meets them at its next message only: as agreed, or drawn from where they may."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from backtest.answers import legs_of_answers
from market.counter_hash import draw
from market.events import LAST, Events, aligned_ts

_ARRIVAL_LEG: Final = 8  # of the counter hash
_ENTRY: Final = 2  # place of the entry leg


def legs_without_waiting(answers: NDArray[np.void], events: Events, seed: int) -> NDArray[np.int64]:
    """Legs of each answer, (answers, 4), ns, the entry leg less the wait for the message that met the order.

    A replay venue, like the simulated one, meets an order at the first message past its arrival, and stamps that.
    So the order arrived after the message before, and not before it left: an instant between is drawn, each as
    likely. A backtest waits for its own next message; with the recorded wait in the leg it would wait twice.
    """
    legs = legs_of_answers(answers)
    waited = np.maximum(answers["venue_ts"] - np.maximum(_met_before(answers, events), answers["sent_ts"]), 0)
    shares = [draw(seed, int(row["order_id"]), _ARRIVAL_LEG + int(row["verb"])) for row in answers]
    legs[:, _ENTRY] -= np.floor(waited * np.array(shares)).astype(np.int64)
    return legs


def legs_as_agreed(answers: NDArray[np.void], events: Events, entry_ns: int) -> NDArray[np.int64]:
    """Legs of each answer, (answers, 4), ns; the entry leg is the agreed one where that leads to the same message.

    On paper it is the one that the order had. The message stamps it later, and whatever was printed in between and
    heard of later would pass over an order that only came with the message.
    """
    legs, arrival = legs_of_answers(answers), answers["sent_ts"] + entry_ns
    alike = (_met_before(answers, events) < arrival) & (arrival <= answers["venue_ts"])
    legs[alike, _ENTRY] = entry_ns
    return legs


def _met_before(answers: NDArray[np.void], events: Events) -> NDArray[np.int64]:
    """The venue's clock at the message before the one that each answer bears the stamp of, when sent where none is."""
    whole = (events["flags"] & LAST) != 0
    clock = np.unique(np.maximum.accumulate(aligned_ts(events))[whole])
    before = np.searchsorted(clock, answers["venue_ts"]) - 1
    return np.where(before >= 0, clock[np.maximum(before, 0)], answers["sent_ts"])
