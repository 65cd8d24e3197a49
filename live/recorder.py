"""Records venues: frames go into a journal for each symbol, a segment a day at least, and nothing is traded."""

import asyncio
import json
import math
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from config.connectors import Wire
from live.clock import Clock, WallClock, replay_clock
from live.connectors.connect import connect, require_connector
from live.feed import Subscription
from market.errors import MalformedMessage, OffGrid
from market.instrument import Instrument
from market.sources import decoder_for
from storage.files import replace_file
from storage.journal import CONNECTION, DOWN, UP, Record
from storage.journal_writer import JournalWriter
from storage.progress import LastLine

SEGMENT_BYTES: Final = 64 * 1024 * 1024
FLUSH_S: Final = 0.02  # how long a frame may wait for the write that takes it to the kernel
REPORT_S: Final = 60.0
SHOWN_S: Final = 1.0  # between two looks at a terminal's last line
_DAY_NS: Final = 86_400_000_000_000


@dataclass(frozen=True, slots=True)
class Recording:
    """What is recorded from where, and until when."""

    instruments: Sequence[Instrument]
    wire: Wire
    venue_patience_s: float  # how long to wait for a venue that is not there yet
    folders: Sequence[Path]  # of the journals, one each
    seconds: float  # of our own time; infinite unless it is to end by itself
    until_end: bool  # stop when a replay has come to its end
    ready_file: Path | None  # JSON of our pid, written whole once the journals are open


class Recorder:
    """The journal of one feed. Frames are decoded to notice what is missing; the journal takes them as they came.

    Raises JournalError if another process writes the journal, or it cannot be written.
    """

    def __init__(self, instrument: Instrument, folder: Path, now: int) -> None:
        self.counts = dict.fromkeys(("frames", "bytes", "gaps", "disconnections", "malformed"), 0)
        self.name = instrument.name
        self._instrument, self._folder = instrument, folder
        self._decoder = decoder_for(instrument)
        self._day = now // _DAY_NS
        self._journal = self._open()

    def on_frame(self, frame: bytes, ingest_ts: int, connection: int = 0) -> None:
        """Take a frame in: written down first, then read."""
        self._turn_day(ingest_ts)
        self._journal.frame(ingest_ts, connection, frame)
        gaps = self._decoder.counts.get("gaps", 0)
        try:
            self._decoder.append(frame, ingest_ts, bytearray())
        except (MalformedMessage, OffGrid):
            self.counts["malformed"] += 1
        self.counts["frames"] += 1
        self.counts["bytes"] += len(frame)
        self.counts["gaps"] += self._decoder.counts.get("gaps", 0) - gaps

    def on_connection(self, up: bool, ts: int) -> None:
        """Note that the line is up, or lost: then the book waits for a snapshot."""
        self._turn_day(ts)
        self._journal.append(Record(CONNECTION, 0, ts, UP if up else DOWN))
        if not up:
            self.counts["disconnections"] += 1
            self._decoder = decoder_for(self._instrument)

    def needs_snapshot(self) -> bool:
        """Whether the book waits for a snapshot."""
        return self._decoder.waiting

    def flush(self) -> None:
        """Hand what is queued to the kernel. Raises JournalError if the disk does not take it."""
        self._journal.flush()

    def close(self) -> None:
        """Flush, and leave the segment finished."""
        self._journal.close()

    def report(self) -> str:
        """What has been recorded so far, in a line."""
        counts = self.counts
        rest = ", ".join(f"{counts[name]} {name}" for name in ("gaps", "disconnections", "malformed"))
        return f"{self._instrument.name}: {counts['frames']:,} frames, {counts['bytes']:,} bytes, {rest}"

    def _turn_day(self, ts: int) -> None:
        """Go on in a segment of the next UTC day, where that has begun."""
        if ts // _DAY_NS > self._day:
            self._journal.close()
            self._day = ts // _DAY_NS
            self._journal = self._open()

    def _open(self) -> JournalWriter:
        date = datetime.fromtimestamp(self._day * _DAY_NS // 1_000_000_000, UTC)
        header: dict[str, Any] = {"instrument": asdict(self._instrument), "recorder": True}
        return JournalWriter(self._folder, header, SEGMENT_BYTES, f"{date:%Y-%m-%d}_")


class Shown:
    """What a terminal's last line shows of a recording that goes on: frames, their rate, and the time that is left."""

    def __init__(self, seconds: float, line: LastLine, clock: Callable[[], float] = time.monotonic) -> None:
        self._line, self._clock = line, clock
        self._seen, self._frames = clock(), 0
        self._end = self._seen + seconds

    def look(self, frames: int) -> None:
        """Show how many frames have come by now, at most once a second."""
        now = self._clock()
        if (since := now - self._seen) < SHOWN_S:
            return
        left = f", {self._end - now:.0f} s to go" if self._end < math.inf else ""
        self._line.show(f"record: {frames:,} frames, {(frames - self._frames) / since:,.0f} a second{left}")
        self._seen, self._frames = now, frames


def record(recording: Recording, say: Callable[[str], None], line: LastLine) -> None:
    """Record until SIGTERM or SIGINT, until the time is over, or until the replay ends.

    A line a minute goes to ``say``, and one at the end; ``line`` shows how it goes on.
    Raises ConfigError at once if no connector speaks to the venue, VenueError if it does not answer, JournalError if
    the journal cannot be written.
    """
    for instrument in recording.instruments:
        require_connector(instrument)
    try:
        asyncio.run(_record(recording, say, line))
    finally:
        line.clear()


async def _record(recording: Recording, say: Callable[[str], None], line: LastLine) -> None:
    rest_url = recording.wire.venue(recording.instruments[0].venue).rest_url
    clock = await replay_clock(rest_url, recording.venue_patience_s) or WallClock()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    with ExitStack() as journals:
        recorders = [
            journals.enter_context(closing(Recorder(instrument, folder, clock.now())))
            for instrument, folder in zip(recording.instruments, recording.folders, strict=True)
        ]
        listening = asyncio.create_task(_listen(recording, recorders, clock))
        listening.add_done_callback(lambda _: stopping.set())
        for recorder, folder in zip(recorders, recording.folders, strict=True):
            say(f"recording {recorder.name} in {folder}")
        if recording.ready_file:
            replace_file(recording.ready_file, json.dumps({"pid": os.getpid()}).encode())
        try:
            await _write(recorders, stopping, recording.seconds, say, line)
            if listening.done():
                listening.result()
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
    for recorder in recorders:
        say(f"stopped; {recorder.report()}")


async def _listen(recording: Recording, recorders: Sequence[Recorder], clock: Clock) -> None:
    """Follow all feeds until each has ended, or one has failed."""
    subscriptions = [
        Subscription(instrument, recorder.needs_snapshot)
        for instrument, recorder in zip(recording.instruments, recorders, strict=True)
    ]
    generator = np.random.default_rng(os.getpid())
    feeds = connect(subscriptions, recording.wire, generator, until_end=recording.until_end)
    async with asyncio.TaskGroup() as group:
        for recorder in recorders:
            group.create_task(feeds[recorder.name].run(recorder.on_frame, recorder.on_connection, clock))


async def _write(
    recorders: Sequence[Recorder],
    stopping: asyncio.Event,
    seconds: float,
    say: Callable[[str], None],
    line: LastLine,
) -> None:
    """Flush and report until it is time to stop."""
    reported, shown = time.monotonic(), Shown(seconds, line)
    deadline = reported + seconds
    while not stopping.is_set() and time.monotonic() < deadline:
        for recorder in recorders:
            recorder.flush()
        shown.look(sum(recorder.counts["frames"] for recorder in recorders))
        if time.monotonic() - reported >= REPORT_S:
            for recorder in recorders:
                say(recorder.report())
            reported = time.monotonic()
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), FLUSH_S)
