"""hftbacktest's files, ``npz`` and ``npy``, as a source: read a few thousand rows at a time."""

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final, cast

import numpy as np
from numpy.lib import format as npy

from market.errors import CorruptFile, DataError, MalformedMessage, OffGrid
from market.events import Events, empty_events
from market.instrument import Instrument
from market.sources.columnar import NeverFalling, SurrogateIds, batched, steps, until_stamp
from market.sources.decoder import DecoderState
from market.sources.hftbacktest import (
    DEPTH_CLEAR,
    LOCAL_EVENT,
    ROW,
    Rows,
    complete,
    event_of,
    kinds_of,
    message_starts,
)
from market.sources.importing import Account, InputFile

CHUNK: Final = 65_536  # rows read at a time
_ZIP: Final = b"PK\x03\x04"


class HftbacktestImporter:
    """Importer of hftbacktest's event arrays; see ``market.sources.importing.Importer``.

    Rows that only the venue's side saw are passed over: what is left is the tape in the order that it reached us.
    """

    def __init__(self, instrument: Instrument) -> None:
        self.instrument, self.account = instrument, Account()
        self.account.counts |= {"venue_only": 0, "other_events": 0, "waiting": 0}
        self._ids = SurrogateIds()

    def batches(self, files: Sequence[InputFile], until: int | None = None) -> Iterator[Events]:
        """Events of the files, one after the other.

        Raises CorruptFile, naming the file, if one is no array of hftbacktest's events, or ends before its end.
        """
        yield from batched(until_stamp(self._messages(files), until), self.account, self.instrument.synthetic)

    def newest_ts(self, files: Sequence[InputFile]) -> int:
        """Newest ``local_ts`` of the files, ns UTC; 0 if there is no row."""
        return max((int(rows["local_ts"].max()) for file in files for rows in read_rows(file)), default=0)

    def state(self) -> DecoderState:
        """The newest update id that was made up."""
        return {"id": self._ids.newest}

    def restore(self, state: DecoderState) -> None:
        """Continue where ``state`` was taken."""
        self._ids.newest = int(cast(int, state["id"]))

    def _messages(self, files: Sequence[InputFile]) -> Iterator[Events]:
        clock, held = NeverFalling(self.account), empty_events(0)
        for file in files:
            number = 1
            for rows in read_rows(file):
                events = self._events(file.name, number, rows, clock)
                number += rows.size
                held = np.concatenate([held, events])
                last = int(np.flatnonzero(message_starts(held))[-1]) if held.size else 0
                if last:
                    yield complete(held[:last], self._ids)
                    held = held[last:]
        if held.size:
            yield complete(held, self._ids)

    def _events(self, file: str, number: int, rows: Rows, clock: NeverFalling) -> Events:
        local, known = (rows["ev"] & np.uint64(LOCAL_EVENT)) > 0, kinds_of(rows) > 0
        counts, instrument = self.account.counts, self.instrument
        counts["venue_only"] += int((~local).sum())
        counts["other_events"] += int((local & ~known).sum())
        self.account.lines += int(local.sum())
        ticks, on_tick = steps(rows["px"], instrument.tick_size)
        lots, on_lot = steps(rows["qty"], instrument.lot_size)
        clears = (rows["ev"] & np.uint64(0xFF)) == DEPTH_CLEAR
        on_grid = clears | (on_tick & on_lot & (ticks > 0))
        timed, taken = rows["local_ts"] > 0, local & known
        for place in np.flatnonzero(taken & ~(on_grid & timed)).tolist():
            error = self._grid_error() if timed[place] else MalformedMessage("local_ts is not above 0")
            self.account.quarantine(file, number + place, error, str(rows[place]).encode())
        good = taken & on_grid & timed
        events = event_of(rows[good], ticks[good], lots[good])
        events["ingest_ts"] = clock.raised(rows["local_ts"][good])
        return events

    def _grid_error(self) -> OffGrid:
        instrument = self.instrument
        return OffGrid(f"px must be a multiple of {instrument.tick_size} above 0, qty one of {instrument.lot_size}")


def read_rows(file: InputFile) -> Iterator[Rows]:
    """The rows of a file's array, CHUNK at a time.

    Raises CorruptFile, naming the file, if it is no array of hftbacktest's events, or ends before its end.
    """
    with file.open() as stream:
        try:
            if stream.read(len(_ZIP)) == _ZIP:
                stream.seek(0)
                with zipfile.ZipFile(stream) as archive, archive.open(archive.namelist()[0]) as member:
                    yield from _array(file.name, cast(BinaryIO, member))
            else:
                stream.seek(0)
                yield from _array(file.name, stream)
        except (zipfile.BadZipFile, zlib.error, EOFError, IndexError) as error:
            raise CorruptFile(f"{file.name} cannot be read to its end: {error}") from error


def _array(name: str, stream: BinaryIO) -> Iterator[Rows]:
    count = _count(name, stream)
    while count:
        data = stream.read(min(count, CHUNK) * ROW.itemsize)
        if not data or len(data) % ROW.itemsize:
            raise CorruptFile(f"{name} ends {count} rows before its end")
        rows = np.frombuffer(data, ROW)
        count -= rows.size
        yield rows


def _count(name: str, stream: BinaryIO) -> int:
    """Rows of the array whose header comes next."""
    try:
        version = npy.read_magic(stream)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        [count], _, found = read_header(stream)
    except ValueError as error:
        raise CorruptFile(f"{name} holds no list of events: {error}") from error
    if found != ROW:
        raise DataError(f"{name} holds {found.names or found}, not hftbacktest's {ROW.names}")
    return int(count)
