"""Instruments of the recorded sessions, and what importing them gives."""

import json
from collections.abc import Iterable, Iterator
from functools import cache
from io import BytesIO
from typing import Any, Final, NamedTuple

import numpy as np

from market.events import EVENT, Events
from market.instrument import Instrument
from market.sources import decoder_for
from market.sources.decoder import Decoder
from market.sources.importing import Account, InputFile
from market.sources.session import SessionImporter
from storage.captures import input_file
from tests.builders import recording

NOW: Final = 1_786_310_820_000_000_000
MS: Final = 1_000_000


def _instrument(venue: str, symbol: str, contract: Any, tick: float, lot: float, unit: float = 1.0) -> Instrument:
    name = f"{venue}-{symbol.replace('-', '_')}"
    return Instrument(name, venue, symbol, contract, tick, lot, unit, "BASE", "QUOTE")


BYBIT_BTC: Final = _instrument("bybit-linear", "btcusdt", "linear", 0.1, 0.001)
BYBIT_SPOT_BTC: Final = _instrument("bybit-spot", "btcusdt", "spot", 0.1, 0.000001)
OKX_BTC: Final = _instrument("okx-spot", "btc-usdt", "spot", 0.1, 1e-8)
OKX_UNI: Final = _instrument("okx-swap", "uni-usd-swap", "inverse", 0.001, 1.0, 10.0)
COINBASE_BTC: Final = _instrument("coinbase-spot", "btc-usd", "spot", 0.01, 1e-8)


class Session(NamedTuple):
    """One symbol of a recorded session."""

    file: str
    instrument: Instrument


SESSIONS: Final = {
    session.instrument.name: session
    for session in (
        Session("BYBIT", BYBIT_BTC),
        Session("BYBIT", _instrument("bybit-linear", "ethusdt", "linear", 0.01, 0.01)),
        Session("BYBIT", _instrument("bybit-linear", "solusdt", "linear", 0.01, 0.1)),
        Session("BYBIT", _instrument("bybit-linear", "dogeusdt", "linear", 0.00001, 1.0)),
        Session("BYBIT", BYBIT_SPOT_BTC),
        Session("BYBIT", _instrument("bybit-spot", "ethusdt", "spot", 0.01, 0.00001)),
        Session("OKX", OKX_BTC),
        Session("OKX", OKX_UNI),
        Session("OKX", _instrument("okx-futures", "btc-usd-220527", "inverse", 0.1, 1.0, 100.0)),
        Session("COINBASE", COINBASE_BTC),
        Session("COINBASE", _instrument("coinbase-spot", "eth-usd", "spot", 0.01, 1e-8)),
        # old orders rest with finer quantities, or at finer prices, than the grid of the day
        Session("BINANCE", _instrument("binance-spot", "nknusdt", "spot", 0.0001, 1e-8)),
        Session("BINANCE", _instrument("binance-spot", "blzeth", "spot", 1e-8, 1.0)),
        Session("BINANCE", _instrument("binance-spot", "lrcbtc", "spot", 1e-8, 1.0)),
        Session("BINANCE", _instrument("binance-spot", "runeeur", "spot", 0.001, 0.1)),
        Session("BINANCE_FUTURES", _instrument("binance-usdm", "sushiusdt", "linear", 0.001, 1.0)),
        Session("BINANCE_FUTURES", _instrument("binance-usdm", "akrousdt", "linear", 0.00001, 1.0)),
        Session("BINANCE_FUTURES", _instrument("binance-usdm", "keepusdt", "linear", 0.0001, 1.0)),
        Session("BINANCE_FUTURES", _instrument("binance-usdm", "ctkusdt", "linear", 0.00001, 1.0)),
    )
}


def session_file(name: str) -> InputFile:
    """A recorded session, decompressed as it is read."""
    return input_file(recording(f"websocket/{name}.jsonl.zst"))


def session_records(name: str) -> Iterator[dict[str, Any]]:
    """The records of a recorded session behind its header, by plain ``json``."""
    with session_file(name).open() as stream:
        next(iter(stream))
        yield from (json.loads(line) for line in stream)


@cache
def imported_session(name: str) -> tuple[Events, Account]:
    """Events and account of one of SESSIONS; shared, so not to be changed."""
    file, instrument = SESSIONS[name]
    importer = SessionImporter(decoder_for(instrument))
    batches = list(importer.batches([session_file(file)]))
    return np.concatenate([np.zeros(0, EVENT), *batches], dtype=EVENT), importer.account


def frames_of(name: str) -> list[bytes]:
    """Every frame that a recorded session's sockets received."""
    return [record["data"].encode() for record in session_records(name) if record["t"] == "recv"]


def lines_file(lines: Iterable[bytes], name: str = "session.jsonl") -> InputFile:
    """A file in memory."""
    content = b"".join(line.rstrip(b"\n") + b"\n" for line in lines)
    return InputFile(name, lambda: BytesIO(content))


def decoded(decoder: Decoder, *frames: bytes) -> list[Events]:
    """The events of each frame, a nanosecond apart from NOW on."""
    return [decoder.decode(data, NOW + place) for place, data in enumerate(frames)]


def kinds(events: Events) -> list[int]:
    """The kinds of some events."""
    return [int(kind) for kind in events["kind"]]
