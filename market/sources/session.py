"""Recorded WebSocket and HTTP sessions: a header line, then one JSON record a line, connection after connection.

Records are ``{"t": "http" | "connect" | "send" | "recv", "conn": ..., "ts": <epoch seconds>, "data" | "b64": ...}``.
The records of a file are merged by their stamps, in one pass for each connection and in constant memory.
"""

import base64
import binascii
import gzip
import heapq
import re
import zlib
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import takewhile
from operator import attrgetter
from typing import Final, Literal, NamedTuple
from urllib.parse import parse_qs, urlsplit

import msgspec
from msgspec import Raw, Struct, field
from msgspec.json import Decoder as JsonDecoder

from market.errors import ConfigError, DataError, MalformedMessage, OffGrid
from market.events import CONNECTION_SHIFT, EVENT, SYNTHETIC, Events
from market.instrument import Instrument
from market.sources.decoder import Decoder, DecoderState, tape_events
from market.sources.importing import END_OF_TIME, Account, InputFile, filled

FORMAT: Final = 2
MOST_HOSTS: Final = 16  # that the event flags can number
OTHER: Final = "other"  # count of the messages of other symbols
ADDRESSES: Final = {  # part of the WebSocket address that a venue's public feed is served at
    "binance-coinm": "dstream.binance.com",
    "binance-spot": "stream.binance.com",
    "binance-usdm": "fstream.binance.com",
    "bybit-inverse": "/v5/public/inverse",
    "bybit-linear": "/v5/public/linear",
    "bybit-spot": "/v5/public/spot",
    "coinbase-spot": "coinbase.com",
    "okx-futures": "okx.com",
    "okx-spot": "okx.com",
    "okx-swap": "okx.com",
}
_STREAM: Final = re.compile(rb'\{"stream":"([^"@]*)@')
_HIGH_FLAGS: Final = 3  # place of the high byte of an event's flags
_GZIP: Final = b"\x1f\x8b"
_HEAD: Final = 200  # bytes of a line within which its connection is named


class Record(Struct):
    """One line of a session."""

    t: Literal["header", "http", "connect", "send", "recv"]
    conn: str = ""
    ts: Decimal = Decimal(0)  # seconds UTC
    format: int = 0
    data: Raw = field(default_factory=Raw)
    b64: str = ""
    url: str = ""
    addr: str = ""


class _Message(NamedTuple):
    """What reached us: a frame of a socket or the body of an answer."""

    ingest_ts: int  # ns UTC
    number: int  # of its line, from 1
    host: int
    line: bytes
    record: Record


class SessionImporter:
    """Importer of sessions; reads the connections of the instrument's venue, and what they say of its symbol.

    Messages of other symbols are counted. Each WebSocket host has a number, 0 for the first, in the flags of the
    events that came by it; an answer over HTTP counts to the first. Raises ConfigError if the venue is unknown here.
    """

    def __init__(self, decoder: Decoder) -> None:
        self.instrument: Instrument = decoder.instrument
        self.account = Account()
        if self.instrument.venue not in ADDRESSES:
            raise ConfigError(f"venue={self.instrument.venue!r} is not one whose sessions are known: {list(ADDRESSES)}")
        self._decoder = decoder
        self._read = JsonDecoder(Record)
        self._before = dict(decoder.counts)
        self._newest_ts = 0
        self._others = 0

    def batches(self, files: Sequence[InputFile], until: int | None = None) -> Iterator[Events]:
        """Events of the files, one after the other; see ``market.sources.importing.Importer``."""
        self._newest_ts = 0
        for tape in filled(self._told(files, END_OF_TIME if until is None else until), self._take):
            yield self._batch(tape)
        self._count()

    def newest_ts(self, files: Sequence[InputFile]) -> int:
        """Newest stamp of what reached us of this venue, ns UTC; 0 if nothing did."""
        merged = (self._messages(file, self._connections(file, Account())) for file in files)
        return max((message.ingest_ts for messages in merged for message in messages), default=0)

    def state(self) -> DecoderState:
        """The decoder's."""
        return self._decoder.state()

    def restore(self, state: DecoderState) -> None:
        """Let the decoder continue where ``state`` was taken."""
        self._decoder.restore(state)

    def _told(self, files: Sequence[InputFile], until: int) -> Iterator[tuple[InputFile, _Message]]:
        """What reached us up to ``until``, file by file."""
        for file in files:
            messages = self._messages(file, self._connections(file, self.account))
            for message in takewhile(lambda message: message.ingest_ts <= until, messages):
                yield file, message

    def _take(self, told: tuple[InputFile, _Message], tape: bytearray) -> bool:
        """Append the events of a message, its host's number in their flags."""
        file, message = told
        if message.ingest_ts < self._newest_ts:
            self.account.step_back(self._newest_ts - message.ingest_ts)
        self._newest_ts = max(self._newest_ts, message.ingest_ts)
        self.account.lines += 1
        start = len(tape)
        try:
            frame = _frame(message.record)
            if self._is_of_other_symbol(frame):
                self._others += 1
            else:
                self._decoder.append(frame, self._newest_ts, tape)
        except (MalformedMessage, OffGrid) as error:
            self.account.quarantine(file.name, message.number, error, message.line)
        for place in range(start + _HIGH_FLAGS, len(tape), EVENT.itemsize):
            tape[place] |= message.host << (CONNECTION_SHIFT - 8)
        return True

    def _batch(self, tape: bytearray) -> Events:
        events = tape_events(tape)
        if self.instrument.synthetic:
            events["flags"] |= SYNTHETIC
        self.account.events += events.size
        self._count()
        return events

    def _count(self) -> None:
        counts = {name: count - self._before.get(name, 0) for name, count in self._decoder.counts.items()}
        self.account.counts |= counts | {OTHER: counts.get(OTHER, 0) + self._others}
        self.account.counts["waiting"] = int(self._decoder.waiting)

    def _connections(self, file: InputFile, account: Account) -> dict[str, int]:
        """Connections of the venue and the numbers of their hosts; ``account`` takes down lines that are no record."""
        hosts, connections, asked = dict[str, int](), dict[str, int](), set[str]()
        for number, line in _lines(file):
            try:
                record = self._record(line)
                if number == 1:
                    _require_header(record, line)
            except MalformedMessage as error:
                if number == 1:
                    raise DataError(f"{file.name}: line 1 is no header of a session: {error}") from error
                account.lines += 1
                account.quarantine(file.name, number, error, line)
                continue
            if record.t == "connect" and self._leads_to_venue(record.addr):
                connections[record.conn] = hosts.setdefault(urlsplit(record.addr).netloc, len(hosts))
            if record.t == "http" and self._asks_for_book(record.url):
                asked.add(record.conn)
        if len(hosts) > MOST_HOSTS:
            raise DataError(f"{file.name}: {len(hosts)} WebSocket hosts, and flags can number {MOST_HOSTS}")
        return dict.fromkeys(sorted(asked), 0) | connections

    def _messages(self, file: InputFile, connections: dict[str, int]) -> Iterator[_Message]:
        """What reached us by some connections, in the order of time."""
        parts = [self._of_connection(file, name, host) for name, host in connections.items()]
        return heapq.merge(*parts, key=attrgetter("ingest_ts"))

    def _of_connection(self, file: InputFile, name: str, host: int) -> Iterator[_Message]:
        for number, line in _lines(file):
            if name.encode() not in line[:_HEAD]:
                continue
            try:
                record = self._record(line)
            except MalformedMessage:  # taken down when the connections were looked for
                continue
            if record.conn != name:
                continue
            if record.t == "recv" or (record.t == "http" and self._asks_for_book(record.url)):
                yield _Message(_nanoseconds(record), number, host, line, record)

    def _record(self, line: bytes) -> Record:
        try:
            record = self._read.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise MalformedMessage(f"{error} in {line[:80]!r}") from error
        _nanoseconds(record)
        return record

    def _leads_to_venue(self, address: str) -> bool:
        part = ADDRESSES[self.instrument.venue]
        parts = urlsplit(address)
        return parts.path == part if part.startswith("/") else _within(parts.hostname or "", part)

    def _asks_for_book(self, url: str) -> bool:
        """Whether the answer is a snapshot that the decoder can build on: Binance's alone are asked for."""
        if not self.instrument.venue.startswith("binance"):
            return False
        parts = urlsplit(url)
        asked = parse_qs(parts.query).get("symbol", [""])[0]
        return parts.path.endswith("/depth") and asked.lower() == self.instrument.venue_symbol

    def _is_of_other_symbol(self, frame: bytes) -> bool:
        """Whether Binance's frame names another symbol; the decoders of other venues find that out for themselves."""
        stream = _STREAM.match(frame) if self.instrument.venue.startswith("binance") else None
        return stream is not None and stream[1] != self.instrument.venue_symbol.encode()


def _require_header(record: Record, line: bytes) -> None:
    if record.t != "header" or record.format != FORMAT:
        raise MalformedMessage(f"{line[:60]!r} does not say format {FORMAT}")


def _lines(file: InputFile) -> Iterator[tuple[int, bytes]]:
    with file.open() as stream:
        for number, line in enumerate(stream, 1):
            if not line.isspace():
                yield number, line


def _nanoseconds(record: Record) -> int:
    """A record's stamp, exactly, ns UTC; 0 for a header."""
    if record.t == "header":
        return 0
    nanoseconds = int(record.ts * 1_000_000_000) if record.ts < 2**34 else 2**63
    if not 0 < nanoseconds < 2**63:
        raise MalformedMessage(f"ts={record.ts} is no time in seconds that int64 nanoseconds reach")
    return nanoseconds


def _frame(record: Record) -> bytes:
    """The bytes that came over the wire, decompressed where the venue sent them in gzip."""
    try:
        if not record.b64:
            return msgspec.json.decode(record.data, type=str).encode()
        packed = base64.b64decode(record.b64, validate=True)
        return gzip.decompress(packed) if packed.startswith(_GZIP) else packed
    except (msgspec.DecodeError, UnicodeError, binascii.Error, OSError, EOFError, zlib.error) as error:
        raise MalformedMessage(f"{error} in the data of a record") from error


def _within(host: str, domain: str) -> bool:
    return host == domain or host.endswith(f".{domain}")
