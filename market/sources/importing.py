"""Whole files into events, in constant memory, with an account of every line that could not be read."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Final, NamedTuple, Protocol, TypeVar

from market.errors import DataError, MalformedMessage, OffGrid
from market.events import EVENT, SYNTHETIC, Events
from market.instrument import Instrument
from market.sources.decoder import Decoder, DecoderState, ScansLines, Span, tape_events
from market.sources.json_kernels import PADDING

BATCH_EVENTS: Final = 65_536  # events of a batch, about: a message is never split
MOST_KEPT: Final = 1_000  # quarantined lines kept word for word; all are counted
CLOCK_BACKWARDS: Final = "clock_backwards"  # count of lines stamped before the newest one
WORST_STEP_BACK_NS: Final = "clock_backwards_worst_ns"
END_OF_TIME: Final = 2**63 - 1  # ns, of the year 2262
WAITING: Final = "waiting"  # 1 where the book still waits for a snapshot at the end
_LONGEST_KEPT: Final = 2_000  # bytes of a quarantined line
_BATCH_BYTES: Final = BATCH_EVENTS * EVENT.itemsize
_BLOCK_BYTES: Final = 1 << 18  # that a scan is given at once
_PADDED: Final = b"\n" * PADDING

Piece = TypeVar("Piece")
SplitLine = Callable[[bytes], tuple[int, bytes] | None]  # ingest_ts in ns UTC and frame; None: nothing of the venue's


class InputFile(NamedTuple):
    """A file to import; whoever opens it reads decompressed bytes from its start."""

    name: str  # as messages call it
    open: Callable[[], BinaryIO]


class QuarantinedLine(NamedTuple):
    """A line that gave no events."""

    file: str
    number: int  # in its file, from 1
    reason: str
    line: str  # its beginning


@dataclass(slots=True)
class Account:
    """What an import has met so far; ``counts`` are the decoder's and the clock's, of this import alone."""

    lines: int = 0  # blank ones left out
    events: int = 0
    bad: int = 0
    quarantined: list[QuarantinedLine] = field(default_factory=list)  # the first MOST_KEPT of the bad ones
    counts: dict[str, int] = field(default_factory=lambda: {CLOCK_BACKWARDS: 0, WORST_STEP_BACK_NS: 0, WAITING: 0})

    @property
    def bad_share(self) -> float:
        """Share of the lines that could not be read, within 0 and 1; 0 of no lines."""
        return self.bad / self.lines if self.lines else 0.0

    def quarantine(self, file: str, number: int, error: Exception, line: bytes) -> None:
        """Take down a line that could not be read."""
        self.bad += 1
        if len(self.quarantined) < MOST_KEPT:
            reason, text = f"{type(error).__name__}: {error}", line[:_LONGEST_KEPT].decode(errors="replace")
            self.quarantined.append(QuarantinedLine(file, number, reason, text))

    def step_back(self, nanoseconds: int) -> None:
        """Take down a stamp that lies this much before the newest one."""
        self.counts[CLOCK_BACKWARDS] += 1
        self.counts[WORST_STEP_BACK_NS] = max(self.counts[WORST_STEP_BACK_NS], nanoseconds)

    def require(self, max_bad_share: float) -> None:
        """Raises DataError, naming the first bad line and its file, if more than this share was bad."""
        if self.bad_share > max_bad_share:
            first = self.quarantined[0]
            raise DataError(
                f"{first.file}: {self.bad} of {self.lines} lines cannot be read, more than the share of "
                f"{max_bad_share} that is allowed; the first is line {first.number}: {first.reason}"
            )


class Importer(Protocol):
    """Reads one instrument's files of one format."""

    instrument: Instrument
    account: Account

    def batches(self, files: Sequence[InputFile], until: int | None = None) -> Iterator[Events]:
        """Events in the order of ``ingest_ts``, about BATCH_EVENTS at a time; delay and offset are left 0.

        Several files are read in turn, or merged where the format spreads a day over them.
        until : stop before the first event with a later ingest_ts, ns UTC
        Raises CorruptFile, naming the file, where one ends before its end.
        """
        ...

    def newest_ts(self, files: Sequence[InputFile]) -> int:
        """Newest ingest_ts of the files, ns UTC; 0 if no line bears one."""
        ...

    def state(self) -> DecoderState:
        """What the next day's importer must know, as JSON allows."""
        ...

    def restore(self, state: DecoderState) -> None:
        """Continue where ``state`` was taken."""
        ...


class LineImporter:
    """Importer of files that hold one frame a line. ``ingest_ts`` never falls: a lower stamp is raised to the newest.

    A stamp that fell is counted, and so is the worst of the steps back.
    """

    def __init__(self, decoder: Decoder, split_line: SplitLine) -> None:
        self.instrument = decoder.instrument
        self.account = Account()
        self.decoder = decoder
        self._split = split_line
        self._before = dict(decoder.counts)
        self._newest_ts = 0

    def batches(self, files: Sequence[InputFile], until: int | None = None) -> Iterator[Events]:
        """Events of the files, one after the other; see Importer."""
        self._newest_ts = 0
        for tape in self._tapes(files, END_OF_TIME if until is None else until):
            events = tape_events(tape)
            if self.instrument.synthetic:
                events["flags"] |= SYNTHETIC
            self.account.events += events.size
            self._count()
            yield events
        self._count()

    def newest_ts(self, files: Sequence[InputFile]) -> int:
        """Newest stamp of the files, bad frames' among them, ns UTC; 0 if no line bears one."""
        return max((self._stamp(line) for _, _, line in numbered_lines(files)), default=0)

    def state(self) -> DecoderState:
        """The decoder's."""
        return self.decoder.state()

    def restore(self, state: DecoderState) -> None:
        """Let the decoder continue where ``state`` was taken."""
        self.decoder.restore(state)

    def _tapes(self, files: Sequence[InputFile], until: int) -> Iterator[bytearray]:
        """Tapes of about BATCH_EVENTS, none empty."""
        return filled(numbered_lines(files), lambda line, tape: self._take(*line, until, tape))

    def _take(self, file: str, number: int, line: bytes, until: int, tape: bytearray) -> bool:
        """Append the events of a line; False if it came after ``until``, and nothing was done."""
        try:
            split = self._split(line)
            if split is None:
                return True
            ingest_ts, frame = split
            if ingest_ts > until:
                return False
            if ingest_ts < self._newest_ts:
                self.account.step_back(self._newest_ts - ingest_ts)
            self._newest_ts = max(self._newest_ts, ingest_ts)
            self.decoder.append(frame, self._newest_ts, tape)
        except (MalformedMessage, OffGrid) as error:
            self.account.quarantine(file, number, error, line)
        self.account.lines += 1
        return True

    def _count(self) -> None:
        for name, count in self.decoder.counts.items():
            self.account.counts[name] = count - self._before.get(name, 0)
        self.account.counts[WAITING] = int(self.decoder.waiting)

    def _stamp(self, line: bytes) -> int:
        try:
            split = self._split(line)
        except MalformedMessage:
            return 0
        return split[0] if split else 0


class BlockImporter(LineImporter):
    """A LineImporter of captures whose decoder scans blocks of lines; it takes line by line what the scan refuses."""

    def __init__(self, decoder: Decoder, scanner: ScansLines, split_line: SplitLine) -> None:
        super().__init__(decoder, split_line)
        self._scanner = scanner

    def _tapes(self, files: Sequence[InputFile], until: int) -> Iterator[bytearray]:
        return filled(_numbered_blocks(files), lambda block, tape: self._take_block(*block, until, tape))

    def _take_block(self, file: str, number: int, block: bytearray, until: int, tape: bytearray) -> bool:
        """Append the events of a block whose first line bears ``number``; False if lines came after ``until``."""
        at, end = 0, len(block) - PADDING
        while at < end:
            scanned = self._scanner.scan(block, at, Span(self._newest_ts, until), tape)
            self.account.lines += scanned.lines
            self._newest_ts = scanned.newest_ts
            at, number = scanned.at, number + scanned.lines
            line = bytes(block[at : min(block.find(b"\n", at) + 1, end)])
            if line.strip() and not self._take(file, number, line, until, tape):
                return False
            at, number = at + len(line), number + 1
        return True


def filled(pieces: Iterable[Piece], take: Callable[[Piece, bytearray], bool]) -> Iterator[bytearray]:
    """Tapes of about BATCH_EVENTS, none empty, that ``take`` appends each piece's events to until it returns False."""
    tape = bytearray()
    for piece in pieces:
        if not take(piece, tape):
            break
        if len(tape) >= _BATCH_BYTES:
            yield tape
            tape = bytearray()
    if tape:
        yield tape


def numbered_lines(files: Sequence[InputFile]) -> Iterator[tuple[str, int, bytes]]:
    """File, number and bytes of every line that is not blank."""
    for file in files:
        with file.open() as stream:
            for number, line in enumerate(stream, 1):
                if not line.isspace():
                    yield file.name, number, line


def _numbered_blocks(files: Sequence[InputFile]) -> Iterator[tuple[str, int, bytearray]]:
    """File, number of its first line, and whole lines of each block, padded."""
    for file in files:
        number, rest = 1, b""
        with file.open() as stream:
            while read := stream.read(_BLOCK_BYTES):
                lines, newline, rest = (rest + read).rpartition(b"\n")
                if newline:
                    yield file.name, number, bytearray(lines + newline + _PADDED)
                    number += lines.count(b"\n") + 1
        if rest:
            yield file.name, number, bytearray(rest + _PADDED)
