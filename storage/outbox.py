"""Batches that wait for a server, as files of a folder: they outlive the process, and take no more than their room."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import polars as pl

from storage.files import replace_file

_NAME: Final = re.compile(r"\d{12}-(?P<table>\w+)-[0-9a-f]{32}\.parquet")


class Outbox:
    """A queue of batches on disk, oldest first. One process uses a folder at a time."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.dropped = 0  # batches that made room for newer ones
        self._folder = folder
        self._most_bytes = most_bytes
        folder.mkdir(parents=True, exist_ok=True)
        self._sizes = {path: path.stat().st_size for path in sorted(folder.iterdir()) if _NAME.fullmatch(path.name)}
        self._number = max((int(path.name[:12]) for path in self._sizes), default=0)

    def put(self, table: str, frame: pl.DataFrame, mark: str) -> None:
        """Add a batch; the oldest ones leave if there is no room for all.

        mark : 32 hex digits that no other process uses, so that the file's name can be the batch's token
        Raises OSError if the disk does not take it.
        """
        self._number += 1
        path = self._folder / f"{self._number:012d}-{table}-{mark}.parquet"
        buffer = io.BytesIO()
        frame.write_parquet(buffer, compression="zstd")
        replace_file(path, buffer.getvalue())
        self._sizes[path] = buffer.getbuffer().nbytes
        while sum(self._sizes.values()) > self._most_bytes and len(self._sizes) > 1:
            self.remove(next(iter(self._sizes)))
            self.dropped += 1

    def waiting(self) -> Iterator[Path]:
        """The batches, oldest first."""
        yield from tuple(self._sizes)

    def remove(self, path: Path) -> None:
        """Forget a batch."""
        path.unlink(missing_ok=True)
        del self._sizes[path]

    @property
    def bytes(self) -> int:
        """Room that is taken."""
        return sum(self._sizes.values())


def table_of(path: Path) -> str:
    """The table that a batch is for. Raises ValueError if the file is none of ours."""
    named = _NAME.fullmatch(path.name)
    if named is None:
        raise ValueError(f"{path} is no batch of an outbox")
    return named["table"]
