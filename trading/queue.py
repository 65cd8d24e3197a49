"""Aligned events that wait for the row they belong to, in arrival order."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from market.events import Events, empty_events


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
            stop = int(np.searchsorted(stamps, until, side="right"))
            if stop > self._cursor:
                parts.append(events[self._cursor : stop])
            if stop < events.size:
                self._cursor = max(stop, self._cursor)
                break
            self._chunks.popleft()
            self._cursor = 0
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else empty_events(0)

    @property
    def next_ingest_ts(self) -> int | None:
        """Receive stamp of the next event that waits, ns UTC."""
        return int(self._chunks[0][1][self._cursor]) if self._chunks else None

    @property
    def last_ingest_ts(self) -> int | None:
        """Receive stamp of the newest event that waits, ns UTC."""
        return int(self._chunks[-1][1][-1]) if self._chunks else None
