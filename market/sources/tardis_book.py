"""Tardis' two kinds of book, ``incremental_book_L2`` and ``book_snapshot_*``, as events."""

import re
from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from market.errors import DataError, MalformedMessage, OffGrid
from market.events import BUY, FIRST, GAP, LAST, LEVEL, NO_VENUE_TIME, SELL, SNAPSHOT, Events, empty_events
from market.instrument import Instrument
from market.sources.columnar import Mask, NeverFalling, SurrogateIds, changes, mark_messages, steps
from market.sources.importing import Account, InputFile
from market.sources.tardis_csv import NAMED, Rows, header_of, read_rows

_PRICE: Final = re.compile(r"(bids|asks)\[\d+\]\.price")
STAMPS: Final = {"timestamp": pa.int64(), "local_timestamp": pa.int64(), "symbol": NAMED}
_LEVELS: Final = {**STAMPS, "is_snapshot": pa.bool_(), "side": NAMED, "price": pa.float64(), "amount": pa.float64()}


def admit(rows: Rows, instrument: Instrument, account: Account) -> None:
    """Refuse rows of another symbol, and such as bear no time."""
    symbol = instrument.venue_symbol
    rows.refuse(~rows.words("symbol", symbol)[1], MalformedMessage(f"the symbol is not {symbol.upper()}"), account)
    for name in ("local_timestamp", "timestamp"):
        rows.refuse(~rows.stamps(name)[1], MalformedMessage(f"{name} is no time in microseconds"), account)


def stamped(rows: Rows, clock: NeverFalling, account: Account) -> Events:
    """An event for each row, with its times; the same stamp twice means that the venue gave none."""
    events = empty_events(len(rows))
    exchange_ts, local_ts = rows.stamps("timestamp")[0], rows.stamps("local_timestamp")[0]
    timeless = exchange_ts == local_ts
    events["exchange_ts"] = np.where(timeless, 0, exchange_ts)
    events["flags"] = np.where(timeless, NO_VENUE_TIME, 0)
    events["ingest_ts"] = clock.raised(local_ts)
    account.counts["without_venue_time"] += int(timeless.sum())
    return events


def off_grid(instrument: Instrument) -> OffGrid:
    """Why a row's price or amount is refused."""
    return OffGrid(
        f"the price must be a multiple of {instrument.tick_size} above 0, "
        f"the amount one of {instrument.lot_size} at or above 0"
    )


def on_grid(
    rows: Rows, instrument: Instrument, price: str, amount: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], Mask]:
    """Ticks and lots of two columns, and whether both fit the instrument's grid, with a price above 0."""
    ticks, on_tick = steps(rows.column(price, np.nan), instrument.tick_size)
    lots, on_lot = steps(rows.column(amount, np.nan), instrument.lot_size)
    return ticks, lots, on_tick & on_lot & (ticks > 0)


class IncrementalBook:
    """Rows of changed levels; rows with the same stamps are one message."""

    def __init__(self, instrument: Instrument, account: Account, ids: SurrogateIds) -> None:
        self._instrument, self._account, self._ids = instrument, account, ids
        self._clock = NeverFalling(account)

    def events(self, file: InputFile) -> Iterator[Events]:
        """Whole messages of a file.

        What comes before its first snapshot belongs to no book. That one opens the day; each later one follows a lost
        connection, so a GAP stands before it.
        """
        snapshot_before, begun = False, False
        for raw in _whole_messages(self._levels(file)):
            starts = changes(raw["exchange_ts"], raw["ingest_ts"], raw["kind"])
            if not begun:
                opened = np.flatnonzero(raw["kind"] == SNAPSHOT)
                skipped = int(opened[0]) if opened.size else raw.size
                self._account.counts["before_snapshot"] += skipped
                raw, starts = raw[skipped:], starts[skipped:]
            if raw.size:
                ends_in_snapshot = bool(raw["kind"][-1] == SNAPSHOT)
                yield self._messages(raw, starts, snapshot_before, begun)
                begun, snapshot_before = True, ends_in_snapshot

    def _levels(self, file: InputFile) -> Iterator[Events]:
        """An event a row: SNAPSHOT where Tardis says so, else LEVEL."""
        instrument, account = self._instrument, self._account
        for rows in read_rows(file, _LEVELS, account):
            admit(rows, instrument, account)
            rows.refuse(~rows.words("side", "bid", "ask")[1], MalformedMessage("side is not bid or ask"), account)
            rows.refuse(~rows.has("is_snapshot"), MalformedMessage("is_snapshot is not true or false"), account)
            ticks, lots, fits = on_grid(rows, instrument, "price", "amount")
            rows.refuse(~fits, off_grid(instrument), account)
            events = stamped(rows, self._clock, account)
            events["kind"] = np.where(rows.column("is_snapshot", False), SNAPSHOT, LEVEL)
            events["side"] = np.where(rows.words("side", "bid", "ask")[0] == 0, BUY, SELL)
            events["price"], events["qty"] = ticks[fits], lots[fits]
            if events.size:
                yield events

    def _messages(self, events: Events, starts: Mask, snapshot_before: bool, begun: bool) -> Events:
        """Number and flag whole messages.

        A snapshot right behind another continues it, as Tardis defines it: it sets levels and clears none.
        """
        firsts = np.flatnonzero(starts)
        full = events["kind"][firsts] == SNAPSHOT
        fresh = full & ~np.concatenate(([snapshot_before], full[:-1]))
        message = np.cumsum(starts) - 1
        events["kind"] = np.where(fresh[message], SNAPSHOT, LEVEL)
        reconnects = firsts[fresh]
        if not begun:
            reconnects = reconnects[1:]
        counts = self._account.counts
        counts["snapshots"] += int(fresh.sum())
        counts["snapshot_pieces"] += int((full & ~fresh).sum())
        counts["gaps"] += reconnects.size
        counts["waiting"] = 0
        mark_messages(events, starts)
        if reconnects.size:
            events, starts = _with_gaps(events, starts, reconnects)
        last_id = self._ids.newest
        events["update_id"] = self._ids.next(events["ingest_ts"][starts])[np.cumsum(starts) - 1]
        gaps = np.flatnonzero(events["kind"] == GAP)
        events["update_id"][gaps] = np.concatenate(([last_id], events["update_id"]))[gaps]
        return events


class BookSnapshots:
    """Rows that each hold the best levels of both sides: a snapshot a row."""

    def __init__(self, instrument: Instrument, account: Account, ids: SurrogateIds) -> None:
        self._instrument, self._account, self._ids = instrument, account, ids
        self._clock = NeverFalling(account)

    def events(self, file: InputFile) -> Iterator[Events]:
        """A message a row, bids first, from the best level on."""
        prices = _columns(file)
        amounts = [name.replace(".price", ".amount") for name in prices]
        types = {**STAMPS, **dict.fromkeys([*prices, *amounts], pa.float64())}
        sides = np.array([BUY if name.startswith("bids") else SELL for name in prices], np.int8)
        for rows in read_rows(file, types, self._account):
            admit(rows, self._instrument, self._account)
            grids = [on_grid(rows, self._instrument, *pair) for pair in zip(prices, amounts, strict=True)]
            there = np.column_stack([rows.has(name) for name in prices])
            fits = np.column_stack([grid[2] for grid in grids])
            bad: Mask = np.any(there & ~fits, axis=1)
            rows.refuse(bad, off_grid(self._instrument), self._account)
            there = there[~bad]
            empty: Mask = ~np.any(there, axis=1)
            rows.refuse(empty, MalformedMessage("the row holds no level"), self._account)
            ticks = np.column_stack([grid[0] for grid in grids])[~bad][~empty]
            lots = np.column_stack([grid[1] for grid in grids])[~bad][~empty]
            if len(rows):
                yield self._messages(stamped(rows, self._clock, self._account), there[~empty], sides, (ticks, lots))

    def _messages(
        self, stamps: Events, there: Mask, sides: NDArray[np.int8], levels: tuple[NDArray[np.int64], NDArray[np.int64]]
    ) -> Events:
        stamps["kind"], stamps["update_id"] = SNAPSHOT, self._ids.next(stamps["ingest_ts"])
        row, column = np.nonzero(there)
        events = stamps[row]
        events["side"], events["price"], events["qty"] = sides[column], levels[0][there], levels[1][there]
        mark_messages(events, changes(row))
        self._account.counts["snapshots"] += stamps.size
        self._account.counts["waiting"] = 0
        return events


def _columns(file: InputFile) -> list[str]:
    """Names of the price columns, bids from the best on, then asks. Raises DataError if there is none."""
    header = header_of(file)
    found = [[name for name in header if _PRICE.fullmatch(name) and name.startswith(side)] for side in ("bids", "asks")]
    if not all(found):
        raise DataError(f"{file.name}: line 1: the header lacks bids[0].price or asks[0].price; it has {header}")
    return found[0] + found[1]


def _whole_messages(pieces: Iterator[Events]) -> Iterator[Events]:
    """The pieces, cut so that none ends inside a message: rows of one kind with the same stamps."""
    held = empty_events(0)
    for piece in pieces:
        events = np.concatenate([held, piece])
        last = np.flatnonzero(changes(events["exchange_ts"], events["ingest_ts"], events["kind"]))[-1]
        held = events[last:]
        if last:
            yield events[:last]
    if held.size:
        yield held


def _with_gaps(events: Events, starts: Mask, places: NDArray[np.int64]) -> tuple[Events, Mask]:
    """A GAP before each of the places, known when what follows it arrived; its id is to be that of the last message."""
    gaps = empty_events(places.size)
    for name in ("exchange_ts", "ingest_ts"):
        gaps[name] = events[name][places]
    gaps["kind"] = GAP
    gaps["flags"] = FIRST | LAST | (events["flags"][places] & NO_VENUE_TIME)
    return np.insert(events, places, gaps), np.insert(starts, places, True)
