"""The replay venue's REST side: Binance's paths for its kind of market, and ``/replay`` for whoever runs it."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from live.connectors.binance_api import DEPTH_LIMIT, INVALID_SYMBOL, decimals, rest_prefix
from market.instrument import Instrument

Answer = tuple[HTTPStatus, Any]


class Rest:
    """Answers GET requests; what is behind the paths comes in as functions."""

    def __init__(
        self,
        instrument: Instrument,
        depth: Callable[[int], dict[str, Any] | None],
        time_ms: Callable[[], int],
        replay: dict[str, Callable[[], dict[str, Any]]],
    ) -> None:
        """``depth`` of a number of levels, None while the venue has no book; ``replay`` by last part of the path."""
        prefix = rest_prefix(instrument)
        self._instrument = instrument
        self._depth = depth
        self._paths: dict[str, Callable[[dict[str, str]], Answer]] = {
            f"{prefix}/ping": _plain(dict),
            f"{prefix}/time": _plain(lambda: {"serverTime": time_ms()}),
            f"{prefix}/depth": self._depth_answer,
            f"{prefix}/exchangeInfo": _plain(lambda: exchange_info(instrument, time_ms())),
        }
        self._paths |= {f"/replay/{name}": _plain(content) for name, content in replay.items()}

    def answer(self, target: str) -> tuple[HTTPStatus, bytes]:
        """Status and JSON body for a path with its query."""
        parts = urlsplit(target)
        if parts.path not in self._paths:
            return HTTPStatus.NOT_FOUND, _error(-1, f"no such path {parts.path}")
        status, body = self._paths[parts.path](dict(parse_qsl(parts.query)))
        return status, msgspec.json.encode(body)

    def _depth_answer(self, query: dict[str, str]) -> Answer:
        limit = query.get("limit", "500")
        if "symbol" not in query:
            return _refusal(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        if query["symbol"].lower() != self._instrument.venue_symbol:
            return _refusal(INVALID_SYMBOL, "Invalid symbol.")
        if not limit.isdigit() or not 0 < int(limit) <= DEPTH_LIMIT:
            return _refusal(-1130, "Data sent for parameter 'limit' is not valid.")
        depth = self._depth(int(limit))
        if depth is None:
            return HTTPStatus.SERVICE_UNAVAILABLE, {"code": -1001, "msg": "The tape has shown no snapshot yet."}
        return HTTPStatus.OK, depth


def exchange_info(instrument: Instrument, time_ms: int) -> dict[str, Any]:
    """Binance's description of the one symbol that is traded here."""
    symbol, tick, lot = instrument.venue_symbol.upper(), instrument.tick_size, instrument.lot_size
    entry: dict[str, Any] = {
        "symbol": symbol,
        "baseAsset": instrument.base,
        "quoteAsset": instrument.quote,
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": f"{tick:.{decimals(tick)}f}"},
            {"filterType": "LOT_SIZE", "stepSize": f"{lot:.{decimals(lot)}f}"},
        ],
    }
    if instrument.inverse:
        entry |= {"contractStatus": "TRADING", "contractSize": instrument.multiplier}
    else:
        entry |= {"status": "TRADING"}
    if instrument.contract != "spot":
        entry |= {"pair": symbol.partition("_")[0], "contractType": "PERPETUAL", "marginAsset": instrument.settlement}
    return {"timezone": "UTC", "serverTime": time_ms, "symbols": [entry]}


def _plain(content: Callable[[], dict[str, Any]]) -> Callable[[dict[str, str]], Answer]:
    """An answer that no query changes."""
    return lambda query: (HTTPStatus.OK, content())


def _refusal(code: int, text: str) -> Answer:
    return HTTPStatus.BAD_REQUEST, {"code": code, "msg": text}


def _error(code: int, text: str) -> bytes:
    return msgspec.json.encode({"code": code, "msg": text})
