"""A partition in the making: rows in any number of batches, then one commit; until then nothing of it can be seen."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from market.errors import LakeError
from storage.files import file_sha256, temporary_beside
from storage.locations import Location
from storage.manifest import Manifest, Place, dump_manifest
from storage.parquet import RowsFile

TIME_COLUMNS: Final = ("ingest_ts", "row_ts")  # whichever a table has gives its time range

State = Mapping[str, NDArray[Any]]


class PartitionWriter:
    """Takes the rows of one partition in constant memory; ``Lake.writing`` hands it out."""

    def __init__(self, location: Location, place: Place, folder: Path, schema_sha: str) -> None:
        self._location, self._place, self._schema_sha = location, place, schema_sha
        self._data, self._state = temporary_beside(folder / "data.parquet"), temporary_beside(folder / "state.npz")
        self._rows = RowsFile(self._data)
        self._schema: pl.Schema | None = None
        self._height = 0
        self._span: tuple[int, int] | None = None
        self._open = True

    def append(self, frame: pl.DataFrame) -> None:
        """Take more rows, of the same columns each time; no rows at all still tell the columns.

        Raises LakeError if the columns differ, after a commit, or if the disk does not take them.
        """
        if self._schema is not None and frame.schema != self._schema:
            raise LakeError(f"{self._place.name} was begun with {dict(self._schema)}, not {dict(frame.schema)}")
        with self._step():
            self._schema = frame.schema
            self._height += frame.height
            self._span = _widened(self._span, frame)
            self._rows.append(frame)
        self._open = True

    def commit(self, state: State | None = None, metadata: Mapping[str, Any] | None = None) -> Manifest:
        """Publish the partition, unchecked, in place of whatever it held.

        Raises LakeError if nothing was appended, twice, or if the disk does not take it; the old one then stays.
        """
        with self._step():
            data, sha256 = self._finish()
            files = {data: self._data}
            state_file, state_sha = self._store_state(state)
            if state_file is not None:
                files[state_file] = self._state
            first_ts, last_ts = self._span or (0, 0)
            manifest = Manifest(
                *self._place,
                file=data,
                sha256=sha256,
                bytes=self._data.stat().st_size,
                rows=self._height,
                first_ts=first_ts,
                last_ts=last_ts,
                schema_sha=self._schema_sha,
                state_file=state_file,
                state_sha256=state_sha,
                metadata=dict(metadata or {}),
                columns=self._columns,
            )
            self._location.commit(self._place, files, dump_manifest(manifest))
        return manifest

    def commit_compacted(self, old: Manifest) -> Manifest:
        """Publish the partition as the same rows as ``old``, with its verdict, facts and state. Raises LakeError."""
        with self._step():
            data, sha256 = self._finish()
            manifest = replace(
                old,
                file=data,
                sha256=sha256,
                bytes=self._data.stat().st_size,
                columns=self._columns,
                original_sha256=None if sha256 == old.rows_sha256 else old.rows_sha256,
            )
            self._location.commit(self._place, {data: self._data}, dump_manifest(manifest))
        return manifest

    def abandon(self) -> None:
        """Remove what was written and not committed."""
        self._rows.abandon()
        self._state.unlink(missing_ok=True)

    @property
    def _columns(self) -> dict[str, str]:
        return {name: str(dtype) for name, dtype in (self._schema or {}).items()}

    @contextmanager
    def _step(self) -> Iterator[None]:
        """One step of writing; a failed one, and a commit, are the last."""
        if not self._open:
            raise LakeError(f"{self._place.name} is committed, or could not be written; begin it again")
        self._open = False
        with writing_errors(self._place):
            yield

    def _finish(self) -> tuple[str, str]:
        if self._schema is None:
            raise LakeError(f"{self._place.name} cannot be committed: nothing was appended, not even an empty table")
        self._rows.finish()
        sha256 = file_sha256(self._data)
        return f"data-{sha256[:16]}.parquet", sha256

    def _store_state(self, state: State | None) -> tuple[str | None, str | None]:
        if state is None:
            return None, None
        with self._state.open("wb") as stream:
            np.savez_compressed(stream, **dict(state))  # type: ignore[arg-type]
        sha256 = file_sha256(self._state)
        return f"state-{sha256[:16]}.npz", sha256


@contextmanager
def writing_errors(place: Place) -> Iterator[None]:
    """Turns what the disk or the file format says into one line. Raises LakeError."""
    try:
        yield
    except (OSError, pa.ArrowException, pl.exceptions.PolarsError) as error:
        code = getattr(error, "errno", None)
        reason = os.strerror(code) if code else str(error).splitlines()[0]
        raise LakeError(f"cannot write {place.name}: {reason}") from error


def _widened(span: tuple[int, int] | None, frame: pl.DataFrame) -> tuple[int, int] | None:
    column = next((name for name in TIME_COLUMNS if name in frame.columns), None)
    if column is None or frame.is_empty():
        return span
    first, last = frame.select(pl.col(column).min().alias("first"), pl.col(column).max().alias("last")).row(0)
    return (int(first), int(last)) if span is None else (min(span[0], int(first)), max(span[1], int(last)))
