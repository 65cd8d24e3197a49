"""Aligned events that wait for the row they belong to, in arrival order."""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.events import EVENT, Events, empty_events


class EventQueue:
    """Hands out events row by row: a live micro-batch and a whole tape alike.

    Order is arrival order; a stamp that runs backwards waits behind its predecessors.
    """

    def __init__(self) -> None:
        self._chunks: deque[tuple[Events, NDArray[np.int64]]] = deque()
        self._cursor = 0

    def push(self, events: Events) -> None:
        """Append events; nothing is copied but their receive stamps."""
        if events.size:
            self._chunks.append((events, np.maximum.accumulate(events["ingest_ts"])))

    def take(self, until: int) -> Events:
        """Events received at or before ``until`` (ns UTC), each handed out once."""
        parts = []
        while self._chunks:
            events, stamps = self._chunks[0]
            if stamps[-1] > until:
                stop = max(self._cursor, int(stamps.searchsorted(until, side="right")))
                parts.append(events[self._cursor : stop])
                self._cursor = stop
                break
            parts.append(events[self._cursor :])
            self._chunks.popleft()
            self._cursor = 0
        return joined(parts)

    def dump(self) -> dict[str, NDArray[Any]]:
        """What waits, as arrays, so that ``load`` goes on to hand out the same events."""
        chunks = [(events[start:], stamps[start:]) for start, (events, stamps) in self._waiting()]
        return {
            "events": np.concatenate([empty_events(0), *(events for events, _ in chunks)]),
            "stamps": np.concatenate([np.zeros(0, np.int64), *(stamps for _, stamps in chunks)]),
            "ends": np.cumsum([events.size for events, _ in chunks], dtype=np.int64),
        }

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a ``dump``."""
        ends = arrays["ends"].tolist()
        spans = zip([0, *ends], ends, strict=False)
        self._chunks = deque((arrays["events"][a:b].copy(), arrays["stamps"][a:b].copy()) for a, b in spans)
        self._cursor = 0

    def _waiting(self) -> Iterator[tuple[int, tuple[Events, NDArray[np.int64]]]]:
        for place, chunk in enumerate(self._chunks):
            yield self._cursor if place == 0 else 0, chunk

    @property
    def next_ingest_ts(self) -> int | None:
        """Receive stamp of the next event that waits, ns UTC."""
        return int(self._chunks[0][1][self._cursor]) if self._chunks else None


def joined(parts: list[Events]) -> Events:
    """The parts one after another, copied as bytes: numpy compares field by field what it joins as records."""
    whole = [part for part in parts if part.size]
    if len(whole) < 2:
        return whole[0] if whole else empty_events(0)
    return np.concatenate([part.view(np.int64) for part in whole]).view(EVENT)
