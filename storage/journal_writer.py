"""Writes the journal. One ``flush`` is one write: when it returns, the kernel has the whole batch."""

import fcntl
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from market.errors import JournalError
from storage.journal import (
    DECISION,
    FRAME,
    HEADER,
    MAGIC,
    REPORTS,
    SUFFIX,
    Position,
    Record,
    Torn,
    encode,
    heading,
    lock,
    segments,
    torn_end,
)

_NUMBER: Final = re.compile(r"\d+")
OnFlush = Callable[[int, int], None]  # bytes that the kernel took, and how long it took for them, ns
LOCK_PATIENCE_S: Final = 1.0  # a reader that looks whether we write holds the lock for an instant


class JournalWriter:
    """Appends to the journal in ``folder``, in a segment of its own; mends the torn end of the one before.

    One process writes a journal at a time; a second one is refused. After a failure nothing more is written: what is
    missing would be a hole.

    Raises JournalError if the folder cannot be written, or a record before the end is damaged.
    """

    def __init__(self, folder: Path, header: Mapping[str, Any], segment_bytes: int, prefix: str = "") -> None:
        """``prefix`` stands before the number of a segment, where a source is to tell them by date."""
        self._folder = folder
        self._prefix = prefix
        self._header = json.dumps(header).encode()  # in its own order, which feature states depend on
        self._segment_bytes = segment_bytes
        self._pending: list[bytes] = []
        self._written = 0
        self._file = -1
        self._segment = ""  # file name of the one that is written
        self._fault: JournalError | None = None  # why the disk has not taken a record
        self._closed = False
        self.on_flush: OnFlush = _tell_nobody
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = lock(folder, fcntl.LOCK_EX, LOCK_PATIENCE_S)
        except OSError as error:
            raise self._failure(error) from error
        self.mended = self._mend()  # what was cut off, None where the journal ended whole

    def append(self, record: Record) -> None:
        """Queue one record for the next flush."""
        self._pending.append(encode(record))

    def frame(self, ts: int, connection: int, data: bytes) -> None:
        """Queue a frame that arrived at ``ts``."""
        self._pending += (heading(FRAME, connection, ts, data), data)

    def decision(self, desk: int, row_ts: int, record: NDArray[np.void], intents: NDArray[np.void]) -> None:
        """Queue a decision and its orders."""
        payload = record.tobytes() + intents.tobytes() if intents.size else record.tobytes()
        self._pending += (heading(DECISION, desk, row_ts, payload), payload)

    def reports(self, desk: int, row_ts: int, reports: NDArray[np.void]) -> None:
        """Queue the reports that a row saw."""
        self.append(Record(REPORTS, desk, row_ts, reports.tobytes()))

    @property
    def failed(self) -> bool:
        """Whether the disk has not taken a record; nothing more is written then."""
        return self._fault is not None

    @property
    def position(self) -> Position:
        """Where the kernel has everything up to; of segment "" before the first flush."""
        return Position(self._segment, self._written)

    def flush(self) -> None:
        """Hand everything queued to the kernel in one write.

        Raises JournalError if the disk does not take it, or once did not; what was written of the batch is cut off.
        Raises JournalError if something is queued after ``close``: the journal may be another process's by then.
        """
        if self._fault is not None:
            raise JournalError(str(self._fault)) from self._fault
        if not self._pending:
            return
        if self._closed:
            raise JournalError(f"cannot write the journal in {self._folder}: it is closed")
        batch = b"".join(self._pending)
        self._pending.clear()
        started = time.perf_counter_ns()
        try:
            if self._file < 0 or self._written >= self._segment_bytes:
                self._next_segment()
            self._write(batch)
        except OSError as error:
            self._fault = self._failure(error)
            raise self._fault from error
        self.on_flush(len(batch), time.perf_counter_ns() - started)

    def close(self) -> None:
        """Flush, unless the disk has failed us, and leave the segment finished."""
        try:
            if not self.failed:
                self.flush()
        finally:
            self._closed = True
            self._finish_segment()
            os.close(self._lock)

    def _mend(self) -> Torn | None:
        try:
            return mend(self._folder)
        except BaseException:
            os.close(self._lock)
            raise

    def _write(self, data: bytes) -> None:
        done = 0
        try:
            while done < len(data):
                done += os.write(self._file, data[done:])
        except OSError:
            os.ftruncate(self._file, self._written)
            raise
        self._written += len(data)

    def _next_segment(self) -> None:
        self._finish_segment()
        names = segments(self._folder)
        number = int(_NUMBER.findall(names[-1].stem)[-1]) + 1 if names else 1
        path = self._folder / f"{self._prefix}{number:08d}{SUFFIX}"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o640)
        self._segment, self._written = path.name, 0
        self._write(MAGIC + encode(Record(HEADER, 0, 0, self._header)))

    def _finish_segment(self) -> None:
        if self._file >= 0:
            os.fsync(self._file)
            os.close(self._file)
            self._file = -1

    def _failure(self, error: OSError) -> JournalError:
        return JournalError(f"cannot write the journal in {self._folder}: {os.strerror(error.errno or 0)}")


def _tell_nobody(*_: int) -> None:
    return


def mend(folder: Path) -> Torn | None:
    """Cut a torn record off the end of the newest segment; returns what was cut.

    A segment that was torn before its header was whole is removed.
    """
    found = segments(folder)
    torn = torn_end(found[-1]) if found else None
    if torn is None:
        return None
    if torn.offset <= len(MAGIC):
        torn.path.unlink()
    else:
        os.truncate(torn.path, torn.offset)
    return torn
