"""Parquet files as the lake writes them: rows of any batching in, row groups of one size out, in constant memory.

Each column gets the encoding and codec that its own first rows ask for (``choose``). The same rows always make the same
bytes, however they were cut into batches.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from market.errors import LakeError

ROW_GROUP_ROWS: Final = 131_072
SAMPLE_ROWS: Final = 65_536  # of the first row group; what the encodings are chosen by
ZSTD_LEVEL: Final = 3
LAYOUT: Final = {"tickloop_layout": "1"}  # in each file's footer; another number: made by other rules than today's
UNPACKED_WEIGHT: Final = 0.02  # of an unpacked byte, which a reader has to move, beside one on disk
CODEC_WEIGHTS: Final = {"zstd": 1.4, "lz4": 1.0}  # of a byte on disk, by the time it takes to unpack
_FLOATS: Final = ("FLOAT", "DOUBLE")


class Encoding(NamedTuple):
    """How the values of one column are laid out and compressed."""

    dictionary: bool  # numbers into a list of the values that occur; else the values themselves
    codec: str  # "zstd" or "lz4"


PLAIN: Final = Encoding(False, "zstd")
CANDIDATES: Final = (PLAIN, Encoding(True, "zstd"), Encoding(True, "lz4"))


class RowsFile:
    """One Parquet file in the making; it is whole only after ``finish``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: list[pl.DataFrame] = []
        self._waiting_rows = 0
        self._sink: IO[bytes] | None = None
        self._writer: Any = None
        self._schema: Any = None
        self._encodings: dict[str, Encoding] = {}

    def append(self, frame: pl.DataFrame) -> None:
        """Take rows; they reach the disk a row group at a time. Raises OSError if it does not take them."""
        self._waiting.append(frame)
        self._waiting_rows += frame.height
        if self._waiting_rows < ROW_GROUP_ROWS:
            return
        rows = pl.concat(self._waiting, rechunk=False)
        whole = rows.height - rows.height % ROW_GROUP_ROWS
        for start in range(0, whole, ROW_GROUP_ROWS):
            self._write(rows.slice(start, ROW_GROUP_ROWS))
        self._waiting, self._waiting_rows = [rows.slice(whole)], rows.height - whole

    def finish(self) -> None:
        """Write the rows that are left, and the footer. Raises OSError if the disk does not take them."""
        rows = pl.concat(self._waiting, rechunk=False)
        if rows.height or self._writer is None:
            self._write(rows)
        self._close()

    def abandon(self) -> None:
        """Close and remove the unfinished file."""
        with suppress(OSError, ValueError):
            self._close()
        self._path.unlink(missing_ok=True)

    def _write(self, rows: pl.DataFrame) -> None:
        table = rows.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
        if self._writer is None:
            self._open(_required_where_full(table), choose(table.slice(0, SAMPLE_ROWS)))
        elif _breaks_promise(table, self._schema):
            self._begin_again()
        self._writer.write_table(pa.Table.from_arrays(table.columns, schema=self._schema), ROW_GROUP_ROWS)

    def _open(self, schema: Any, encodings: dict[str, Encoding]) -> None:
        self._schema, self._encodings = schema, encodings
        self._sink = self._path.open("wb")
        self._writer = pq.ParquetWriter(self._sink, schema, **_writer_options(encodings))

    def _begin_again(self) -> None:
        """The same rows once more, with room for nulls in every column: the first row group had promised none."""
        self._close()
        earlier = self._path.with_name(f"{self._path.name}.tmp")
        self._path.replace(earlier)
        try:
            with pq.ParquetFile(earlier) as file:
                self._open(pa.schema([field.with_nullable(True) for field in self._schema]), self._encodings)
                for group in range(file.num_row_groups):
                    table = file.read_row_group(group)
                    self._writer.write_table(pa.Table.from_arrays(table.columns, schema=self._schema), ROW_GROUP_ROWS)
        finally:
            earlier.unlink()

    def _close(self) -> None:
        writer, sink, self._writer, self._sink = self._writer, self._sink, None, None
        try:
            if writer is not None:
                writer.add_key_value_metadata(LAYOUT)
                writer.close()
        finally:
            if writer is not None:
                writer.is_open = False  # it would write its footer again when it is collected
            if sink is not None:
                sink.close()


def choose(sample: Any) -> dict[str, Encoding]:
    """The encoding of each column of an Arrow table by its path: the cheapest to store and to read.

    Floats are never put into a dictionary: it would make one value of all that compare equal.
    """
    best: dict[str, tuple[float, Encoding]] = {}
    for encoding in CANDIDATES:
        for path, kind, cost in _measure(sample, encoding):
            allowed = encoding == PLAIN or kind not in _FLOATS
            if allowed and (path not in best or cost < best[path][0]):
                best[path] = cost, encoding
    return {path: encoding for path, (_, encoding) in best.items()}


def is_tuned(path: Path) -> bool:
    """Whether a file was written by ``RowsFile`` under today's rules. Raises LakeError if it is no Parquet file."""
    stamps = _metadata(path).metadata or {}
    return all(stamps.get(key.encode()) == value.encode() for key, value in LAYOUT.items())


def row_group_bounds(path: Path) -> list[tuple[int, int]]:
    """First row and number of rows of each row group of a file. Raises LakeError if it is no Parquet file."""
    metadata = _metadata(path)
    heights = [metadata.row_group(place).num_rows for place in range(metadata.num_row_groups)]
    return list(zip(accumulate(heights, initial=0), heights, strict=False))


def read_row_groups(paths: Sequence[Path], columns: Sequence[str] | None) -> Iterator[pl.DataFrame]:
    """The rows of some files in order, one row group at a time."""
    for path in paths:
        rows = pl.scan_parquet(path)
        chosen = rows if columns is None else rows.select(columns)
        for start, height in row_group_bounds(path):
            yield chosen.slice(start, height).collect()


def _measure(sample: Any, encoding: Encoding) -> Iterator[tuple[str, str, float]]:
    """Path, physical type and cost, in bytes of lz4, of each column under one encoding."""
    buffer = io.BytesIO()
    level = ZSTD_LEVEL if encoding.codec == "zstd" else None
    pq.write_table(
        sample, buffer, compression=encoding.codec, compression_level=level, use_dictionary=encoding.dictionary
    )
    metadata = pq.read_metadata(buffer)
    for place in range(metadata.num_columns if metadata.num_row_groups else 0):
        column = metadata.row_group(0).column(place)
        stored = CODEC_WEIGHTS[encoding.codec] * column.total_compressed_size
        yield column.path_in_schema, column.physical_type, stored + UNPACKED_WEIGHT * column.total_uncompressed_size


def _writer_options(encodings: dict[str, Encoding]) -> dict[str, Any]:
    return {
        "use_dictionary": [path for path, chosen in encodings.items() if chosen.dictionary],
        "compression": {path: chosen.codec for path, chosen in encodings.items()},
        "compression_level": {path: ZSTD_LEVEL for path, chosen in encodings.items() if chosen.codec == "zstd"},
    }


def _metadata(path: Path) -> Any:
    try:
        return pq.read_metadata(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise LakeError(f"{path} is no Parquet file: {error}") from error


def _required_where_full(table: Any) -> Any:
    """The schema with the columns that hold no null marked as such: they are read faster."""
    full = [not column.null_count and not pa.types.is_nested(column.type) for column in table.columns]
    fields = zip(table.schema, full, strict=True)
    return pa.schema([field.with_nullable(not required) for field, required in fields])


def _breaks_promise(table: Any, schema: Any) -> bool:
    return any(column.null_count and not schema.field(place).nullable for place, column in enumerate(table.columns))
