"""One array in an ``npz`` file, written piece by piece in constant memory."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from market.errors import DataError


def write_array(path: Path, dtype: np.dtype[np.void], count: int, pieces: Iterable[NDArray[np.void]]) -> None:
    """Write ``count`` rows as the array ``data``; the file appears whole or not at all.

    Raises DataError if the pieces hold another number of rows, or the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        _write(temporary, dtype, count, pieces)
        temporary.replace(path)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _write(path: Path, dtype: np.dtype[np.void], count: int, pieces: Iterable[NDArray[np.void]]) -> None:
    written = 0
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("data.npy", "w", force_zip64=True) as member,
    ):
        header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": (count,)}
        npy.write_array_header_1_0(member, header)
        for piece in pieces:
            member.write(np.ascontiguousarray(piece, dtype).tobytes())
            written += piece.size
    if written != count:
        raise DataError(f"{written} rows came instead of {count}")
