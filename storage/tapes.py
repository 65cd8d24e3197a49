"""Compiled tapes on disk: a folder of one array a column, written in one pass and a sort, and opened by mapping it.

A run over a mapped tape holds a few pages of it at a time, however long it is. ``manifest.json`` bears the size and
sha256 of every column, and is synced with them before the folder gets its name. Opening compares the sizes, so that a
torn tape is refused at no cost; hashing reads the tape once more, and is left to ``verify_tape``.
"""

import json
import os
import shutil
from collections.abc import Iterable
from io import BufferedWriter
from mmap import MADV_DONTNEED
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from backtest.columns import COLUMNS, Tape
from backtest.tape import TOUCH, CompiledTape, touches_of, venue_columns, what_matters
from market.book import new_book
from market.errors import BacktestError, CorruptFile
from market.events import EVENT, Events, venue_ts_after
from storage.files import file_sha256, replace_file, sync_folder

_MANIFEST: Final = "manifest.json"
_TOUCHES: Final = tuple(f"touch_{name}" for name in TOUCH)
_STAMPS: Final = "stamps"  # of the venue, while the tape is written
_CHUNK: Final = 1 << 20  # rows sorted into place at a time
_EARLIEST: Final = np.iinfo(np.int64).min
_DTYPES: Final = {name: np.dtype(np.int64) for name in (*_TOUCHES, _STAMPS)} | {
    name: np.dtype(EVENT[name]) for name in COLUMNS
}


def write_tape(batches: Iterable[Events], folder: Path) -> None:
    """Compile events in the order received into ``folder``, whole or not at all.

    Memory holds a batch, and 16 bytes an event for the sort. On disk before it has its name.
    Raises BacktestError if there are none, they were received out of order, or the folder is there.
    """
    if folder.exists():
        raise BacktestError(f"{folder} is there already")
    draft = folder.with_name(f"{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        _write_as_received(batches, draft)
        _sort_by_venue(draft)
        _seal(draft)
        draft.rename(folder)
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def open_tape(folder: Path) -> CompiledTape:
    """The tape of ``folder``, mapped.

    Raises CorruptFile if its manifest or a column is missing, or a column is of another size than was written.
    """
    for name, facts in _manifest(folder).items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != facts["bytes"]:
            found = f"{path.stat().st_size} bytes" if path.is_file() else "not there"
            raise CorruptFile(f"{name} of the compiled tape {folder} is {found}: {facts['bytes']} were written")
    venue, touches = _mapped(folder, COLUMNS), _mapped(folder, _TOUCHES)

    def release() -> None:
        for column in venue:
            column._mmap.madvise(MADV_DONTNEED)

    return CompiledTape(_plain(venue), _plain(touches), release)


def verify_tape(folder: Path) -> None:
    """Read a whole tape once. Raises CorruptFile if a byte is another than was written."""
    for name, facts in _manifest(folder).items():
        path = folder / name
        if not path.is_file() or file_sha256(path) != facts["sha256"]:
            raise CorruptFile(f"{name} of the compiled tape {folder} is not what was written: its sha256 differs")


def _seal(draft: Path) -> None:
    """Write the manifest, and make all of the folder survive a power cut."""
    columns = sorted(draft.glob("*.npy"))
    facts = {path.name: {"bytes": path.stat().st_size, "sha256": file_sha256(path)} for path in columns}
    for path in columns:
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
    replace_file(draft / _MANIFEST, json.dumps(facts, indent=1).encode())


def _manifest(folder: Path) -> dict[str, dict[str, Any]]:
    expected = {f"{name}.npy" for name in (*COLUMNS, *_TOUCHES)}
    try:
        facts = json.loads((folder / _MANIFEST).read_bytes())
        whole = set(facts) == expected and all(set(one) == {"bytes", "sha256"} for one in facts.values())
    except (OSError, ValueError, TypeError) as error:
        raise CorruptFile(f"the compiled tape {folder} cannot be opened: its {_MANIFEST}: {error}") from error
    if not whole:
        raise CorruptFile(f"{_MANIFEST} of the compiled tape {folder} does not speak of its {len(expected)} columns")
    return dict(facts)


def _plain(columns: list[Any]) -> Tape:
    """The same memory as plain arrays, which kernels compile for once."""
    return tuple(np.ndarray(column.shape, column.dtype, column) for column in columns)


def _mapped(folder: Path, names: tuple[str, ...]) -> list[Any]:
    try:
        columns = [np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names]
    except (OSError, ValueError, EOFError) as error:
        raise CorruptFile(f"the compiled tape {folder} cannot be opened: {error}") from error
    if len({column.size for column in columns}) != 1:
        raise CorruptFile(f"columns of the compiled tape {folder} hold {[column.size for column in columns]} rows")
    return columns


def _write_as_received(batches: Iterable[Events], draft: Path) -> None:
    files = {name: (draft / f"{name}.raw").open("wb") for name in _DTYPES}
    try:
        count = _append_all(batches, files)
    finally:
        for file in files.values():
            file.close()
    if count == 0:
        raise BacktestError("a tape of no events cannot be compiled")


def _append_all(batches: Iterable[Events], files: dict[str, BufferedWriter]) -> int:
    book, count, snapshot, newest = new_book(), 0, _EARLIEST, 0
    for batch in batches:
        if (np.diff(batch["ingest_ts"], prepend=newest) < 0).any():
            raise BacktestError(f"the tape goes back in its ingest_ts after {newest}")
        newest = int(batch["ingest_ts"][-1]) if batch.size else newest
        events = what_matters(batch)
        if not events["kind"].size:
            continue
        matched, snapshot = venue_ts_after(events, snapshot)
        columns = [*venue_columns(events, matched), *touches_of(events, book), matched]
        for name, column in zip((*COLUMNS, *_TOUCHES, _STAMPS), columns, strict=True):
            files[name].write(column.tobytes())
        count += matched.size
    return count


def _sort_by_venue(draft: Path) -> None:
    order = np.argsort(np.fromfile(draft / f"{_STAMPS}.raw", np.int64), kind="stable")
    for name in COLUMNS:
        _write_column(draft, name, order)
    for name in _TOUCHES:
        np.save(draft / f"{name}.npy", np.fromfile(draft / f"{name}.raw", np.int64))
    for name in _DTYPES:
        (draft / f"{name}.raw").unlink()


def _write_column(draft: Path, name: str, order: NDArray[np.intp]) -> None:
    raw = np.memmap(draft / f"{name}.raw", _DTYPES[name], "r")
    column = np.lib.format.open_memmap(draft / f"{name}.npy", "w+", _DTYPES[name], order.shape)
    for start in range(0, order.size, _CHUNK):
        column[start : start + _CHUNK] = raw[order[start : start + _CHUNK]]
    column.flush()
