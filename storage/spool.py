"""Records that are written one batch after another and then read as one array, without ever being in memory at once."""

from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Spool:
    """An unnamed file below a folder; it is gone when nobody maps it any more, however the process ends."""

    def __init__(self, folder: Path, dtype: np.dtype[np.void]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115 (the mapping outlives any block)
        self._dtype = dtype
        self.size = 0  # records

    def append(self, records: NDArray[np.void]) -> None:
        """Write records behind those that are there."""
        self._file.write(np.ascontiguousarray(records).data)
        self.size += records.size

    def mapped(self) -> NDArray[Any]:
        """All of them, mapped copy-on-write: pages are read when touched. Nothing may be appended afterwards."""
        if not self.size:
            return np.zeros(0, self._dtype)
        self._file.flush()
        found = np.memmap(self._file, self._dtype, "c", shape=(self.size,))
        self._file.close()
        return np.ndarray(found.shape, found.dtype, found)
