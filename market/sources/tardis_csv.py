"""Tardis' CSV files, some thousand lines at a time: columns as arrays, bad lines quarantined one by one."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv

from market.errors import DataError, MalformedMessage, OffGrid
from market.sources.columnar import Ints, Mask
from market.sources.importing import Account, InputFile

BLOCK: Final = 1 << 20  # bytes read at a time
NAMED: Final = pa.dictionary(pa.int32(), pa.string())  # a column of few different words
_BLANK: Final = (b"\n", b"\r\n")
_LATEST_US: Final = (2**63 - 1) // 1_000
_DATA_TYPE: Final = re.compile(
    r"incremental_book_L2|book_snapshot_\d+|trades|derivative_ticker|liquidations|quotes|book_ticker|options_chain"
)


def data_type_of(name: str) -> str:
    """Tardis' word for what a file holds, from its name: ``binance-futures_trades_2024-08-08_BTCUSDT.csv.gz``.

    Raises DataError if the name holds none.
    """
    found: list[str] = _DATA_TYPE.findall(name)
    if not found:
        raise DataError(f"{name} does not name its data type, such as trades or incremental_book_L2")
    return found[-1]


class Rows:
    """Rows of one block, as columns; refusing some takes them out and puts their lines into quarantine."""

    def __init__(self, file: str, first: int, block: bytes, table: pa.Table) -> None:
        self._file, self._first, self._block = file, first, block
        self._table = table
        self._places = np.arange(table.num_rows)

    def __len__(self) -> int:
        return int(self._places.size)

    def words(self, name: str, *allowed: str) -> tuple[Ints, Mask]:
        """Place of each row's word among those that are allowed, in any case; and whether it is among them."""
        column = self._table[name].combine_chunks()
        known = [word.lower() if word else "" for word in column.dictionary.to_pylist()]
        places = np.array([allowed.index(word) if word in allowed else -1 for word in known] + [-1], np.int64)
        found = places[column.indices.fill_null(len(known)).to_numpy(zero_copy_only=False)]
        return found, found >= 0

    def column(self, name: str, missing: Any) -> NDArray[Any]:
        """The numbers or flags of a column, ``missing`` where a field is empty."""
        return np.asarray(pc.fill_null(self._table[name], missing).combine_chunks().to_numpy(zero_copy_only=False))

    def has(self, name: str) -> Mask:
        """Where a column's field is not empty."""
        return np.asarray(pc.is_valid(self._table[name]).combine_chunks().to_numpy(zero_copy_only=False))

    def stamps(self, name: str) -> tuple[Ints, Mask]:
        """Nanoseconds of a column of microseconds, and whether they are a time that int64 holds."""
        stamps = self.column(name, 0)
        fits = (stamps > 0) & (stamps <= _LATEST_US)
        return np.where(fits, stamps, 0) * 1_000, fits

    def refuse(self, bad: Mask, error: MalformedMessage | OffGrid, account: Account) -> None:
        """Quarantine the rows where ``bad`` holds, and go on without them."""
        if not bad.any():
            return
        lines = self._block.split(b"\n")
        for place in self._places[bad].tolist():
            account.quarantine(self._file, self._first + place, error, lines[place])
        kept = np.flatnonzero(~bad)
        self._places, self._table = self._places[kept], self._table.take(kept)


def read_rows(file: InputFile, types: Mapping[str, pa.DataType], account: Account) -> Iterator[Rows]:
    """The rows of a file that hold a value of the right type in every one of the columns.

    types : of the columns that are read; others are passed over
    Raises DataError if the header lacks one of them.
    """
    with file.open() as stream:
        header = stream.readline().decode(errors="replace").strip().split(",")
        missing = [name for name in types if name not in header]
        if missing:
            raise DataError(f"{file.name}: line 1: the header lacks {', '.join(missing)}; it has {', '.join(header)}")
        number = 2
        for block in _blocks(stream):
            for rows in _read_block(file.name, number, block, header, types, account):
                account.lines += len(rows)
                yield rows
            number += block.count(b"\n")


def header_of(file: InputFile) -> list[str]:
    """Names of a file's columns."""
    with file.open() as stream:
        return stream.readline().decode(errors="replace").strip().split(",")


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    while block := stream.read(BLOCK):
        yield block if block.endswith(b"\n") else block + stream.readline()


def _read_block(
    file: str, number: int, block: bytes, header: list[str], types: Mapping[str, pa.DataType], account: Account
) -> Iterator[Rows]:
    table = _table(block, block.count(b"\n") + (not block.endswith(b"\n")), header, types)
    if not isinstance(table, str):
        yield Rows(file, number, block, table)
        return
    lines = block.splitlines(keepends=True) if b"\r" not in block else re.findall(rb"[^\n]*\n|[^\n]+", block)
    if len(lines) > 1:
        middle = len(lines) // 2
        for start, part in ((0, lines[:middle]), (middle, lines[middle:])):
            yield from _read_block(file, number + start, b"".join(part), header, types, account)
    elif block.strip():
        account.lines += 1
        account.quarantine(file, number, MalformedMessage(table), block)


def _table(block: bytes, lines: int, header: list[str], types: Mapping[str, pa.DataType]) -> pa.Table | str:
    """The block as a table, a row for each line; the reason, where that cannot be."""
    if block.startswith(_BLANK) or any(b"\n" + blank in block for blank in _BLANK):
        return "a line is blank"
    try:
        table = csv.read_csv(
            pa.BufferReader(block),
            csv.ReadOptions(use_threads=False, block_size=max(len(block), 1), column_names=header),
            csv.ParseOptions(quote_char=False, ignore_empty_lines=False),
            csv.ConvertOptions(column_types=dict(types), include_columns=list(types)),
        )
    except pa.ArrowInvalid as error:
        return " ".join(str(error).split())
    return table if table.num_rows == lines else "the line is broken by a carriage return"
