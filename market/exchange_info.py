"""Instruments as the venues themselves describe them: saved bodies of their exchange-info answers."""

from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from market.errors import ConfigError, DataError
from market.instrument import Contract, Instrument

Text = Annotated[str, Meta(min_length=1)]


class _Filter(Struct):
    filterType: str = ""
    tickSize: str = ""
    stepSize: str = ""


class _BinanceSymbol(Struct):
    symbol: Text
    baseAsset: Text
    quoteAsset: Text
    filters: list[_Filter]
    contractSize: float = 0.0  # quote currency a contract, COIN-M alone

    def filtered(self, kind: str) -> _Filter:
        return next((one for one in self.filters if one.filterType == kind), _Filter())


class _Binance(Struct):
    symbols: list[_BinanceSymbol]


class _PriceFilter(Struct):
    tickSize: str


class _LotFilter(Struct):
    qtyStep: str = ""  # contracts
    basePrecision: str = ""  # spot


class _BybitSymbol(Struct):
    symbol: Text
    baseCoin: Text
    quoteCoin: Text
    priceFilter: _PriceFilter
    lotSizeFilter: _LotFilter


class _BybitResult(Struct):
    category: str
    list: list[_BybitSymbol]


class _Bybit(Struct):
    result: _BybitResult


class _OkxInstrument(Struct):
    instId: Text
    tickSz: str
    lotSz: str
    baseCcy: str = ""  # spot alone
    quoteCcy: str = ""
    ctType: str = ""  # contracts alone: linear or inverse
    ctVal: str = ""  # base coins (linear) or quote currency (inverse) a contract
    ctMult: str = ""


class _Okx(Struct):
    data: list[_OkxInstrument]


class _CoinbaseProduct(Struct):
    product_id: Text
    base_currency_id: Text
    quote_currency_id: Text
    base_increment: str
    price_increment: str = ""
    quote_increment: str = ""


class _Coinbase(Struct):
    products: list[_CoinbaseProduct]


class _Facts(Struct):
    """What the venues tell under different names."""

    symbol: str
    contract: str
    tick: str
    lot: str
    multiplier: float
    base: str
    quote: str


def instrument_from(venue: str, name: str, venue_symbol: str, body: bytes) -> Instrument:
    """The instrument that a venue's exchange-info answer describes.

    venue_symbol : in any case
    Raises ConfigError if the venue is unknown here or the answer does not hold the symbol, DataError if the answer
    cannot be read.
    """
    if venue not in _READERS:
        raise ConfigError(f"venue={venue!r} is none whose exchange info is known: {', '.join(sorted(_READERS))}")
    kind, facts_of = _READERS[venue]
    try:
        held = {facts.symbol.lower(): facts for facts in facts_of(venue, msgspec.json.decode(body, type=kind))}
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"exchange info of {venue} cannot be read: {error} in {body[:60]!r}") from error
    if venue_symbol.lower() not in held:
        raise ConfigError(f"exchange info of {venue} holds no symbol {venue_symbol!r} among its {len(held)}")
    return _instrument(venue, name, held[venue_symbol.lower()])


def reconciled(configured: Instrument, told: Instrument) -> Instrument:
    """What the venue tells of an instrument that is configured as well.

    A configured tick or lot that divides the venue's is kept: old orders may rest on a finer grid than the day's.
    Raises ConfigError, naming key and both values, where the two contradict each other.
    """
    for key in ("contract", "tick_size", "lot_size", "multiplier", "base", "quote"):
        ours, theirs = getattr(configured, key), getattr(told, key)
        finer = key in ("tick_size", "lot_size") and Decimal(str(theirs)) % Decimal(str(ours)) == 0
        if ours != theirs and not finer:
            raise ConfigError(f"{key}={ours} of {configured.name} contradicts the exchange info, which says {theirs}")
    return configured


def _instrument(venue: str, name: str, facts: _Facts) -> Instrument:
    if facts.contract not in ("linear", "inverse", "spot"):
        raise DataError(f"exchange info of {venue}: contract={facts.contract!r} of {facts.symbol} is not known")
    contract: Contract = facts.contract  # type: ignore[assignment]
    tick, lot = (_step(venue, facts, key) for key in ("tick", "lot"))
    if not 0 < facts.multiplier < float("inf"):
        raise DataError(f"exchange info of {venue}: contract size {facts.multiplier} of {facts.symbol}, not above 0")
    return Instrument(name, venue, facts.symbol.lower(), contract, tick, lot, facts.multiplier, facts.base, facts.quote)


def _step(venue: str, facts: _Facts, key: str) -> float:
    text = getattr(facts, key)
    step = _decimal(text)
    if step is None or step <= 0:
        raise DataError(f"exchange info of {venue}: {key}={text!r} of {facts.symbol} is no number above 0")
    return float(step)


def _decimal(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _binance(venue: str, answer: _Binance) -> Iterator[_Facts]:
    contract = {"binance-usdm": "linear", "binance-coinm": "inverse"}.get(venue, "spot")
    for one in answer.symbols:
        tick, lot = one.filtered("PRICE_FILTER").tickSize, one.filtered("LOT_SIZE").stepSize
        multiplier = one.contractSize if contract == "inverse" else 1.0
        yield _Facts(one.symbol, contract, tick, lot, multiplier, one.baseAsset, one.quoteAsset)


def _bybit(venue: str, answer: _Bybit) -> Iterator[_Facts]:
    contract = answer.result.category
    if venue != f"bybit-{contract}":
        raise DataError(f"exchange info of {venue} is of the category {contract!r}")
    for one in answer.result.list:
        lot = one.lotSizeFilter.basePrecision if contract == "spot" else one.lotSizeFilter.qtyStep
        yield _Facts(one.symbol, contract, one.priceFilter.tickSize, lot, 1.0, one.baseCoin, one.quoteCoin)


def _okx(venue: str, answer: _Okx) -> Iterator[_Facts]:
    for one in answer.data:
        base, _, rest = one.instId.partition("-")
        if venue == "okx-spot":
            yield _Facts(one.instId, "spot", one.tickSz, one.lotSz, 1.0, one.baseCcy, one.quoteCcy)
        else:
            size = (_decimal(one.ctVal) or Decimal(0)) * (_decimal(one.ctMult) or Decimal(0))
            quote = rest.partition("-")[0]
            yield _Facts(one.instId, one.ctType, one.tickSz, one.lotSz, float(size), base, quote)


def _coinbase(venue: str, answer: _Coinbase) -> Iterator[_Facts]:
    for one in answer.products:
        tick = one.price_increment or one.quote_increment
        base, quote = one.base_currency_id, one.quote_currency_id
        yield _Facts(one.product_id, "spot", tick, one.base_increment, 1.0, base, quote)


_READERS: Final[dict[str, tuple[type[Struct], Callable[[str, Any], Iterator[_Facts]]]]] = {
    "binance-coinm": (_Binance, _binance),
    "binance-spot": (_Binance, _binance),
    "binance-usdm": (_Binance, _binance),
    "bybit-inverse": (_Bybit, _bybit),
    "bybit-linear": (_Bybit, _bybit),
    "bybit-spot": (_Bybit, _bybit),
    "coinbase-spot": (_Coinbase, _coinbase),
    "okx-futures": (_Okx, _okx),
    "okx-spot": (_Okx, _okx),
    "okx-swap": (_Okx, _okx),
}
