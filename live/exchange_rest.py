"""The replay venue's REST side: the paths of Binance's markets and of Bybit, and ``/replay`` for whoever runs it."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import msgspec

from live.connectors.binance_api import DEPTH_LIMIT, INVALID_SYMBOL, REST_PREFIX, decimals
from live.connectors.bybit_dialect import CATEGORIES
from market.instrument import Instrument

Answer = tuple[HTTPStatus | int, Any]
Query = dict[str, str]
Depth = Callable[[Instrument, int], dict[str, Any] | None]  # of a number of levels, None while there is no book
_REFUSALS: Final[dict[str, Answer]] = {
    "refuse": (HTTPStatus.SERVICE_UNAVAILABLE, {"code": -1001, "msg": "Internal error; unable to process."}),
    "limit": (HTTPStatus.TOO_MANY_REQUESTS, {"code": -1003, "msg": "Too many requests."}),
    "ban": (418, {"code": -1003, "msg": "Way too many requests; IP banned."}),
}


class Rest:
    """Answers GET requests; what is behind the paths comes in as functions."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        depth: Depth,
        time_ms: Callable[[], int],
        refusal: Callable[[], str],
        replay: dict[str, Callable[[], dict[str, Any]]],
    ) -> None:
        """``refusal``: what the next question for a depth is refused with; ``replay`` by last part of the path."""
        self._depth = depth
        self._refusal = refusal
        self._paths: dict[str, Callable[[Query], Answer]] = {}
        for venue in {instrument.venue for instrument in instruments} & set(REST_PREFIX):
            traded = [instrument for instrument in instruments if instrument.venue == venue]
            self._paths |= self._binance(REST_PREFIX[venue], traded, time_ms)
        bybit = [instrument for instrument in instruments if instrument.venue in CATEGORIES]
        if bybit:
            self._paths["/v5/market/time"] = _plain(lambda: _bybit({"timeSecond": str(time_ms() // 1000)}))
            self._paths["/v5/market/instruments-info"] = lambda query: _instruments_info(bybit, query)
        self._paths |= {f"/replay/{name}": _plain(content) for name, content in replay.items()}

    def answer(self, target: str) -> tuple[HTTPStatus | int, bytes]:
        """Status and JSON body for a path with its query."""
        parts = urlsplit(target)
        if parts.path not in self._paths:
            return HTTPStatus.NOT_FOUND, _error(-1, f"no such path {parts.path}")
        status, body = self._paths[parts.path](dict(parse_qsl(parts.query)))
        return status, msgspec.json.encode(body)

    def _binance(
        self, prefix: str, traded: list[Instrument], time_ms: Callable[[], int]
    ) -> dict[str, Callable[[Query], Answer]]:
        return {
            f"{prefix}/ping": _plain(dict),
            f"{prefix}/time": _plain(lambda: {"serverTime": time_ms()}),
            f"{prefix}/depth": lambda query: self._depth_answer(traded, query),
            f"{prefix}/exchangeInfo": _plain(lambda: exchange_infos(traded, time_ms())),
        }

    def _depth_answer(self, traded: list[Instrument], query: Query) -> Answer:
        if kind := self._refusal():
            return _REFUSALS[kind]
        limit = query.get("limit", "500")
        if "symbol" not in query:
            return _refusal(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        asked = [instrument for instrument in traded if instrument.venue_symbol == query["symbol"].lower()]
        if not asked:
            return _refusal(INVALID_SYMBOL, "Invalid symbol.")
        if not limit.isdigit() or not 0 < int(limit) <= DEPTH_LIMIT:
            return _refusal(-1130, "Data sent for parameter 'limit' is not valid.")
        depth = self._depth(asked[0], int(limit))
        if depth is None:
            return HTTPStatus.SERVICE_UNAVAILABLE, {"code": -1001, "msg": "The tape has shown no snapshot yet."}
        return HTTPStatus.OK, depth


def exchange_info(instrument: Instrument, time_ms: int) -> dict[str, Any]:
    """Binance's description of one symbol that is traded here."""
    return exchange_infos([instrument], time_ms)


def exchange_infos(instruments: Sequence[Instrument], time_ms: int) -> dict[str, Any]:
    """Binance's description of the symbols that are traded here."""
    return {"timezone": "UTC", "serverTime": time_ms, "symbols": [_symbol_info(one) for one in instruments]}


def _symbol_info(instrument: Instrument) -> dict[str, Any]:
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
    return entry


def _instruments_info(instruments: Sequence[Instrument], query: Query) -> Answer:
    """Bybit's description of the symbols of a category."""
    category = query.get("category", "")
    listed = [_bybit_info(one) for one in instruments if CATEGORIES[one.venue] == category]
    return HTTPStatus.OK, _bybit({"category": category, "list": listed})


def _bybit_info(instrument: Instrument) -> dict[str, Any]:
    tick, lot = instrument.tick_size, instrument.lot_size
    step = "basePrecision" if instrument.contract == "spot" else "qtyStep"
    return {
        "symbol": instrument.venue_symbol.upper(),
        "baseCoin": instrument.base,
        "quoteCoin": instrument.quote,
        "status": "Trading",
        "priceFilter": {"tickSize": f"{tick:.{decimals(tick)}f}"},
        "lotSizeFilter": {step: f"{lot:.{decimals(lot)}f}"},
    }


def _bybit(result: dict[str, Any]) -> dict[str, Any]:
    return {"retCode": 0, "retMsg": "OK", "result": result}


def _plain(content: Callable[[], dict[str, Any]]) -> Callable[[Query], Answer]:
    """An answer that no query changes."""
    return lambda query: (HTTPStatus.OK, content())


def _refusal(code: int, text: str) -> Answer:
    return HTTPStatus.BAD_REQUEST, {"code": code, "msg": text}


def _error(code: int, text: str) -> bytes:
    return msgspec.json.encode({"code": code, "msg": text})
