"""From the bytes of an instrument's connections to aligned events: decoder and clocks in one step, live and replay."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.clock import align_events, new_clock, require_window, settings_of
from market.errors import DataError, MalformedMessage, OffGrid
from market.events import (
    CONNECTION_SHIFT,
    CONNECTIONS,
    FIRST,
    GAP,
    LAST,
    NO_VENUE_TIME,
    SYNTHETIC,
    Events,
    empty_events,
)
from market.instrument import Instrument
from market.parameters import ClockParameters
from market.sources import decoder_for


class FrameReader:
    """Decodes and aligns frame by frame; a bad frame is counted and yields nothing."""

    def __init__(self, instrument: Instrument, clock: ClockParameters) -> None:
        self.decoder = decoder_for(instrument)
        self.malformed = 0
        self._instrument = instrument
        self._parameters = clock
        self._clock, self._settings = new_clock(clock), settings_of(clock)
        self._marks = SYNTHETIC if instrument.synthetic else 0

    def read(self, frame: bytes, ingest_ts: int, connection: int = 0) -> Events:
        """Aligned events of one frame, in order; none where the frame says nothing or cannot be read.

        ``connection`` is the number of the host that the frame came by: each host has its own clock.
        Raises DataError if it is not within 0 and 15.
        """
        try:
            events = self.decoder.decode(frame, ingest_ts)
        except (MalformedMessage, OffGrid):
            self.malformed += 1
            return empty_events(0)
        return self._aligned(events, connection)

    def lose(self, ingest_ts: int, connection: int = 0) -> Events:
        """The gap that a lost connection leaves: the book is closed, and waits for a snapshot."""
        self.decoder = decoder_for(self._instrument)
        gap = empty_events(1)
        gap["kind"], gap["flags"], gap["ingest_ts"] = GAP, FIRST | LAST | NO_VENUE_TIME, ingest_ts
        return self._aligned(gap, connection)

    def dump(self) -> dict[str, NDArray[Any]]:
        """The whole state as arrays, so that ``load`` goes on to the same events, byte for byte."""
        told = {"decoder": self.decoder.state(), "counts": self.decoder.counts, "malformed": self.malformed}
        arrays = {f"clock{place}": array.copy() for place, array in enumerate(self._clock)}
        return arrays | {"told": np.frombuffer(json.dumps(told).encode(), np.uint8)}

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a ``dump`` of a reader of the same instrument and settings."""
        told = json.loads(arrays["told"].tobytes())
        self.decoder = decoder_for(self._instrument)
        self.decoder.restore(told["decoder"])
        self.decoder.counts.update(told["counts"])
        self.malformed = told["malformed"]
        self._clock = tuple(arrays[f"clock{place}"].copy() for place in range(len(self._clock)))  # type: ignore[assignment]
        require_window(self._clock, self._parameters)

    def _aligned(self, events: Events, connection: int) -> Events:
        if not 0 <= connection < CONNECTIONS:
            raise DataError(f"connection={connection} must lie within 0 and {CONNECTIONS - 1}")
        if events.size:
            if marks := self._marks | connection << CONNECTION_SHIFT:
                events["flags"] |= marks
            align_events(self._clock, self._settings, events)
        return events
