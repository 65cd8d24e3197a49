"""Signed questions to Bybit's derivatives, v5: what it answers is translated to the words of ``VenueClient``."""

import asyncio
import hashlib
import hmac
import re
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec

from live.connectors.bybit_dialect import CATEGORIES
from live.gateways.client import (
    DUPLICATE,
    OUTSIDE_WINDOW,
    UNKNOWN_ORDER,
    Addresses,
    Holding,
    Open,
    VenueClient,
    on_grid,
)
from live.gateways.life import OrderLife, Standing, Trade
from live.gateways.news import Heard, OrderNews
from live.gateways.permission import Keys
from live.gateways.renewing import Insistence
from market.errors import NoAnswer, OrderRefused, RefusedForNow, VenueError
from market.events import BUY
from market.instrument import Instrument
from market.orders import FOK, GTC, IOC, POST_ONLY

STREAM_PATH: Final = "/v5/private"
TIFS: Final = {GTC: "GTC", IOC: "IOC", FOK: "FOK", POST_ONLY: "PostOnly"}
STATUSES: Final = {
    "New": "NEW",
    "PartiallyFilled": "PARTIALLY_FILLED",
    "Filled": "FILLED",
    "Cancelled": "CANCELED",
    "PartiallyFilledCanceled": "CANCELED",
    "Rejected": "REJECTED",
}
UNTAKEN: Final = ("EC_PostOnlyWillTakeLiquidity", "EC_NoImmediateQtyToFill", "EC_NoEnoughQtyToFill")  # by the book
_PING_S: Final = 20.0
_AUTH_S: Final = 10.0  # for which a greeting is good
_MS: Final = 1_000_000  # ns
_CODE: Final = re.compile(r'"retCode":\s*"?(-?\d+)')
_UNDECIDED: Final = (10000, 10016)  # a timeout or fault of theirs: the order may have been executed
_MEANINGS: Final = {110001: UNKNOWN_ORDER[0], 110072: DUPLICATE, 110007: -2019, 110004: -2019, 110012: -2019}
_OUTSIDE_WINDOW: Final = 10002  # a stamp that its clock does not take
_TOO_MANY: Final = (10006, 10018)  # requests, of the account and of the address
_LIMIT_S: Final = 1.0  # over which Bybit counts them


class _Row(msgspec.Struct, rename="camel"):
    """Of an order or an execution: nothing else of it is read."""

    symbol: str
    order_id: str
    order_link_id: str = ""
    order_status: str = ""
    reject_reason: str = ""
    cum_exec_qty: str = "0"
    updated_time: str = "0"
    exec_id: str = ""
    exec_type: str = ""
    exec_price: str = "0"
    exec_qty: str = "0"
    exec_time: str = "0"
    order_qty: str = "0"
    leaves_qty: str = "0"
    is_maker: bool = False


class _Message(msgspec.Struct):
    topic: str = ""
    op: str = ""
    success: bool = True
    data: list[_Row] = []


class BybitClient(VenueClient):
    """One account, one symbol, linear or inverse, one-way mode."""

    renews = False  # its dead man's switch watches the account's stream

    def __init__(self, instrument: Instrument, keys: Keys, addresses: Addresses, limits: tuple[float, float]) -> None:
        super().__init__(instrument, keys, addresses, limits)
        self._keys = keys
        self._guarded = False
        self._market = {"category": CATEGORIES[instrument.venue], "symbol": self._symbol}

    def _point_to(self, base: str) -> None:
        self._ccxt.urls["api"] = dict.fromkeys(self._ccxt.urls["api"], base)

    async def restrictions(self) -> dict[str, Any]:
        """What the key may do, in Binance's words; nothing is said where the venue says nothing."""
        result = await self._result("privateGetV5UserQueryApi", {})
        may = result.get("permissions")
        if may is None or "Wallet" not in may:
            return {}
        moves = bool(may["Wallet"])  # transfers between accounts, and withdrawals
        trades = "Order" in may.get("ContractTrade", []) and int(result.get("readOnly", 1)) == 0
        return {
            "enableWithdrawals": moves,
            "enableInternalTransfer": moves,
            "permitsUniversalTransfer": moves,
            "enableFutures": trades,
        }

    async def place(self, life: OrderLife, client_id: str) -> Standing:
        """Send an order; it is taken, and the account's stream says what becomes of it."""
        order = super()._order(life)
        asked = self._market | {
            "side": "Buy" if life.side == BUY else "Sell",
            "orderType": "Limit",
            "timeInForce": TIFS[life.tif],
            "price": order["price"],
            "qty": order["quantity"],
            "orderLinkId": client_id,
            "positionIdx": 0,
        }
        return _taken(await self._ask("privatePostV5OrderCreate", asked))

    async def cancel(self, client_id: str) -> Standing:
        """Cancel an order; where it stands right after."""
        answer = await self._ask("privatePostV5OrderCancel", self._market | {"orderLinkId": client_id})
        return await self.standing(client_id) or _taken(answer)

    async def standing(self, client_id: str) -> Standing | None:
        """Where an order stands, None if the venue has never heard of it."""
        for name in ("privateGetV5OrderRealtime", "privateGetV5OrderHistory"):
            rows = (await self._result(name, self._market | {"orderLinkId": client_id}))["list"]
            if rows:
                return self._standing_of(msgspec.convert(rows[0], _Row))
        return None

    async def trades(self, venue_id: int) -> list[Trade]:
        """All fills of an order, oldest first."""
        asked = self._market | {"orderId": str(UUID(int=venue_id)), "limit": 100}
        found: list[_Row] = []
        while True:
            result = await self._result("privateGetV5ExecutionList", asked)
            found += msgspec.convert(result["list"], list[_Row])
            if not result["list"] or not result.get("nextPageCursor"):
                return sorted((self._trade_of(row) for row in found), key=lambda trade: trade.venue_ts)
            asked["cursor"] = result["nextPageCursor"]

    async def open_orders(self) -> list[Open]:
        """Every order of the account that works in this symbol."""
        asked, found = self._market | {"openOnly": 0, "limit": 50}, list[Open]()
        while True:
            result = await self._result("privateGetV5OrderRealtime", asked)
            rows = [row for row in result["list"] if row["orderStatus"] in ("New", "PartiallyFilled")]
            found += [Open(row["orderLinkId"], on_grid(row["leavesQty"], self._lot)) for row in rows]
            if not result["list"] or not result.get("nextPageCursor"):
                return found
            asked["cursor"] = result["nextPageCursor"]

    async def holding(self) -> Holding:
        """What the account holds, one-way mode; its entry price in ticks, to the nearest.

        Raises VenueError in hedge mode.
        """
        rows = (await self._result("privateGetV5PositionList", self._market))["list"]
        if any(int(row["positionIdx"]) for row in rows):
            raise VenueError(f"the account holds {self._symbol} in hedge mode; one-way mode is needed")
        held = [row for row in rows if row["side"]]
        lots = sum(on_grid(row["size"], self._lot) * (1 if row["side"] == "Buy" else -1) for row in held)
        return Holding(lots, round(float(held[0]["avgPrice"]) / self._instrument.tick_size) if lots else 0)

    async def cancel_all_after(self, countdown_s: float) -> None:
        """Have the venue cancel the account's derivative orders once its stream is gone for so long; 0: as it was."""
        if countdown_s:
            asked = {"product": "DERIVATIVES", "timeWindow": round(countdown_s)}
            await self._result("privatePostV5OrderDisconnectedCancelAll", asked)
            self._guarded = True

    async def stream_address(self, ws_url: str) -> str:
        """Where the account's stream is."""
        return f"{ws_url}{STREAM_PATH}"

    def greetings(self) -> list[bytes]:
        """Who we are, and what we want to hear."""
        expires = int((time.time() + _AUTH_S) * 1e3 - self.clock.offset_ms)
        signature = hmac.new(self._keys.secret.encode(), f"GET/realtime{expires}".encode(), hashlib.sha256).hexdigest()
        category = self._market["category"]
        topics = [f"order.{category}", f"execution.{category}", *(["dcp.future"] if self._guarded else [])]
        said = ({"op": "auth", "args": [self._keys.key, expires, signature]}, {"op": "subscribe", "args": topics})
        return [msgspec.json.encode(one) for one in said]

    async def keep(self, say: Callable[[bytes], None], insistence: Insistence) -> None:
        """Let the venue hear of us until cancelled."""
        while True:
            await asyncio.sleep(_PING_S)
            say(b'{"op":"ping"}')

    def read(self, frame: bytes) -> Heard:
        """What a message of the account's stream comes to. Raises ValueError if it cannot be read."""
        message = msgspec.json.decode(frame, type=_Message)
        if message.op in ("auth", "subscribe"):
            return Heard(taken=int(message.success), over=not message.success)
        if message.topic.startswith("execution"):
            return Heard(tuple(self._news_of_fill(row) for row in message.data if row.exec_type != "Funding"))
        if message.topic.startswith("order"):
            return Heard(tuple(self._news_of_order(row) for row in message.data))
        return Heard()

    @property
    def _lot(self) -> float:
        return self._instrument.lot_size

    def _news_of_order(self, row: _Row) -> OrderNews:
        status = _status_of(row)
        stamp, number = int(row.updated_time), UUID(row.order_id).int
        return OrderNews(row.symbol, row.order_link_id, status, status, number, row.cum_exec_qty, stamp)

    def _news_of_fill(self, row: _Row) -> OrderNews:
        leaves = Decimal(row.leaves_qty)
        return OrderNews(
            s=row.symbol,
            c=row.order_link_id,
            x="TRADE",
            X="PARTIALLY_FILLED" if leaves else "FILLED",
            i=UUID(row.order_id).int,
            z=str(Decimal(row.order_qty) - leaves),
            T=int(row.exec_time),
            l=row.exec_qty,
            L=row.exec_price,
            t=UUID(row.exec_id).int,
            m=row.is_maker,
        )

    def _standing_of(self, row: _Row) -> Standing:
        filled = on_grid(row.cum_exec_qty, self._lot)
        return Standing(_status_of(row), filled, int(row.updated_time) * _MS, UUID(row.order_id).int)

    def _trade_of(self, row: _Row) -> Trade:
        price, qty = on_grid(row.exec_price, self._instrument.tick_size), on_grid(row.exec_qty, self._lot)
        return Trade(UUID(row.exec_id).int, price, qty, row.is_maker, int(row.exec_time) * _MS)

    async def _result(self, name: str, asked: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = (await self._ask(name, asked))["result"]
        return result

    def _in_words(self, error: Exception) -> VenueError:
        code = _CODE.search(str(error))
        if code is None:
            return super()._in_words(error)
        number, kind = int(code[1]), type(error).__name__
        if number in _UNDECIDED:
            return NoAnswer(f"the exchange does not answer (code {number}, {kind})")
        if number == _OUTSIDE_WINDOW:
            return RefusedForNow(OUTSIDE_WINDOW, "the exchange does not take our clock")
        if number in _TOO_MANY:
            return RefusedForNow(429, f"the exchange refuses: too many requests (code {number})", _LIMIT_S)
        return OrderRefused(_MEANINGS.get(number, number), f"the exchange refuses with code {number} ({kind})")


def _taken(answer: dict[str, Any]) -> Standing:
    """Where an order stands that the venue has taken and says no more of."""
    return Standing("NEW", 0, int(answer["time"]) * _MS, UUID(answer["result"]["orderId"]).int)


def _status_of(row: _Row) -> str:
    """Binance's word for where an order stands; one that the venue does not tell apart, Bybit's own."""
    if row.order_status == "Cancelled" and row.reject_reason in UNTAKEN:
        return "EXPIRED"
    return STATUSES.get(row.order_status, row.order_status)
