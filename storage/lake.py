"""The lake: one Parquet file per dataset, symbol and day (or slice), with a manifest that says what it is.

A partition is whole, checked and of a known schema, or it is refused: a kill, a full disk or a second writer leaves it
as it was. Read by every asset; only the assets write.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from market.errors import LakeError
from storage.locations import Folder, Location
from storage.manifest import (
    FAILED,
    PASSED,
    UNCHECKED,
    Manifest,
    Place,
    dump_manifest,
    load_manifest,
    require_names,
    require_one_schema,
    require_verdict,
)
from storage.object_store import ObjectStore
from storage.parquet import read_row_groups
from storage.partition import PartitionWriter, State, writing_errors
from storage.progress import Told, untold

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

__all__ = ["FAILED", "PASSED", "UNCHECKED", "Lake", "Manifest", "PartitionWriter", "State"]


class Lake:
    """Partitions under one folder, or behind one fsspec URL."""

    def __init__(self, root: Path | str, cache: Path | None = None) -> None:
        """The lake at a folder or an fsspec URL; a URL needs ``cache``, a folder that reads and writes pass through.

        Raises LakeError if there is no such kind of URL, or no cache for it.
        """
        self.root = root
        self._location = _location(root, cache)

    def write(
        self,
        dataset: str,
        symbol: str,
        key: str,
        frame: pl.DataFrame,
        *,
        schema_sha: str,
        state: State | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Manifest:
        """Publish a partition, unchecked, in place of whatever it held. Raises LakeError as ``writing`` does."""
        with self.writing(dataset, symbol, key, schema_sha=schema_sha) as partition:
            partition.append(frame)
            return partition.commit(state, metadata)

    @contextmanager
    def writing(self, dataset: str, symbol: str, key: str, *, schema_sha: str) -> Iterator[PartitionWriter]:
        """A writer that takes a partition batch by batch; left without a commit, it leaves the old partition.

        Raises LakeError if another process is writing it, or if the disk does not take it; the old one then stays.
        """
        place = self._place(dataset, symbol, key)
        with self._exclusive(place) as folder:
            partition = PartitionWriter(self._location, place, folder, schema_sha)
            try:
                yield partition
            finally:
                partition.abandon()
                self._sweep(place)

    def set_verdict(self, dataset: str, symbol: str, key: str, passed: bool, checks: Mapping[str, bool]) -> Manifest:
        """Write what the checks said into the manifest; only a passed partition can be scanned."""
        place = self._place(dataset, symbol, key)
        with self._exclusive(place):
            verdict = PASSED if passed else FAILED
            manifest = replace(self.manifest(*place), verdict=verdict, checks=dict(checks))
            with writing_errors(place):
                self._location.commit(place, {}, dump_manifest(manifest))
        return manifest

    def manifest(self, dataset: str, symbol: str, key: str) -> Manifest:
        """A partition's manifest. Raises LakeError if there is no such partition."""
        place = self._place(dataset, symbol, key)
        content = self._location.manifest(place)
        if content is None:
            raise LakeError(f"the lake holds no partition {place.name}")
        return load_manifest(content, place)

    def holds(self, dataset: str, symbol: str, key: str) -> bool:
        """Whether a partition was ever committed, whatever its verdict."""
        return self._location.manifest(self._place(dataset, symbol, key)) is not None

    def intact(self, dataset: str, symbol: str, key: str) -> bool:
        """Whether a partition is there and its rows and state have their promised hashes, whatever its verdict."""
        try:
            manifest = self.manifest(dataset, symbol, key)
            for file, sha256 in manifest.files.items():
                self._location.fetch(manifest.place, file, sha256)
        except LakeError:
            return False
        return True

    def dates(self, dataset: str, symbol: str) -> list[str]:
        """Keys of the committed partitions of a symbol, in order."""
        require_names(dataset, symbol)
        return [place.key for place in self._location.committed(dataset, symbol)]

    def scan(
        self, dataset: str, symbol: str, dates: Sequence[str] | None = None, *, unchecked: bool = False
    ) -> pl.LazyFrame:
        """The rows of some partitions (None: of all), lazily, in the order of ``dates``.

        unchecked : also take partitions whose checks have not run yet (the checks themselves must); a failed one never.
        Raises LakeError if a partition is missing, torn, refused by its checks, or of another schema than its fellows.
        """
        return pl.scan_parquet(self._files(dataset, symbol, dates, unchecked))

    def batches(
        self,
        dataset: str,
        symbol: str,
        keys: Sequence[str] | None = None,
        *,
        columns: Sequence[str] | None = None,
        unchecked: bool = False,
    ) -> Iterator[pl.DataFrame]:
        """The rows of some partitions (None: of all), one row group at a time, in constant memory.

        Raises LakeError as ``scan`` does, before the first row.
        """
        return read_row_groups(self._files(dataset, symbol, keys, unchecked), columns)

    def relation(
        self,
        connection: "DuckDBPyConnection",
        dataset: str,
        symbol: str,
        keys: Sequence[str] | None = None,
        *,
        unchecked: bool = False,
    ) -> "DuckDBPyRelation":
        """The rows of some partitions (None: of all) as a DuckDB relation, read lazily. Raises LakeError likewise."""
        files = self._files(dataset, symbol, keys, unchecked)
        return connection.read_parquet([str(path) for path in files])

    def file(self, manifest: Manifest) -> Path:
        """A partition's Parquet file on this machine, whatever the verdict. Raises LakeError if it is torn."""
        return self._location.fetch(manifest.place, manifest.file, manifest.sha256)

    def state(self, dataset: str, symbol: str, key: str) -> dict[str, NDArray[Any]] | None:
        """The closing state written with a partition, None if it had none. Raises LakeError as ``scan`` does."""
        manifest = self.manifest(dataset, symbol, key)
        if manifest.state_file is None or manifest.state_sha256 is None:
            return None
        require_verdict(manifest, unchecked=False)
        path = self._location.fetch(manifest.place, manifest.state_file, manifest.state_sha256)
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}

    def places(self) -> list[Place]:
        """Where partitions were committed, readable or not, in order."""
        return self._location.committed()

    def manifests(self) -> tuple[list[Manifest], list[str]]:
        """The manifests of all partitions, in order of their places, and one line for each that cannot be read."""
        manifests, faults = list[Manifest](), list[str]()
        for place in self.places():
            try:
                manifests.append(self.manifest(*place))
            except LakeError as error:
                faults.append(str(error))
        return manifests, faults

    def verify(self, told: Told = untold) -> list[str]:
        """One line for each manifest that cannot be read and each file that is not what its manifest promises."""
        places = self.places()
        return [fault for place in told(places, len(places)) for fault in self._faults(place)]

    def sweep(self) -> int:
        """Remove what killed writers left behind; returns how many files that were.

        A partition whose manifest cannot be read is left as it is: what it names is not known.
        """
        return sum(self._sweep_idle(place) for place in self._location.touched())

    def _place(self, dataset: str, symbol: str, key: str) -> Place:
        require_names(dataset, symbol, key)
        return Place(dataset, symbol, key)

    @contextmanager
    def _exclusive(self, place: Place) -> Iterator[Path]:
        with ExitStack() as held:
            with writing_errors(place):
                folder = held.enter_context(self._location.writing(place))
            yield folder

    def _files(self, dataset: str, symbol: str, keys: Sequence[str] | None, unchecked: bool) -> list[Path]:
        chosen = self.dates(dataset, symbol) if keys is None else list(keys)
        if not chosen:
            raise LakeError(f"the lake holds no partition of {dataset}/{symbol}")
        manifests = [self.manifest(dataset, symbol, key) for key in chosen]
        require_one_schema(manifests)
        return [self._usable_file(manifest, unchecked) for manifest in manifests]

    def _usable_file(self, manifest: Manifest, unchecked: bool) -> Path:
        require_verdict(manifest, unchecked)
        return self.file(manifest)

    def _faults(self, place: Place) -> Iterator[str]:
        try:
            manifest = self.manifest(*place)
        except LakeError as error:
            yield str(error)
            return
        for file, promised in manifest.files.items():
            found = self._location.sha256(place, file)
            if found is None:
                yield f"{place.name} is torn: {file} is missing"
            elif found != promised:
                yield f"{place.name} is torn: {file} has sha256 {found[:12]}, promised {promised[:12]}"

    def _sweep_idle(self, place: Place) -> int:
        with ExitStack() as held:
            try:
                held.enter_context(self._location.writing(place))
            except LakeError:
                return 0
            return self._sweep(place)

    def _sweep(self, place: Place) -> int:
        """Drop files that the manifest in force does not name, none if nobody can read it; the caller holds the lock.

        Returns how many.
        """
        content = self._location.manifest(place)
        try:
            kept = set(load_manifest(content, place).files) if content is not None else set()
        except LakeError:
            return 0
        return self._location.sweep(place, kept)


def _location(root: Path | str, cache: Path | None) -> Location:
    if not isinstance(root, str) or "://" not in root:
        return Folder(Path(root))
    if cache is None:
        raise LakeError(f"a lake at {root} needs a folder for its cache")
    return ObjectStore(root, cache)
