"""Whole columns of a vendor's file into events: grid, stamps, messages, merged streams, batches."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from market.events import EVENT, FIRST, LAST, SYNTHETIC, Events, empty_events
from market.instrument import GRID_TOLERANCE, MOST_STEPS
from market.sources.importing import BATCH_EVENTS, CLOCK_BACKWARDS, WORST_STEP_BACK_NS, Account

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
_EARLIEST: Final = np.iinfo(np.int64).min


def steps(values: NDArray[np.float64], step: float) -> tuple[Ints, Mask]:
    """How many steps each value is, and whether it is a whole number of them at or above 0.

    >>> whole, fits = steps(np.array([0.3, 0.35, -0.1, np.nan]), 0.1)
    >>> whole.tolist(), fits.tolist()
    ([3, 0, 0, 0], [True, False, False, False])
    """
    with np.errstate(invalid="ignore"):
        ratio = values / step
        nearest = np.rint(ratio)
        fits = (ratio >= 0) & (ratio < MOST_STEPS) & (np.abs(ratio - nearest) < GRID_TOLERANCE)
    return np.where(fits, nearest, 0.0).astype(np.int64), fits


class NeverFalling:
    """Raises a stamp that lies before the newest one to that one, and counts it as the clock's step back."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._newest = 0

    def raised(self, stamps: Ints) -> Ints:
        """The stamps, ns, none of them before one that came earlier."""
        if not stamps.size:
            return stamps
        newest = np.maximum(np.maximum.accumulate(stamps), self._newest)
        behind = np.concatenate(([self._newest], newest[:-1])) - stamps
        self._newest = int(newest[-1])
        back, counts = behind[behind > 0], self._account.counts
        if back.size:
            counts[CLOCK_BACKWARDS] += back.size
            counts[WORST_STEP_BACK_NS] = max(counts[WORST_STEP_BACK_NS], int(back.max()))
        return newest


class SurrogateIds:
    """Update ids for a vendor who drops the venue's: the time of arrival in ns, one more than the last at least."""

    def __init__(self) -> None:
        self.newest = 0

    def next(self, stamps: Ints) -> Ints:
        """An id for each of the stamps, which do not fall; ids rise strictly, over calls and days too.

        >>> SurrogateIds().next(np.array([10, 10, 10, 20])).tolist()
        [10, 11, 12, 20]
        """
        if not stamps.size:
            return stamps
        places = np.arange(stamps.size)
        ids: Ints = np.maximum(np.maximum.accumulate(stamps - places), self.newest + 1) + places
        self.newest = int(ids[-1])
        return ids


def changes(*keys: NDArray[Any]) -> Mask:
    """Where a row differs from the one before it in any of the keys; the first row always does."""
    first = np.ones(keys[0].size, np.bool_)
    if first.size:
        first[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return first


def mark_messages(events: Events, starts: Mask) -> None:
    """Flag the ends of the messages, the first rows of which are given, in place."""
    flags = events["flags"] | np.where(starts, FIRST, 0).astype(np.uint16)
    ends = np.append(starts[1:], True) if starts.size else starts
    events["flags"] = flags | np.where(ends, LAST, 0).astype(np.uint16)


def merged(streams: Sequence[Iterator[Events]]) -> Iterator[Events]:
    """Streams that are each in the order of ``ingest_ts`` as one; at equal stamps the earlier stream comes first.

    Holds about one piece of each stream.
    """
    held, running = [empty_events(0) for _ in streams], dict(enumerate(streams))
    horizon = _EARLIEST
    while running:
        for place in [place for place in running if _newest(held[place]) <= horizon]:
            piece = next(running[place], None)
            if piece is None:
                del running[place]
            else:
                held[place] = np.concatenate([held[place], piece])
        horizon = min((_newest(held[place]) for place in running), default=np.iinfo(np.int64).max)
        if len(running) == 1 and not any(events.size for place, events in enumerate(held) if place not in running):
            [place] = running
            yield held[place]
            yield from running[place]
            return
        cuts = [int(np.searchsorted(events["ingest_ts"], horizon)) for events in held]
        ready = np.concatenate([events[:cut] for events, cut in zip(held, cuts, strict=True)])
        held = [events[cut:] for events, cut in zip(held, cuts, strict=True)]
        if ready.size:
            yield ready[np.argsort(ready["ingest_ts"], kind="stable")]


def until_stamp(pieces: Iterable[Events], until: int | None) -> Iterator[Events]:
    """The pieces as far as ``until``, ns UTC; all of them where it is None."""
    for piece in pieces:
        if until is None or piece["ingest_ts"][-1] <= until:
            yield piece
            continue
        cut = int(np.searchsorted(piece["ingest_ts"], until, side="right"))
        if cut:
            yield piece[:cut]
        return


def batched(pieces: Iterable[Events], account: Account, synthetic: bool) -> Iterator[Events]:
    """Batches of about BATCH_EVENTS, counted and, where no market printed them, flagged; no piece is cut."""
    held, count = list[Events](), 0
    for piece in pieces:
        held.append(piece)
        count += piece.size
        if count >= BATCH_EVENTS:
            yield _batch(held, account, synthetic)
            held, count = [], 0
    if held:
        yield _batch(held, account, synthetic)


def _newest(events: Events) -> int:
    return int(events["ingest_ts"][-1]) if events.size else _EARLIEST


def _batch(pieces: list[Events], account: Account, synthetic: bool) -> Events:
    events = np.concatenate(pieces, dtype=EVENT)
    if synthetic:
        events["flags"] |= SYNTHETIC
    account.events += events.size
    return events
