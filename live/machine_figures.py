"""What the machine beneath the runner tells the meters: disk, event loop, and the journal's writes."""

import asyncio
import os
import time
from pathlib import Path
from typing import Final

from monitoring.metrics import Meters, Tally

LOOK_S: Final = 0.25  # between two looks at the loop


class JournalFigures:
    """Bytes and times of the journal's writes."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._bytes = 0  # that nobody has told the meters
        self._took_ms = Tally(meters, "journal_flush_ms")
        meters.before_reading(self._refresh)

    def flush(self, size: int, took_ns: int) -> None:
        """One write of ``size`` bytes."""
        self._bytes += size
        self._took_ms.observe(took_ns / 1e6)

    def _refresh(self) -> None:
        self._meters.count("journal_bytes", self._bytes)
        self._bytes = 0


class DiskFigures:
    """Room on the disk that a folder lies on."""

    def __init__(self, meters: Meters, folder: Path) -> None:
        self._meters = meters
        self._folder = folder
        meters.before_reading(self._refresh)

    def _refresh(self) -> None:
        disk = os.statvfs(self._folder)
        self._meters.set("disk_free_bytes", disk.f_bavail * disk.f_frsize)
        self._meters.set("disk_size_bytes", disk.f_blocks * disk.f_frsize)


async def watch_loop(meters: Meters) -> None:
    """Observe how late the event loop wakes, until cancelled."""
    while True:
        due = time.monotonic() + LOOK_S
        await asyncio.sleep(LOOK_S)
        meters.observe("event_loop_lag_ms", max(0.0, time.monotonic() - due) * 1e3)
