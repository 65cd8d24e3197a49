"""The replay venue's order side: Binance's futures orders, filled by the matching kernel on the tape that is played.

An order meets the book at the tape's next event, as it would at any venue; the answer to it leaves then.
"""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl

from backtest.ledger import BASIS, Ledger
from backtest.parameters import VenueParameters
from backtest.venue import SimulatedVenue
from live.connectors.binance_api import REST_PREFIX, decimals
from live.exchange_account import Account, Answer, Greeting, Refusal, TooMany, VenueOrder
from live.exchange_countdown import Countdown
from live.exchange_order_faults import OrderFaults
from live.gateways.client import TIFS, on_grid, side_of
from market.errors import VenueError
from market.events import BUY, Events
from market.instrument import Instrument
from market.orders import (
    ACKED,
    CANCEL_REJECTED,
    FILL,
    NO_MARGIN,
    ORDER_CANCELLED,
    ORDER_EXPIRED,
    ORDER_REJECTED,
    SELF_CROSS,
    WOULD_CROSS,
)

_MS: Final = 1_000_000  # ns
_LATER: Final = 2**62  # every report that there is
_TIF_CODES: Final = {name: code for code, name in TIFS.items()}
_OVER: Final = {ORDER_CANCELLED: "CANCELED", ORDER_EXPIRED: "EXPIRED"}
_REFUSALS: Final = {NO_MARGIN: (-2019, "Margin is insufficient."), SELF_CROSS: (-2010, "Order would trade with own.")}


class OrderVenue:
    """One account's orders in one symbol; ``send`` carries what is said over the account's stream."""

    greets = False  # whether a listener has to say who it is
    _crossing = "EXPIRED"  # what becomes of a post-only order that would take

    def __init__(
        self,
        instrument: Instrument,
        parameters: VenueParameters,
        account: Account,
        now: Callable[[], int],
        send: Callable[[dict[str, Any]], None],
    ) -> None:
        """``now`` : the tape's clock, ns UTC."""
        self.faults = OrderFaults()
        self.orders: dict[int, VenueOrder] = {}
        self.trades: list[dict[str, Any]] = []
        self.position = 0  # lots
        self.renewals = 0  # of the listen key
        self._books = Ledger(instrument)  # for the entry price alone
        self.countdown = Countdown(self._cancel_all)
        self._instrument = instrument
        self._account = account
        self._now = now
        self._tell = send
        self._said: list[dict[str, Any]] = []  # since the last message of the market
        here = replace(parameters, order_latency_ms=0.0, ack_latency_ms=0.0)
        self._kernel = SimulatedVenue(instrument, here)
        self._ids: dict[str, int] = {}  # client id -> newest order that bears it
        self._asked: dict[int, asyncio.Future[int]] = {}  # who waits for the kernel's word on an order
        self._digits = decimals(instrument.tick_size), decimals(instrument.lot_size)
        self._symbol = instrument.venue_symbol.upper()
        self._paths = self._routes(REST_PREFIX.get(instrument.venue, ""))

    def on_events(self, events: Events) -> None:
        """Let the market go on; what became of orders is told at once."""
        self._kernel.on_events(events)
        for report in self._kernel.reports(_LATER):
            self._on_report(report)
        said, self._said = self._said, []
        for message in reversed(said) if self.faults.backwards else said:
            self._tell(message)

    def _send(self, message: dict[str, Any]) -> None:
        self._said.append(message)

    async def answer(self, method: str, path: str, query: str, headers: Mapping[str, str]) -> Answer | None:
        """Status and JSON of one request; None: the venue says nothing at all."""
        question = self._paths.get((method, path))
        if question is None:
            return HTTPStatus.NOT_FOUND, {"code": -1, "msg": f"no such path {method} {path}"}
        handler, signed = question
        try:
            if signed:
                self._check(query, headers)
            return await handler(dict(parse_qsl(query)))
        except Refusal as refusal:
            return refusal.answer

    def _routes(self, prefix: str) -> dict[tuple[str, str], Any]:
        second = prefix.replace("v1", "v2")
        return {
            ("POST", f"{prefix}/order"): (self._place, True),
            ("DELETE", f"{prefix}/order"): (self._cancel, True),
            ("GET", f"{prefix}/order"): (self._show, True),
            ("POST", f"{prefix}/countdownCancelAll"): (self._count_down, True),
            ("GET", f"{prefix}/openOrders"): (self._open_orders, True),
            ("GET", f"{prefix}/userTrades"): (self._user_trades, True),
            ("GET", f"{prefix}/positionRisk"): (self._positions, True),
            ("GET", f"{second}/positionRisk"): (self._positions, True),
            ("GET", f"{second}/account"): (self._account_state, True),
            ("GET", "/sapi/v1/account/apiRestrictions"): (self._restrictions, True),
            ("GET", f"{prefix}/time"): (self._time, False),
            ("POST", f"{prefix}/listenKey"): (self._listen_key, False),
            ("PUT", f"{prefix}/listenKey"): (self._renew_listen_key, False),
            ("DELETE", f"{prefix}/listenKey"): (self._listen_key, False),
        }

    def admits(self, path: str) -> bool:
        """Whether the account's stream is there."""
        return path == f"/ws/{self.listen_key}"

    def greet(self, said: bytes) -> Greeting | None:
        """The answer to what a listener says, None for none."""
        return None

    def heard_by(self, listeners: int) -> None:
        """So many listen to the account's stream now."""

    @property
    def listen_key(self) -> str:
        """The name of the account's stream."""
        return hmac.new(self._account.secret.encode(), b"listen", hashlib.sha256).hexdigest()

    def _check(self, query: str, headers: Mapping[str, str]) -> None:
        """Raises Refusal unless key, signature and time are the account's."""
        self._account.check(query, headers, self._wall_ms())

    async def _place(self, fields: dict[str, str]) -> Answer | None:
        fault = self.faults.take("place")
        if fault == "limit":
            raise TooMany
        if fault == "unanswered":
            return None
        if fault == "reject":
            raise Refusal(-2010, "Order rejected.")
        order = self._new_order(fields)
        self._kernel.place(order.venue_id, order.side, order.price, order.qty, _TIF_CODES[order.tif], self._now())
        await self._kernel_word(order.venue_id)
        if fault == "executed unanswered":
            return None
        if self.faults.answer_delay_s:
            await asyncio.sleep(self.faults.answer_delay_s)
        if refusal := self._rejection(order):
            raise refusal
        return HTTPStatus.OK, self._shown(order)

    def _rejection(self, order: VenueOrder) -> Refusal | None:
        """What the placement of an order is answered with, where it is refused."""
        if order.status != "REJECTED":
            return None
        return Refusal(*_REFUSALS.get(order.refusal, (-2010, "Order rejected.")))

    def _new_order(self, fields: dict[str, str]) -> VenueOrder:
        client_id = fields.get("newClientOrderId", "")
        known = self.orders.get(self._ids.get(client_id, 0))
        if known is not None and not known.over:
            raise Refusal(-4116, "ClientOrderId is duplicated.")
        if fields.get("symbol") != self._symbol:
            raise Refusal(-1121, "Invalid symbol.")
        try:
            price = on_grid(fields["price"], self._instrument.tick_size)
            qty = on_grid(fields["quantity"], self._instrument.lot_size)
            tif = fields["timeInForce"]
            side = side_of(fields["side"])
            _TIF_CODES[tif]
        except (KeyError, ArithmeticError, VenueError) as error:
            raise Refusal(-1102, f"A parameter is missing or malformed ({type(error).__name__}).") from error
        order = VenueOrder(len(self.orders) + 1, client_id, side, price, qty, tif, venue_ts=self._now())
        self.orders[order.venue_id] = order
        self._ids[client_id] = order.venue_id
        return order

    async def _cancel(self, fields: dict[str, str]) -> Answer | None:
        fault = self.faults.take("cancel")
        if fault == "limit":
            raise TooMany
        if fault == "unanswered":
            return None
        if fault == "reject":
            raise Refusal(-2010, "Cancel rejected.")
        order = self._order_of(fields, -2011)
        if order.over:
            raise Refusal(-2011, "Unknown order sent.")
        self._kernel.cancel(order.venue_id, self._now())
        while await self._kernel_word(order.venue_id) not in (ORDER_CANCELLED, CANCEL_REJECTED, ORDER_EXPIRED):
            if order.over:
                break
        if fault == "executed unanswered":
            return None
        if order.status != "CANCELED":
            raise Refusal(-2011, "Unknown order sent.")
        return HTTPStatus.OK, self._shown(order)

    async def _count_down(self, fields: dict[str, str]) -> Answer | None:
        self._require_renewal()
        if fields.get("symbol") != self._symbol:
            raise Refusal(-1121, "Invalid symbol.")
        if not fields.get("countdownTime", "").isdecimal():
            raise Refusal(-1102, "A parameter is missing or malformed (countdownTime).")
        self.countdown.begin(int(fields["countdownTime"]))
        return HTTPStatus.OK, {"symbol": self._symbol, "countdownTime": fields["countdownTime"]}

    def _cancel_all(self) -> None:
        for order in self.orders.values():
            if not order.over:
                self._kernel.cancel(order.venue_id, self._now())

    async def _show(self, fields: dict[str, str]) -> Answer:
        return HTTPStatus.OK, self._shown(self._order_of(fields, -2013))

    async def _open_orders(self, fields: dict[str, str]) -> Answer:
        return HTTPStatus.OK, [self._shown(order) for order in self.orders.values() if not order.over]

    async def _user_trades(self, fields: dict[str, str]) -> Answer:
        wanted = int(fields.get("orderId", 0))
        return HTTPStatus.OK, [trade for trade in self.trades if wanted in (0, trade["orderId"])]

    async def _positions(self, fields: dict[str, str]) -> Answer:
        held = {"symbol": self._symbol, "positionAmt": self._qty(self.position), "positionSide": "BOTH"}
        return HTTPStatus.OK, [held | {"entryPrice": str(self._entry_price())}]

    def _entry_price(self) -> float:
        """Average price of what is held, 0 while flat."""
        if not self.position:
            return 0.0
        each = self._books.money[BASIS] / self.position  # value units, see the ledger
        return float(-1.0 / each if self._instrument.inverse else each) * self._instrument.tick_size

    async def _account_state(self, fields: dict[str, str]) -> Answer:
        return HTTPStatus.OK, {"canTrade": True, "positions": (await self._positions(fields))[1], "assets": []}

    async def _restrictions(self, fields: dict[str, str]) -> Answer:
        may = {"enableReading": True, "enableFutures": True, "enableWithdrawals": self._account.withdraws}
        return HTTPStatus.OK, may | {"enableInternalTransfer": False, "permitsUniversalTransfer": False}

    async def _time(self, fields: dict[str, str]) -> Answer:
        return HTTPStatus.OK, {"serverTime": int(self._wall_ms())}

    def _wall_ms(self) -> float:
        """The clock that signed requests are held against, ms UTC."""
        return (time.time() + self.faults.clock_s) * 1e3

    def _require_renewal(self) -> None:
        """Raises TooMany where that fault is on."""
        if self.faults.take("renew") == "limit":
            raise TooMany

    async def _renew_listen_key(self, fields: dict[str, str]) -> Answer:
        self._require_renewal()
        self.renewals += 1
        return await self._listen_key(fields)

    async def _listen_key(self, fields: dict[str, str]) -> Answer:
        return HTTPStatus.OK, {"listenKey": self.listen_key}

    def _order_of(self, fields: dict[str, str], code: int) -> VenueOrder:
        order = self.orders.get(self._ids.get(fields.get("origClientOrderId", ""), 0))
        if order is None:
            raise Refusal(code, "Order does not exist.")
        return order

    async def _kernel_word(self, venue_id: int) -> int:
        """Kind of the kernel's next report on an order."""
        waiting = self._asked.get(venue_id)
        if waiting is None or waiting.done():
            waiting = self._asked[venue_id] = asyncio.get_running_loop().create_future()
        return await asyncio.shield(waiting)

    def _on_report(self, report: Any) -> None:
        order, kind, venue_ts = self.orders[int(report["order_id"])], int(report["kind"]), int(report["venue_ts"])
        order.venue_ts = venue_ts
        if kind == FILL:
            self._fill(order, report)
        elif kind == ORDER_REJECTED:
            order.refusal = int(report["reason"])
            order.status = self._crossing if order.refusal == WOULD_CROSS else "REJECTED"
        elif kind in _OVER:
            order.status = _OVER[kind]
        if kind == ACKED or (kind != CANCEL_REJECTED and kind != FILL and order.status != "REJECTED"):
            self._say(order, order.status)
        waiting = self._asked.get(order.venue_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(kind)

    def _fill(self, order: VenueOrder, report: Any) -> None:
        lots = int(report["qty"])
        parts = [lots // 2, lots - lots // 2] if self.faults.split_fills and lots > 1 else [lots]
        for part in parts:
            order.filled += part
            order.status = "FILLED" if order.filled == order.qty else "PARTIALLY_FILLED"
            self.position += order.side * part
            self._books.book_fill(order.side, int(report["price"]), part, 0.0)
            trade = self._trade(order, int(report["price"]), part, bool(report["maker"]))
            self.trades.append(trade)
            self._say(order, "TRADE", trade)

    def _trade(self, order: VenueOrder, price: int, lots: int, maker: bool) -> dict[str, Any]:
        """A fill as the venue lists it."""
        return {
            "id": len(self.trades) + 1,
            "orderId": order.venue_id,
            "symbol": self._symbol,
            "price": self._price(price),
            "qty": self._qty(lots),
            "maker": maker,
            "time": order.venue_ts // _MS,
        }

    def _say(self, order: VenueOrder, execution: str, trade: Mapping[str, Any] | None = None) -> None:
        """One ``ORDER_TRADE_UPDATE``."""
        stamp = self._now() // _MS
        news = self._news(order, execution, trade)
        self._send({"e": "ORDER_TRADE_UPDATE", "E": stamp, "T": order.venue_ts // _MS, "o": news})

    def _news(self, order: VenueOrder, execution: str, trade: Mapping[str, Any] | None) -> dict[str, Any]:
        """What is said of an order, with fields besides that no client should keep."""
        return {
            "s": self._symbol,
            "c": order.client_id,
            "S": "BUY" if order.side == BUY else "SELL",
            "o": "LIMIT",
            "f": order.tif,
            "q": self._qty(order.qty),
            "p": self._price(order.price),
            "x": execution,
            "X": order.status,
            "i": order.venue_id,
            "l": trade["qty"] if trade else "0",
            "z": self._qty(order.filled),
            "L": trade["price"] if trade else "0",
            "T": order.venue_ts // _MS,
            "t": trade["id"] if trade else 0,
            "m": trade["maker"] if trade else False,
        }

    def _shown(self, order: VenueOrder) -> dict[str, Any]:
        return {
            "orderId": order.venue_id,
            "clientOrderId": order.client_id,
            "symbol": self._symbol,
            "side": "BUY" if order.side == BUY else "SELL",
            "type": "LIMIT",
            "timeInForce": order.tif,
            "price": self._price(order.price),
            "origQty": self._qty(order.qty),
            "executedQty": self._qty(order.filled),
            "status": order.status,
            "updateTime": order.venue_ts // _MS,
        }

    def _price(self, ticks: int) -> str:
        return f"{ticks * self._instrument.tick_size:.{self._digits[0]}f}"

    def _qty(self, lots: int) -> str:
        return f"{lots * self._instrument.lot_size:.{self._digits[1]}f}"
