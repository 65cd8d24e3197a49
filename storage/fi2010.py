"""The text matrices of FI-2010 on disk: found below ``FI2010_DIR`` by the names that they were published under."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from market.errors import ConfigError, DataError
from modeling.fi2010 import ROWS, Doubles, Files, Matrix, Split, matrix_of

VARIABLE: Final = "FI2010_DIR"


def read_files(folder: str | None, split: Split, normalisation: str) -> Files:
    """The matrices of a split; of several files each side, one behind the other.

    folder : any folder above the files
    Raises ConfigError if there is no such folder, DataError if a file is missing, doubly there or of a wrong shape.
    """
    if not folder or not Path(folder).is_dir():
        raise ConfigError(f"{VARIABLE}={folder or ''!r} must name the folder that FI-2010 was unpacked in")
    train = read_matrix(_found(Path(folder), f"Train_Dst_NoAuction_{normalisation}_CF_{split.train}.txt"))
    tests = [_found(Path(folder), f"Test_Dst_NoAuction_{normalisation}_CF_{fold}.txt") for fold in split.tests]
    return Files(train, tuple(read_matrix(path) for path in tests))


def read_matrix(path: Path) -> Matrix:
    """One file. Raises DataError, naming it, unless it is a matrix of 149 rows with labels 1, 2 and 3."""
    try:
        return matrix_of(_rows(path))
    except (DataError, UnicodeDecodeError) as fault:
        raise DataError(f"{path}: {fault}") from fault


def _rows(path: Path) -> Iterator[Doubles]:
    with path.open(encoding="ascii") as lines:
        for number, line in enumerate(lines):
            if line.strip():
                yield _numbers(number, line)


def _numbers(number: int, line: str) -> Doubles:
    try:
        return np.array(line.split(), np.float64)
    except ValueError as fault:
        raise DataError(f"line {number + 1} of {ROWS} holds no numbers: {fault}") from fault


def _found(folder: Path, name: str) -> Path:
    found = sorted(folder.rglob(name))
    if len(found) != 1:
        raise DataError(f"{len(found)} files {name} below {folder}, there must be one")
    return found[0]
