"""Signed questions to an exchange, through ccxt: every answer in ticks and lots, every failure one of two kinds."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

import msgspec

from live.connectors.binance_api import decimals
from live.connectors.pace import Hosts
from live.connectors.rest import TOO_MANY, told_wait_s
from live.gateways.life import OrderLife, Standing, Trade
from live.gateways.news import Heard, OrderNews
from live.gateways.permission import Keys
from live.gateways.renewing import Insistence, renewed, wait_of
from live.gateways.venue_clock import VenueClock
from market.errors import ConfigError, NoAnswer, OrderRefused, RefusedForNow, VenueError
from market.events import BUY, SELL
from market.instrument import Instrument
from market.orders import FOK, GTC, IOC, POST_ONLY

_PREFIX: Final = {"binance-usdm": "fapi", "binance-coinm": "dapi"}
_CLASSES: Final = {
    "binance-usdm": "binanceusdm",
    "binance-coinm": "binancecoinm",
    "binance-spot": "binance",
    "bybit-linear": "bybit",
    "bybit-inverse": "bybit",
}
_POSITIONS: Final = {"binance-usdm": "fapiPrivateV2GetPositionRisk", "binance-coinm": "dapiPrivateGetPositionRisk"}
TIFS: Final = {GTC: "GTC", IOC: "IOC", FOK: "FOK", POST_ONLY: "GTX"}
_MS: Final = 1_000_000  # ns
_CODE: Final = re.compile(r'"code":\s*(-?\d+)')
_UNDECIDED: Final = (-1000, -1001, -1006, -1007)  # Binance: the order may or may not have been executed
UNKNOWN_ORDER: Final = (-2011, -2013)  # Binance's codes, of a cancel and of a question
DUPLICATE: Final = -4116  # a client order id that a working order bears
OUTSIDE_WINDOW: Final = -1021  # Binance's code of a stamp that its clock does not take
_WEIGHTS: Final = {  # Binance's own, of questions that cost more than 1, and of orders, which count apart
    "PostOrder": 0,
    "PostCountdownCancelAll": 10,
    "GetUserTrades": 5,
    "GetPositionRisk": 5,
    "GetMyTrades": 20,
    "GetAccount": 20,
}
LISTEN_KEY_S: Final = 3_600.0  # for which a listen key lives
KEEP_S: Final = 1_500.0  # after which it is renewed


class _Message(msgspec.Struct):
    e: str
    o: OrderNews | None = None


class Addresses(NamedTuple):
    """Where an exchange takes orders; empty: its own addresses."""

    rest_url: str
    testnet: bool
    hosts: Hosts  # what each of them lets this process ask for


class Open(NamedTuple):
    """A working order at the venue."""

    client_id: str
    leaves: int  # lots


class Holding(NamedTuple):
    """What an account holds in our symbol."""

    lots: int  # signed
    entry_price: int  # ticks, 0 while flat


def require_orders(instrument: Instrument) -> None:
    """Raises ConfigError if no gateway sends orders to the instrument's venue."""
    if instrument.venue not in _CLASSES:
        raise ConfigError(f"venue={instrument.venue!r} takes no orders from us; {', '.join(_CLASSES)} do")


def require_countdown(instrument: Instrument, dead_man_s: float) -> None:
    """Raises ConfigError if a dead man's switch is wanted where the venue has none."""
    if dead_man_s and instrument.contract == "spot":
        raise ConfigError(
            f"live.orders.dead_man_s={dead_man_s:g}: {instrument.venue} has no dead man's switch; 0 trades without one"
        )
    if dead_man_s and instrument.venue.startswith("bybit") and not 3.0 <= dead_man_s <= 300.0:
        raise ConfigError(f"live.orders.dead_man_s={dead_man_s:g}: {instrument.venue} takes 0, or 3 to 300")


def on_grid(text: str, step: float) -> int:
    """A decimal of the venue in ticks or lots, rounded to none.

    Raises VenueError if it is no multiple, or no number.

    >>> on_grid("50000.10", 0.1)
    500001
    """
    try:
        steps = Decimal(text) / Decimal(str(step))
    except InvalidOperation as error:
        raise VenueError(f"{text[:40]!r} is no number") from error
    if not steps.is_finite() or steps != steps.to_integral_value():
        raise VenueError(f"{text} is no multiple of {step}")
    return int(steps)


class VenueClient:
    """One account, one symbol, at Binance's futures. Clients of other venues translate refusals to its codes."""

    _trades_path = "GetUserTrades"
    renews = True  # whether its dead man's switch has to be told again and again
    may_trade = "enableFutures"  # what a key needs, in the venue's word

    def __init__(self, instrument: Instrument, keys: Keys, addresses: Addresses, limits: tuple[float, float]) -> None:
        """``limits`` : longest wait for an answer and the venue's receive window, ms.

        Raises ConfigError if the venue takes no orders from us.
        """
        import ccxt.async_support as ccxt  # seconds

        require_orders(instrument)
        self._instrument = instrument
        prefix = _PREFIX.get(instrument.venue)
        self._private = f"{prefix}Private" if prefix else "private"
        self._symbol = instrument.venue_symbol.upper()
        self._digits = decimals(instrument.tick_size), decimals(instrument.lot_size)
        self._failure = ccxt.BaseError
        self.clock = VenueClock(self._venue_ms, self._take_offset)
        self._ccxt = _speaker(getattr(ccxt, _CLASSES[instrument.venue]), keys, limits)
        self._ccxt.handle_errors = _heeding_limits(self._ccxt.handle_errors)
        self.test_network = addresses.testnet and not addresses.rest_url
        if self.test_network:
            self._ccxt.enable_demo_trading(True)
        if addresses.rest_url:
            self._point_to(addresses.rest_url.rstrip("/"))
        self._budget = addresses.hosts.weights(self._address())

    @property
    def quiet_s(self) -> float:
        """Seconds until the venue wants to hear of this process again, 0 where it does."""
        return self._budget.closed_s(time.monotonic())

    def turn_s(self) -> float:
        """Seconds until it is our turn, where the venue has sent us away; 0 where it hears us, or that is over."""
        return self._budget.reserve(1, time.monotonic()) if self.quiet_s else 0.0

    def _point_to(self, base: str) -> None:
        api = self._ccxt.urls["api"]
        for prefix in ("fapi", "dapi"):
            for suffix, version in (("Public", 1), ("Private", 1), ("PrivateV2", 2)):
                api[prefix + suffix] = f"{base}/{prefix}/v{version}"
        api["sapi"] = f"{base}/sapi/v1"

    def _address(self) -> str:
        """Where orders go."""
        return str(self._ccxt.implode_hostname(self._ccxt.urls["api"][self._private]))

    async def close(self) -> None:
        """Let go of the connections."""
        await self._ccxt.close()

    async def open(self) -> None:
        """Learn how far the venue's clock is from ours."""
        await self.clock.learn("start")

    async def restrictions(self) -> dict[str, Any]:
        """What the key may do, as the venue says it."""
        answer: dict[str, Any] = await self._ask("sapiGetAccountApiRestrictions")
        return answer

    async def place(self, life: OrderLife, client_id: str) -> Standing:
        """Send an order; where it stands right after."""
        order = self._order(life) | {"newClientOrderId": client_id}
        return self._standing(await self._ask(f"{self._private}PostOrder", order))

    def _order(self, life: OrderLife) -> dict[str, Any]:
        tick, lot = self._instrument.tick_size, self._instrument.lot_size
        return {
            "symbol": self._symbol,
            "side": "BUY" if life.side == BUY else "SELL",
            "type": "LIMIT",
            "timeInForce": TIFS[life.tif],
            "price": f"{life.price * tick:.{self._digits[0]}f}",
            "quantity": f"{life.qty * lot:.{self._digits[1]}f}",
            "newOrderRespType": "ACK",
        }

    async def cancel(self, client_id: str) -> Standing:
        """Cancel an order; where it stands right after."""
        return self._standing(await self._ask(f"{self._private}DeleteOrder", self._of(client_id)))

    async def standing(self, client_id: str) -> Standing | None:
        """Where an order stands, None if the venue has never heard of it."""
        try:
            return self._standing(await self._ask(f"{self._private}GetOrder", self._of(client_id)))
        except OrderRefused as refusal:
            if refusal.code in UNKNOWN_ORDER:
                return None
            raise

    async def trades(self, venue_id: int) -> list[Trade]:
        """All fills of an order, oldest first."""
        asked = {"symbol": self._symbol, "orderId": venue_id}
        answer = await self._ask(f"{self._private}{self._trades_path}", asked)
        return sorted(self._trade(row) for row in answer if int(row["orderId"]) == venue_id)

    async def open_orders(self) -> list[Open]:
        """Every order of the account that works in this symbol."""
        answer = await self._ask(f"{self._private}GetOpenOrders", {"symbol": self._symbol})
        lot = self._instrument.lot_size
        return [
            Open(str(row["clientOrderId"]), on_grid(row["origQty"], lot) - on_grid(row["executedQty"], lot))
            for row in answer
        ]

    async def holding(self) -> Holding:
        """What the account holds, one-way mode; its entry price in ticks, to the nearest.

        Raises VenueError in hedge mode.
        """
        answer = await self._ask(_POSITIONS[self._instrument.venue], {})
        rows = [row for row in answer if row["symbol"] == self._symbol]
        if any(row.get("positionSide", "BOTH") != "BOTH" for row in rows):
            raise VenueError(f"the account holds {self._symbol} in hedge mode; one-way mode is needed")
        lots = sum(on_grid(row["positionAmt"], self._instrument.lot_size) for row in rows)
        return Holding(lots, round(float(rows[0]["entryPrice"]) / self._instrument.tick_size) if lots else 0)

    async def cancel_all_after(self, countdown_s: float) -> None:
        """Have the venue cancel all orders in this symbol unless it is asked again within the countdown; 0: never."""
        asked = {"symbol": self._symbol, "countdownTime": round(countdown_s * 1e3)}
        await self._ask(f"{self._private}PostCountdownCancelAll", asked)

    async def take_stock(self, new: bool) -> None:
        """Note what the account holds before a new journal's first order, where no position can be asked for."""

    async def stream_address(self, ws_url: str) -> str:
        """Where the account's stream is; a secret."""
        return f"{ws_url}/ws/{(await self._ask(f'{self._private}PostListenKey'))['listenKey']}"

    def greetings(self) -> list[bytes]:
        """What is said first on the account's stream; the venue answers each."""
        return []

    async def keep(self, say: Callable[[bytes], None], insistence: Insistence) -> None:
        """Keep the account's stream until cancelled. Raises VenueError if the venue does not while its key lives."""
        while True:
            await asyncio.sleep(KEEP_S)
            await renewed(self._renew_listen_key, LISTEN_KEY_S - KEEP_S, insistence)

    async def _renew_listen_key(self) -> None:
        await self._ask(f"{self._private}PutListenKey")

    def read(self, frame: bytes) -> Heard:
        """What a message of the account's stream comes to. Raises ValueError if it cannot be read."""
        message = msgspec.json.decode(frame, type=_Message)
        if message.e == "ORDER_TRADE_UPDATE" and message.o is not None:
            return Heard((message.o,))
        return Heard(over=message.e == "listenKeyExpired")

    def _of(self, client_id: str) -> dict[str, Any]:
        return {"symbol": self._symbol, "origClientOrderId": client_id}

    def _standing(self, row: dict[str, Any]) -> Standing:
        filled = on_grid(row.get("executedQty", "0"), self._instrument.lot_size)
        return Standing(
            row["status"], filled, int(row.get("updateTime") or row.get("transactTime") or 0) * _MS, int(row["orderId"])
        )

    def _trade(self, row: dict[str, Any]) -> Trade:
        price = on_grid(row["price"], self._instrument.tick_size)
        qty = on_grid(row["qty"], self._instrument.lot_size)
        return Trade(int(row["id"]), price, qty, bool(row.get("maker", row.get("isMaker"))), int(row["time"]) * _MS)

    async def _ask(self, name: str, parameters: dict[str, Any] | None = None) -> Any:
        """Raises OrderRefused if the venue said no, NoAnswer if it may have done it or not.

        Where the venue disputes our clock, nothing was done: that is learnt anew, and it is asked once more.
        """
        question: Callable[[dict[str, Any]], Any] = getattr(self._ccxt, name)
        readings = await self.clock.settled()
        self._budget.reserve(weight_of(name), time.monotonic())  # an order does not wait; others leave it the room
        try:
            return await self._answer_to(question(parameters or {}))
        except OrderRefused as refusal:
            if refusal.code != OUTSIDE_WINDOW:
                raise
        await self.clock.learn("refused", readings)
        return await self._answer_to(question(parameters or {}))

    async def _answer_to(self, asked: Awaitable[Any]) -> Any:
        try:
            return await asked
        except RefusedForNow as refusal:
            raise self._heeded(refusal) from None
        except self._failure as error:
            raise self._heeded(self._in_words(error)) from None  # its text and context hold signatures

    def _heeded(self, error: VenueError) -> VenueError:
        """The same error, once we know for how long it sends us away."""
        if wait_s := wait_of(error):
            self._budget.close(wait_s, time.monotonic())
        return error

    async def _venue_ms(self) -> float:
        return float(await self._answer_to(self._ccxt.fetch_time()))

    def _take_offset(self, offset_ms: float) -> None:
        self._ccxt.options["timeDifference"] = round(offset_ms)

    def _in_words(self, error: Exception) -> VenueError:
        """The failure without addresses, signatures and keys: the venue's code, or the kind of silence."""
        code = _CODE.search(str(error))
        kind = type(error).__name__
        if code is not None and int(code[1]) == OUTSIDE_WINDOW:
            return RefusedForNow(OUTSIDE_WINDOW, "the exchange does not take our clock")
        if code is not None and int(code[1]) not in _UNDECIDED:
            return OrderRefused(int(code[1]), f"the exchange refuses with code {code[1]} ({kind})")
        if kind in ("DDoSProtection", "RateLimitExceeded"):
            return RefusedForNow(429, "the exchange refuses: too many requests")
        return NoAnswer(f"the exchange does not answer ({kind})")


def _speaker(venue: Callable[[dict[str, Any]], Any], keys: Keys, limits: tuple[float, float]) -> Any:
    """ccxt's client of a venue."""
    timeout_ms, window_ms = limits
    return venue(
        {
            "apiKey": keys.key,
            "secret": keys.secret,
            "timeout": int(timeout_ms),
            "enableRateLimit": False,  # the policy has a cap of its own; a queue would age orders
            "options": {"recvWindow": int(window_ms)},
        }
    )


def weight_of(name: str) -> int:
    """What a question costs of the budget, by the name that ccxt gives it.

    >>> weight_of("fapiPrivateGetUserTrades"), weight_of("fapiPrivateGetOrder")
    (5, 1)
    """
    return next((weight for ending, weight in _WEIGHTS.items() if name.endswith(ending)), 1)


def side_of(word: str) -> int:
    """BUY or SELL."""
    return BUY if word == "BUY" else SELL


def _heeding_limits(read: Callable[..., Any]) -> Callable[..., Any]:
    """ccxt's reading of an answer, after ours: it does not say for how long a venue has sent us away."""

    def heeding(status: int, reason: str, url: str, method: str, headers: Mapping[str, str], *rest: Any) -> Any:
        if status in TOO_MANY:
            told = {name.lower(): value for name, value in headers.items()}.get("retry-after")
            raise RefusedForNow(429, f"the exchange refuses: too many requests ({status})", told_wait_s(told))
        return read(status, reason, url, method, headers, *rest)

    return heeding
