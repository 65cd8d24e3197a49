"""Snapshots of a runner's state beside its journal: whole or absent, named by the journal position they stand for.

A name is ``<segment>@<offset>-<sha256 of the bytes>.state``; the content is an ``npz`` without pickle.
"""

import hashlib
import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from market.errors import JournalError
from storage.files import replace_file
from storage.journal import Position

SUFFIX: Final = ".state"
KEPT: Final = 2  # snapshots; older ones are removed
_NAME: Final = re.compile(r"(?P<segment>.+)@(?P<offset>\d{12})-(?P<sha>[0-9a-f]{64})\.state")
Arrays = dict[str, NDArray[Any]]


def write_snapshot(folder: Path, position: Position, arrays: Mapping[str, NDArray[Any]]) -> Path:
    """Write a state atomically, and remove all but the newest ``KEPT``; returns the file.

    Raises OSError if the disk does not take it; what was there stays.
    """
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **dict(arrays))
    content = buffer.getvalue()
    sha = hashlib.sha256(content).hexdigest()
    path = folder / f"{position.segment}@{position.offset:012d}-{sha}{SUFFIX}"
    replace_file(path, content)
    for stale in snapshots(folder)[KEPT:]:
        stale.unlink(missing_ok=True)
    return path


def snapshots(folder: Path) -> list[Path]:
    """Snapshots of a journal, the one of the newest position first."""
    return sorted(folder.glob(f"*{SUFFIX}"), reverse=True)


def position_of(path: Path) -> Position:
    """The journal position that a snapshot stands for. Raises JournalError if its name tells none."""
    named = _NAME.fullmatch(path.name)
    if named is None:
        raise JournalError(f"{path} bears no name of a snapshot")
    return Position(named["segment"], int(named["offset"]))


def read_snapshot(path: Path) -> Arrays:
    """The arrays of a snapshot. Raises JournalError if its bytes are not those that its name promises."""
    named = _NAME.fullmatch(path.name)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise JournalError(f"snapshot {path} cannot be read: {error.strerror}") from error
    if named is None or hashlib.sha256(content).hexdigest() != named["sha"]:
        raise JournalError(f"snapshot {path} is damaged")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise JournalError(f"snapshot {path} cannot be read: {error}") from error
