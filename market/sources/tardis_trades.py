"""Tardis' trades, liquidations and derivative tickers as events."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from market.errors import MalformedMessage
from market.events import (
    BUY,
    FIRST,
    FUNDING,
    INDEX,
    LAST,
    LIQUIDATION,
    MARK,
    NO_SIDE,
    PRICE_UNIT,
    RATE_UNIT,
    SELL,
    Events,
)
from market.instrument import Instrument
from market.sources.columnar import NeverFalling, SurrogateIds, changes, mark_messages
from market.sources.importing import Account, InputFile
from market.sources.tardis_book import STAMPS, admit, off_grid, on_grid, stamped
from market.sources.tardis_csv import NAMED, Rows, read_rows

UNKNOWN: Final = -(2**63)  # no number seen yet
_PRINTS: Final = {**STAMPS, "id": pa.string(), "side": NAMED, "price": pa.float64(), "amount": pa.float64()}
_SIDES: Final = np.array([BUY, SELL, NO_SIDE, NO_SIDE], np.int8)
_TICKERS: Final = {
    "mark_price": (MARK, PRICE_UNIT),
    "index_price": (INDEX, PRICE_UNIT),
    "funding_rate": (FUNDING, RATE_UNIT),
}
_TICKER_TYPES: Final = {**STAMPS, "funding_timestamp": pa.int64(), **dict.fromkeys(_TICKERS, pa.float64())}


class Prints:
    """Rows of one trade, or of one liquidation, each a message of its own."""

    def __init__(self, kind: int, instrument: Instrument, account: Account, ids: SurrogateIds) -> None:
        self._kind, self._instrument, self._account, self._ids = kind, instrument, account, ids
        self._clock = NeverFalling(account)

    def events(self, file: InputFile) -> Iterator[Events]:
        """An event a row; an id that is no whole number is replaced by a rising one, none at all by 0 if liquidated."""
        instrument, account = self._instrument, self._account
        for rows in read_rows(file, _PRINTS, account):
            admit(rows, instrument, account)
            known = rows.words("side", "buy", "sell", "unknown", "")[1]
            rows.refuse(~known, MalformedMessage("side is not buy, sell or unknown"), account)
            ticks, lots, fits = on_grid(rows, instrument, "price", "amount")
            rows.refuse(~fits, off_grid(instrument), account)
            events = stamped(rows, self._clock, account)
            events["kind"] = self._kind
            events["flags"] |= FIRST | LAST
            events["side"] = _SIDES[rows.words("side", "buy", "sell", "unknown", "")[0]]
            events["price"], events["qty"] = ticks[fits], lots[fits]
            events["update_id"] = self._numbered(rows, events["ingest_ts"])
            if events.size:
                yield events

    def _numbered(self, rows: Rows, stamps: NDArray[np.int64]) -> NDArray[np.int64]:
        numbers = pl.Series(rows.column("id", "")).cast(pl.Int64, strict=False)
        ids = numbers.fill_null(-1).to_numpy()
        if self._kind == LIQUIDATION:
            return np.maximum(ids, 0)
        nameless = ids < 0
        self._account.counts["surrogate_trade_ids"] += int(nameless.sum())
        ids = ids.copy()
        ids[nameless] = self._ids.next(stamps[nameless])
        return ids


class Tickers:
    """Rows of everything that is known of a derivative; what a row repeats gives no event."""

    def __init__(self, instrument: Instrument, account: Account) -> None:
        self._instrument, self._account = instrument, account
        self._clock = NeverFalling(account)
        self.last = dict.fromkeys(_TICKERS, UNKNOWN)  # by column, in the units of its event
        self.next_funding_ts = 0  # that went with the last funding rate

    def events(self, file: InputFile) -> Iterator[Events]:
        """MARK, INDEX and FUNDING of a file, each when it changes; those of one row are a message.

        The funding rate is the one that is paid at ``funding_timestamp``; the prediction for the time after is left.
        """
        for rows in read_rows(file, _TICKER_TYPES, self._account):
            admit(rows, self._instrument, self._account)
            bad = np.logical_or.reduce([self._out_of_range(rows, name) for name in _TICKERS])
            rows.refuse(bad, MalformedMessage("a price or rate is out of range"), self._account)
            events = self._changed(rows, stamped(rows, self._clock, self._account))
            if events.size:
                yield events

    def _changed(self, rows: Rows, stamps: Events) -> Events:
        funding_ts = rows.stamps("funding_timestamp")[0]
        table = np.repeat(stamps, len(_TICKERS)).reshape(len(stamps), len(_TICKERS))
        for place, (name, (kind, _)) in enumerate(_TICKERS.items()):
            table["kind"][:, place] = np.where(self._news(rows, name, funding_ts), kind, 0)
            table["price"][:, place] = _numbers(rows, name)
            if kind == FUNDING:
                table["qty"][:, place] = funding_ts
        row, column = np.nonzero(table["kind"])
        events = table[row, column]
        mark_messages(events, changes(row))
        return events

    def _news(self, rows: Rows, name: str, funding_ts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Where a column holds another number than the last one, or funding another time."""
        there, numbers = np.flatnonzero(rows.has(name)), _numbers(rows, name)
        news = np.zeros(len(rows), np.bool_)
        if not there.size:
            return news
        values = np.concatenate(([self.last[name]], numbers[there]))
        news[there] = values[1:] != values[:-1]
        self.last[name] = int(values[-1])
        if name == "funding_rate":
            times = np.concatenate(([self.next_funding_ts], funding_ts[there]))
            news[there] |= times[1:] != times[:-1]
            self.next_funding_ts = int(times[-1])
        return news

    def _out_of_range(self, rows: Rows, name: str) -> NDArray[np.bool_]:
        return ~(np.abs(rows.column(name, 0.0) / _TICKERS[name][1]) < 2.0**62)


def _numbers(rows: Rows, name: str) -> NDArray[np.int64]:
    return np.rint(rows.column(name, 0.0) / _TICKERS[name][1]).astype(np.int64)
