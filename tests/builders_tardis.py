"""Events written as Tardis would have written them, apart from the code that reads it: CSV, microseconds, words."""

from collections.abc import Iterable
from decimal import Decimal
from io import BytesIO
from typing import Any, Final

import numpy as np

from market.events import BUY, FUNDING, INDEX, LEVEL, LIQUIDATION, MARK, SNAPSHOT, TRADE, Events
from market.instrument import Instrument
from market.sources.importing import InputFile

HEADERS: Final = {
    "incremental_book_L2": "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount",
    "trades": "exchange,symbol,timestamp,local_timestamp,id,side,price,amount",
    "liquidations": "exchange,symbol,timestamp,local_timestamp,id,side,price,amount",
    "derivative_ticker": "exchange,symbol,timestamp,local_timestamp,funding_timestamp,funding_rate,"
    "predicted_funding_rate,open_interest,last_price,index_price,mark_price",
}


def tardis_file(data_type: str, lines: Iterable[str], day: str = "2024-08-08", header: str = "") -> InputFile:
    """A file of a data type, plain text."""
    text = "".join(f"{line}\n" for line in [header or HEADERS[data_type], *lines]).encode()
    return InputFile(f"binance_{data_type}_{day}_X.csv", lambda: BytesIO(text))


def book_lines(events: Events, instrument: Instrument) -> list[str]:
    """Rows of ``incremental_book_L2``."""
    chosen = events[np.isin(events["kind"], (LEVEL, SNAPSHOT))]
    return [
        f"{_stamps(event, instrument)},{'true' if event['kind'] == SNAPSHOT else 'false'},"
        f"{'bid' if event['side'] == BUY else 'ask'},{_price(event, instrument)},{_amount(event, instrument)}"
        for event in chosen
    ]


def print_lines(events: Events, instrument: Instrument, kind: int = TRADE) -> list[str]:
    """Rows of ``trades``, or of ``liquidations``."""
    assert kind in (TRADE, LIQUIDATION)
    return [
        f"{_stamps(event, instrument)},{event['update_id']},{'buy' if event['side'] == BUY else 'sell'},"
        f"{_price(event, instrument)},{_amount(event, instrument)}"
        for event in events[events["kind"] == kind]
    ]


def ticker_lines(events: Events, instrument: Instrument) -> list[str]:
    """Rows of ``derivative_ticker``: each repeats what was known before, as Tardis does."""
    lines, known, newest = [], dict[int, Any](), -1
    for event in events[np.isin(events["kind"], (MARK, INDEX, FUNDING))]:
        known[int(event["kind"])] = event
        line = f"{_stamps(event, instrument)},{_ticker(known)}"
        if event["ingest_ts"] == newest:
            lines[-1] = line
        else:
            lines.append(line)
        newest = event["ingest_ts"]
    return lines


def _ticker(known: dict[int, Any]) -> str:
    funding = known.get(FUNDING)
    rate = ("", "") if funding is None else (funding["qty"] // 1000, f"{Decimal(int(funding['price'])).scaleb(-12):f}")
    mark, index = (
        f"{Decimal(int(known[kind]['price'])).scaleb(-8):f}" if kind in known else "" for kind in (MARK, INDEX)
    )
    return f"{rate[0]},{rate[1]},,1234.5,,{index},{mark}"


def _stamps(event: Any, instrument: Instrument) -> str:
    local = int(event["ingest_ts"]) // 1000
    return f"binance,{instrument.venue_symbol.upper()},{int(event['exchange_ts']) // 1000 or local},{local}"


def _price(event: Any, instrument: Instrument) -> str:
    return f"{int(event['price']) * Decimal(str(instrument.tick_size)):f}"


def _amount(event: Any, instrument: Instrument) -> str:
    return f"{int(event['qty']) * Decimal(str(instrument.lot_size)):f}"
