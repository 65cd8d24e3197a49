"""From the bytes of one connection to aligned events: decoder and clock in one step, live and in replay."""

from market.clock import align, new_clock
from market.errors import MalformedMessage, OffGrid
from market.events import FIRST, GAP, LAST, NO_VENUE_TIME, Events, empty_events
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
        self._clock = new_clock(clock)

    def read(self, frame: bytes, ingest_ts: int) -> Events:
        """Aligned events of one frame, in order; none where the frame says nothing or cannot be read."""
        try:
            events = self.decoder.decode(frame, ingest_ts)
        except (MalformedMessage, OffGrid):
            self.malformed += 1
            return empty_events(0)
        return self._aligned(events)

    def lose(self, ingest_ts: int) -> Events:
        """The gap that a lost connection leaves: the book is closed, and waits for a snapshot."""
        self.decoder = decoder_for(self._instrument)
        gap = empty_events(1)
        gap["kind"], gap["flags"], gap["ingest_ts"] = GAP, FIRST | LAST | NO_VENUE_TIME, ingest_ts
        return self._aligned(gap)

    def _aligned(self, events: Events) -> Events:
        if events.size:
            align(self._clock, self._parameters, events)
        return events
