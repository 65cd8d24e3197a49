"""When a runner's state is kept, and the thread that writes it, so that no row waits for the disk."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from live.supervision import in_one_line, note_death
from market.errors import BackgroundError
from monitoring.metrics import Meters
from storage.journal import Position
from storage.snapshots import SUFFIX, Arrays, write_snapshot


class Keeper:
    """Writes snapshots beside a journal: one at every new segment, and every ``every_s`` seconds of our own time."""

    def __init__(self, folder: Path, every_s: float, meters: Meters) -> None:
        self._folder = folder
        self._every_s = every_s
        self._meters = meters
        self._writer = ThreadPoolExecutor(1, "snapshots")
        self._writing: Future[Path] | None = None
        self._segment = ""
        self._kept = time.monotonic()
        for unfinished in folder.glob(f".*{SUFFIX}.*.tmp"):  # of a process that was killed
            unfinished.unlink()

    def due(self, segment: str) -> bool:
        """Whether the state should be kept now, the journal being in ``segment``."""
        if self._writing is not None and not self._settled(self._writing):
            return False
        rolled = bool(self._segment) and segment != self._segment
        self._segment = segment
        return rolled or time.monotonic() - self._kept >= self._every_s

    def keep(self, position: Position, arrays: Arrays) -> None:
        """Write a state in the background; a disk that does not take it is counted."""
        self._kept = time.monotonic()
        self._writing = self._writer.submit(write_snapshot, self._folder, position, arrays)
        self._writing.add_done_callback(self._count)

    def close(self) -> None:
        """Return when what was begun is written."""
        self._writer.shutdown(wait=True)

    def _settled(self, writing: "Future[Path]") -> bool:
        """Whether a write is over. Raises BackgroundError once for a fault of it that was not the disk's."""
        if not writing.done():
            return False
        fault = writing.exception()
        if fault is not None and not isinstance(fault, OSError):
            self._writing = None
            note_death(self._meters, "keeping", fault)
            raise BackgroundError(f"the state cannot be kept: {in_one_line(fault)}") from fault
        return True

    def _count(self, written: "Future[Path]") -> None:
        self._meters.count("snapshots", outcome="failed" if written.exception() else "written")
