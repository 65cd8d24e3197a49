"""A partition in the making: rows in any number of batches, then one commit; until then nothing of it can be seen."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
        self._committed = False

    def append(self, frame: pl.DataFrame) -> None:
        """Take more rows, of the same columns each time; no rows at all still tell the columns.

        Raises LakeError if the columns differ, after a commit, or if the disk does not take them.
        """
        self._require_open()
        if self._schema is not None and frame.schema != self._schema:
            raise LakeError(f"{self._place.name} was begun with {dict(self._schema)}, not {dict(frame.schema)}")
        self._schema = frame.schema
        self._height += frame.height
        self._span = _widened(self._span, frame)
        with writing_errors(self._place):
            self._rows.append(frame)

    def commit(
        self,
        state: State | None = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        verdict: Mapping[str, Any] | None = None,
    ) -> Manifest:
        """Publish the partition, unchecked, in place of whatever it held.

        verdict : ``verdict`` and ``checks`` of a manifest whose rows these are, to be kept
        Raises LakeError if nothing was appended, twice, or if the disk does not take it; the old one then stays.
        """
        self._require_open()
        if self._schema is None:
            raise LakeError(f"{self._place.name} cannot be committed: nothing was appended, not even an empty table")
        with writing_errors(self._place):
            self._rows.finish()
            files, kinds = {}, {}
            for kind, path, suffix in self._finished(state):
                kinds[kind] = file_sha256(path)
                files[f"{kind}-{kinds[kind][:16]}{suffix}"] = path
            manifest = self._manifest(dict(zip(kinds, files, strict=True)), kinds, metadata, verdict)
            self._location.commit(self._place, files, dump_manifest(manifest))
        self._committed = True
        return manifest

    def abandon(self) -> None:
        """Remove what was written and not committed."""
        self._rows.abandon()
        self._state.unlink(missing_ok=True)

    def _require_open(self) -> None:
        if self._committed:
            raise LakeError(f"{self._place.name} is committed; begin it again to write to it")

    def _finished(self, state: State | None) -> Iterator[tuple[str, Path, str]]:
        yield "data", self._data, ".parquet"
        if state is not None:
            with self._state.open("wb") as stream:
                np.savez_compressed(stream, **dict(state))  # type: ignore[arg-type]
            yield "state", self._state, ".npz"

    def _manifest(
        self,
        names: Mapping[str, str],
        shas: Mapping[str, str],
        metadata: Mapping[str, Any] | None,
        verdict: Mapping[str, Any] | None,
    ) -> Manifest:
        first_ts, last_ts = self._span or (0, 0)
        return Manifest(
            *self._place,
            file=names["data"],
            sha256=shas["data"],
            bytes=self._data.stat().st_size,
            rows=self._height,
            first_ts=first_ts,
            last_ts=last_ts,
            schema_sha=self._schema_sha,
            state_file=names.get("state"),
            state_sha256=shas.get("state"),
            metadata=dict(metadata or {}),
            columns={name: str(dtype) for name, dtype in (self._schema or {}).items()},
            **(verdict or {}),
        )


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
