"""Our own journal as a source: its frames through the venue's decoder, its lost connections as gaps."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from market.errors import DataError, MalformedMessage, OffGrid
from market.events import CONNECTION_SHIFT, EVENT, FIRST, GAP, LAST, NO_VENUE_TIME, SYNTHETIC, Events, empty_events
from market.instrument import Instrument
from market.journal_records import CONNECTION, DOWN, FRAME, HEADER, Record, records
from market.sources import decoder_for
from market.sources.decoder import DecoderState, tape_events
from market.sources.importing import END_OF_TIME, Account, InputFile, filled


class JournalImporter:
    """Importer of a journal's finished segments, oldest first; see ``market.sources.importing.Importer``.

    The events are those that ``market.reader.FrameReader`` gave whoever wrote the journal, before their alignment. A
    quarantined line is a frame; its number is that of its record in the segment. A segment (about 64 MB) is read whole.
    """

    def __init__(self, instrument: Instrument) -> None:
        self.instrument, self.account = instrument, Account()
        self._decoder = decoder_for(instrument)
        self._earlier: Counter[str] = Counter()  # counts of the decoders before this one
        self._newest = 0
        self._marks = SYNTHETIC if instrument.synthetic else 0

    def batches(self, files: Sequence[InputFile], until: int | None = None) -> Iterator[Events]:
        """Events of the segments, one after the other; a torn record at the end of the last one is left out.

        Raises JournalError, naming segment and offset, if a record is damaged, DataError if a segment is of another
        instrument.
        """
        end = END_OF_TIME if until is None else until
        for tape in filled(self._records(files), lambda piece, tape: self._take(*piece, end, tape)):
            yield self._batch(tape)
        self._count()

    def newest_ts(self, files: Sequence[InputFile]) -> int:
        """When the newest frame or news of the connection came, ns UTC; 0 if there is none."""
        return max((record.ts for _, _, record in self._records(files)), default=0)

    def state(self) -> DecoderState:
        """The decoder's."""
        return self._decoder.state()

    def restore(self, state: DecoderState) -> None:
        """Let the decoder continue where ``state`` was taken."""
        self._decoder.restore(state)

    def _records(self, files: Sequence[InputFile]) -> Iterator[tuple[str, int, Record]]:
        """Segment, number and record of every frame, and of all news of the connection."""
        for file in files:
            with file.open() as stream:
                data = stream.read()
            for number, record in enumerate(records(file.name, data, newest=file is files[-1]), 1):
                if record.kind == HEADER:
                    self._require_instrument(file.name, record.payload)
                elif record.kind in (FRAME, CONNECTION):
                    yield file.name, number, record

    def _take(self, file: str, number: int, record: Record, until: int, tape: bytearray) -> bool:
        """Append the events of a record, flagged with its connection; False if it came after ``until``."""
        if record.ts > until:
            return False
        before = len(tape)
        self._append(file, number, record, tape)
        if record.place and len(tape) > before:
            self._mark(tape, before, record.place)
        return True

    def _append(self, file: str, number: int, record: Record, tape: bytearray) -> None:
        if record.ts < self._newest:
            self.account.step_back(self._newest - record.ts)
        self._newest = max(self._newest, record.ts)
        if record.kind == CONNECTION:
            if record.payload == DOWN:
                self._lose(tape)
            return
        self.account.lines += 1
        try:
            self._decoder.append(record.payload, self._newest, tape)
        except (MalformedMessage, OffGrid) as error:
            self.account.quarantine(file, number, error, record.payload)

    def _lose(self, tape: bytearray) -> None:
        """A gap of unknown size: the book is closed, and waits for a snapshot."""
        self._earlier.update(self._decoder.counts)
        self._earlier["disconnections"] += 1
        self._decoder = decoder_for(self.instrument)
        gap = empty_events(1)
        gap["kind"], gap["flags"], gap["ingest_ts"] = GAP, FIRST | LAST | NO_VENUE_TIME, self._newest
        tape += gap.tobytes()

    def _mark(self, tape: bytearray, start: int, place: int) -> None:
        """Flag the events from ``start`` on with the connection that they came by."""
        events = np.frombuffer(tape, EVENT, offset=start)
        events["flags"] |= place << CONNECTION_SHIFT

    def _batch(self, tape: bytearray) -> Events:
        events = tape_events(tape)
        events["flags"] |= self._marks
        self.account.events += events.size
        self._count()
        return events

    def _count(self) -> None:
        counts = self._earlier.copy()
        counts.update(self._decoder.counts)
        self.account.counts |= {"disconnections": 0, **counts, "waiting": int(self._decoder.waiting)}

    def _require_instrument(self, file: str, header: bytes) -> None:
        name = json.loads(header).get("instrument", {}).get("name", self.instrument.name)
        if name != self.instrument.name:
            raise DataError(f"{file} is a journal of {name}, not of {self.instrument.name}")
