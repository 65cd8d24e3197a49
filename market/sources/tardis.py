"""Tardis CSV: the files of a symbol, merged into one tape by the time at which Tardis received each message.

Formats: https://docs.tardis.dev/downloadable-csv-files/data-types. ``timestamp`` is the venue's clock,
``local_timestamp`` the recorder's, both in microseconds.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final, Protocol, cast

import pyarrow as pa

from market.errors import DataError
from market.events import LIQUIDATION, TRADE, Events
from market.instrument import Instrument
from market.sources.columnar import SurrogateIds, batched, merged, until_stamp
from market.sources.decoder import DecoderState
from market.sources.importing import Account, InputFile
from market.sources.tardis_book import BookSnapshots, IncrementalBook
from market.sources.tardis_csv import data_type_of, read_rows
from market.sources.tardis_trades import Prints, Tickers

# At equal stamps a trade comes before the book that it changed: whoever follows a queue must not see the quantity
# leave twice.
ORDER: Final = ("trades", "liquidations", "incremental_book_L2", "book_snapshot", "derivative_ticker")
_COUNTS: Final = (
    "snapshots",
    "gaps",  # lost connections, told by a snapshot that opens no day
    "snapshot_pieces",  # snapshot messages that continue the one before
    "before_snapshot",  # rows of a file that its first snapshot makes void
    "without_venue_time",
    "surrogate_trade_ids",
)
_DATE: Final = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})")


class _Reader(Protocol):
    def events(self, file: InputFile) -> Iterator[Events]: ...


class TardisImporter:
    """Importer of a symbol's Tardis files; see ``market.sources.importing.Importer``.

    Tardis drops the venue's update ids: a message's is the time of its arrival, made to rise strictly. So nothing can
    tell that a message is missing, other than a snapshot in mid-file.
    """

    def __init__(self, instrument: Instrument) -> None:
        self.instrument, self.account = instrument, Account()
        self.account.counts |= dict.fromkeys((*_COUNTS, *ORDER), 0) | {"waiting": 1}
        self._book_ids, self._trade_ids = SurrogateIds(), SurrogateIds()
        self._tickers = Tickers(instrument, self.account)

    def batches(self, files: Sequence[InputFile], until: int | None = None) -> Iterator[Events]:
        """Events of all files, merged; at equal stamps in the order of ORDER.

        Raises DataError if a data type is not one that is read, a file is there twice, or there are two kinds of book.
        """
        found = files_by_type(files)
        readers = self._readers()
        streams = [self._stream(name, readers[name], found[name]) for name in ORDER if name in found]
        yield from batched(until_stamp(merged(streams), until), self.account, self.instrument.synthetic)

    def newest_ts(self, files: Sequence[InputFile]) -> int:
        """Newest ``local_timestamp`` of the files, ns UTC; 0 if no line bears one."""
        types, aside = {"local_timestamp": pa.int64()}, Account()
        pieces = (rows.stamps("local_timestamp")[0] for file in files for rows in read_rows(file, types, aside))
        return max((int(stamps.max()) for stamps in pieces if stamps.size), default=0)

    def state(self) -> DecoderState:
        """The last surrogate ids, and the last numbers of the ticker."""
        return {
            "book_id": self._book_ids.newest,
            "trade_id": self._trade_ids.newest,
            "waiting": self.account.counts["waiting"],
            "next_funding_ts": self._tickers.next_funding_ts,
            **self._tickers.last,
        }

    def restore(self, state: DecoderState) -> None:
        """Continue where ``state`` was taken."""
        self._book_ids.newest = int(cast(int, state["book_id"]))
        self._trade_ids.newest = int(cast(int, state["trade_id"]))
        self.account.counts["waiting"] = int(cast(int, state["waiting"]))
        self._tickers.next_funding_ts = int(cast(int, state["next_funding_ts"]))
        self._tickers.last = {name: int(cast(int, state[name])) for name in self._tickers.last}

    def _readers(self) -> dict[str, _Reader]:
        parts = (self.instrument, self.account)
        return {
            "trades": Prints(TRADE, *parts, self._trade_ids),
            "liquidations": Prints(LIQUIDATION, *parts, self._trade_ids),
            "incremental_book_L2": IncrementalBook(*parts, self._book_ids),
            "book_snapshot": BookSnapshots(*parts, self._book_ids),
            "derivative_ticker": self._tickers,
        }

    def _stream(self, name: str, reader: _Reader, files: Sequence[InputFile]) -> Iterator[Events]:
        for file in files:
            for events in reader.events(file):
                self.account.counts[name] += events.size
                yield events


def files_by_type(files: Sequence[InputFile]) -> dict[str, list[InputFile]]:
    """Files by the data type that their names bear, snapshots of any depth as one.

    Raises DataError if a type is not one that is read, two files are of one type and day, or of two kinds of book.
    """
    found, seen = dict[str, list[InputFile]](), dict[tuple[str, str], InputFile]()
    for file in files:
        name = re.sub(r"_\d+$", "", data_type_of(file.name))
        if name not in ORDER:
            raise DataError(f"{file.name}: {name} is not read; what is: {', '.join(ORDER)}")
        dates = _DATE.findall(file.name)
        day = (name, "-".join(dates[-1]) if dates else file.name)
        if day in seen:
            raise DataError(
                f"{file.name} and {seen[day].name} are both {name} of {day[1]}; a day of a type is one file"
            )
        seen[day] = file
        found.setdefault(name, []).append(file)
    if {"incremental_book_L2", "book_snapshot"} <= set(found):
        raise DataError(f"{found['book_snapshot'][0].name}: the book is there twice, as incremental_book_L2 as well")
    return found
