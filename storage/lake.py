"""The lake: one Parquet file per dataset, symbol and day (or slice), with a manifest that says what it is.

A partition is a folder. Its data files bear their own hash in their names, and replacing ``manifest.json``, which names
them, is the one act that commits a write: a kill, a full disk or a second writer leaves the partition as it was.
Read by every asset; only the assets write.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from market.errors import LakeError
from storage.files import file_sha256, locked, publish, replace_file, temporary_beside

UNCHECKED: Final = "unchecked"
PASSED: Final = "passed"
FAILED: Final = "failed"
TIME_COLUMNS: Final = ("ingest_ts", "row_ts")  # whichever a frame has gives its time range
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")

State = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a partition holds, and whether it may be used."""

    dataset: str
    symbol: str
    key: str  # UTC date, or a slice
    file: str
    sha256: str
    bytes: int
    rows: int
    first_ts: int  # ns UTC; 0 where the partition has no rows or no time column
    last_ts: int
    schema_sha: str
    state_file: str | None  # closing state, from which the day after goes on
    state_sha256: str | None
    verdict: str = UNCHECKED
    checks: dict[str, bool] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """dataset/symbol/key, as messages and pages print it."""
        return f"{self.dataset}/{self.symbol}/{self.key}"


class Lake:
    """Partitions under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._whole: dict[Path, tuple[int, int, str]] = {}  # size, mtime and sha of files hashed before

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
        """Publish a partition, unchecked, in place of whatever it held.

        Raises LakeError if another process is writing it, or if the disk does not take it; the old one then stays.
        """
        with self._writing(dataset, symbol, key) as folder:
            data, data_sha = _store_frame(folder, frame)
            state_file, state_sha = _store_state(folder, state)
            first_ts, last_ts = _time_range(frame)
            manifest = Manifest(
                dataset=dataset,
                symbol=symbol,
                key=key,
                file=data,
                sha256=data_sha,
                bytes=(folder / data).stat().st_size,
                rows=frame.height,
                first_ts=first_ts,
                last_ts=last_ts,
                schema_sha=schema_sha,
                state_file=state_file,
                state_sha256=state_sha,
                metadata=dict(metadata or {}),
            )
            _commit(folder, manifest)
        return manifest

    def set_verdict(self, dataset: str, symbol: str, key: str, passed: bool, checks: Mapping[str, bool]) -> Manifest:
        """Write what the checks said into the manifest; only a passed partition can be scanned."""
        with self._writing(dataset, symbol, key) as folder:
            verdict = PASSED if passed else FAILED
            manifest = replace(self.manifest(dataset, symbol, key), verdict=verdict, checks=dict(checks))
            _commit(folder, manifest)
        return manifest

    def manifest(self, dataset: str, symbol: str, key: str) -> Manifest:
        """A partition's manifest. Raises LakeError if there is no such partition."""
        path = self._folder(dataset, symbol, key) / "manifest.json"
        try:
            return Manifest(**json.loads(path.read_text()))
        except FileNotFoundError as error:
            raise LakeError(f"the lake holds no partition {dataset}/{symbol}/{key}") from error
        except (ValueError, TypeError) as error:
            raise LakeError(f"the manifest of {dataset}/{symbol}/{key} cannot be read: {error}") from error

    def holds(self, dataset: str, symbol: str, key: str) -> bool:
        """Whether a partition was ever committed, whatever its verdict."""
        return (self._folder(dataset, symbol, key) / "manifest.json").exists()

    def intact(self, dataset: str, symbol: str, key: str) -> bool:
        """Whether a partition is there and its rows and state have their promised hashes, whatever its verdict."""
        try:
            self._require_whole(self.manifest(dataset, symbol, key))
        except LakeError:
            return False
        return True

    def dates(self, dataset: str, symbol: str) -> list[str]:
        """Keys of the committed partitions of a symbol, in order."""
        return sorted(path.parent.name for path in self._folder(dataset, symbol).glob("*/manifest.json"))

    def scan(
        self, dataset: str, symbol: str, dates: Sequence[str] | None = None, *, unchecked: bool = False
    ) -> pl.LazyFrame:
        """The rows of some partitions (None: of all), lazily, in the order of ``dates``.

        unchecked : also take partitions whose checks have not run yet (the checks themselves must); a failed one never.
        Raises LakeError if a partition is missing, torn, refused by its checks, or of another schema than its fellows.
        """
        keys = self.dates(dataset, symbol) if dates is None else list(dates)
        if not keys:
            raise LakeError(f"the lake holds no partition of {dataset}/{symbol}")
        manifests = [self.manifest(dataset, symbol, key) for key in keys]
        _require_one_schema(manifests)
        return pl.scan_parquet([self._usable_file(manifest, unchecked) for manifest in manifests])

    def state(self, dataset: str, symbol: str, key: str) -> dict[str, NDArray[Any]] | None:
        """The closing state written with a partition, None if it had none. Raises LakeError as ``scan`` does."""
        manifest = self.manifest(dataset, symbol, key)
        if manifest.state_file is None or manifest.state_sha256 is None:
            return None
        _require_verdict(manifest, unchecked=False)
        path = self._whole_file(manifest, manifest.state_file, manifest.state_sha256)
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}

    def manifests(self) -> Iterator[Manifest]:
        """Every partition's manifest, in order of its path."""
        for path in sorted(self.root.glob("*/*/*/manifest.json")):
            yield self.manifest(*path.parent.parts[-3:])

    def verify(self) -> list[str]:
        """One line for each partition whose bytes are not what its manifest promises; empty when all is well."""
        return [fault for manifest in self.manifests() if (fault := self._fault(manifest))]

    def sweep(self) -> int:
        """Remove what killed writers left behind; returns how many files that were."""
        return sum(self._sweep_folder(path) for path in sorted(self.root.glob("*/*/*")) if path.is_dir())

    def _sweep_folder(self, folder: Path) -> int:
        try:
            with locked(folder / ".lock", busy=LakeError("busy")):
                return _sweep(folder)
        except LakeError:
            return 0

    def _fault(self, manifest: Manifest) -> str | None:
        self._whole.clear()
        try:
            self._require_whole(manifest)
        except LakeError as error:
            return str(error)
        return None

    def _require_whole(self, manifest: Manifest) -> None:
        self._whole_file(manifest, manifest.file, manifest.sha256)
        if manifest.state_file is not None and manifest.state_sha256 is not None:
            self._whole_file(manifest, manifest.state_file, manifest.state_sha256)

    def _folder(self, *names: str) -> Path:
        for name in names:
            if not _NAME.fullmatch(name):
                raise LakeError(f"{name!r} cannot name a folder of the lake: only letters, digits, _ . and - may")
        return self.root.joinpath(*names)

    @contextmanager
    def _writing(self, dataset: str, symbol: str, key: str) -> Iterator[Path]:
        folder = self._folder(dataset, symbol, key)
        name = f"{dataset}/{symbol}/{key}"
        try:
            with locked(folder / ".lock", busy=LakeError(f"{name} is being written by another process")):
                try:
                    yield folder
                finally:
                    _sweep(folder)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise LakeError(f"cannot write {name}: {_reason(error)}") from error

    def _usable_file(self, manifest: Manifest, unchecked: bool) -> Path:
        _require_verdict(manifest, unchecked)
        return self._whole_file(manifest, manifest.file, manifest.sha256)

    def _whole_file(self, manifest: Manifest, file: str, sha256: str) -> Path:
        path = self._folder(manifest.dataset, manifest.symbol, manifest.key) / file
        try:
            stat = path.stat()
        except FileNotFoundError as error:
            raise LakeError(f"{manifest.name} is torn: {file} is missing") from error
        known = self._whole.get(path)
        if known is None or known[:2] != (stat.st_size, stat.st_mtime_ns):
            known = self._whole[path] = (stat.st_size, stat.st_mtime_ns, file_sha256(path))
        if known[2] != sha256:
            raise LakeError(f"{manifest.name} is torn: {file} has sha256 {known[2][:12]}, promised {sha256[:12]}")
        return path


def _store_frame(folder: Path, frame: pl.DataFrame) -> tuple[str, str]:
    temporary = temporary_beside(folder / "data.parquet")
    frame.write_parquet(temporary, compression="zstd")
    return _publish_hashed(temporary, "data", ".parquet")


def _store_state(folder: Path, state: State | None) -> tuple[str | None, str | None]:
    if state is None:
        return None, None
    temporary = temporary_beside(folder / "state.npz")
    with temporary.open("wb") as stream:
        np.savez_compressed(stream, **dict(state))  # type: ignore[arg-type]
    return _publish_hashed(temporary, "state", ".npz")


def _publish_hashed(temporary: Path, stem: str, suffix: str) -> tuple[str, str]:
    sha256 = file_sha256(temporary)
    path = temporary.with_name(f"{stem}-{sha256[:16]}{suffix}")
    publish(temporary, path)
    return path.name, sha256


def _commit(folder: Path, manifest: Manifest) -> None:
    replace_file(folder / "manifest.json", json.dumps(asdict(manifest), indent=1, sort_keys=True).encode())


def _sweep(folder: Path) -> int:
    """Drop files that the manifest in force does not name; the caller holds the lock."""
    path = folder / "manifest.json"
    kept = {"manifest.json", ".lock"}
    if path.exists():
        content = json.loads(path.read_text())
        kept |= {content["file"], content["state_file"]}
    stale = [entry for entry in folder.iterdir() if entry.name not in kept]
    for entry in stale:
        entry.unlink(missing_ok=True)
    return len(stale)


def _require_verdict(manifest: Manifest, unchecked: bool) -> None:
    if manifest.verdict == PASSED or (unchecked and manifest.verdict == UNCHECKED):
        return
    failed = ", ".join(name for name, passed in manifest.checks.items() if not passed)
    which = f" ({failed})" if failed else ""
    raise LakeError(f"{manifest.name} may not be used: its checks are {manifest.verdict}{which}")


def _require_one_schema(manifests: Sequence[Manifest]) -> None:
    first = manifests[0]
    for manifest in manifests:
        if manifest.schema_sha != first.schema_sha:
            raise LakeError(
                f"{manifest.name} has schema {manifest.schema_sha[:12]}, "
                f"{first.name} has {first.schema_sha[:12]}: build them again"
            )


def _time_range(frame: pl.DataFrame) -> tuple[int, int]:
    column = next((name for name in TIME_COLUMNS if name in frame.columns), None)
    if column is None or frame.is_empty():
        return 0, 0
    first, last = frame.select(pl.col(column).min().alias("first"), pl.col(column).max().alias("last")).row(0)
    return int(first), int(last)


def _reason(error: Exception) -> str:
    code = getattr(error, "errno", None)
    return os.strerror(code) if code else str(error).splitlines()[0]
