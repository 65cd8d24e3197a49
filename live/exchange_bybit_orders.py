"""The order side of a replay venue that is Bybit v5: linear and inverse orders, executions, cancel on disconnection."""

import hashlib
import hmac
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec

from live.connectors.bybit_dialect import CATEGORIES
from live.exchange_account import Answer, Greeting, Refusal, VenueOrder
from live.exchange_orders import OrderVenue
from live.gateways.bybit import STATUSES, STREAM_PATH, TIFS
from live.gateways.client import TIFS as BINANCE_TIFS
from market.events import BUY
from market.orders import WOULD_CROSS

Fields = dict[str, str]
_CODES: Final = {-2010: 110003, -2011: 110001, -2013: 110001, -2019: 110007, -4116: 110072}
_TIFS: Final = {TIFS[code]: name for code, name in BINANCE_TIFS.items()}
_STATUSES: Final = {ours: theirs for theirs, ours in STATUSES.items() if theirs != "PartiallyFilledCanceled"}
_DISCONNECTED: Final = "disconnected-cancel-all"


class BybitOrderVenue(OrderVenue):
    """One account's orders in one symbol; everything is answered with status 200 and a ``retCode``."""

    greets = True
    _window_s = 0.0  # of the disconnection protection, 0 while it is off
    _known = False  # the newest greeting was the account's

    async def answer(self, method: str, path: str, query: str, headers: Mapping[str, str]) -> Answer | None:
        """Status and JSON of one request; None: the venue says nothing at all."""
        question = self._paths.get((method, path))
        if question is None:
            return HTTPStatus.NOT_FOUND, {"retCode": 404, "retMsg": f"no such path {method} {path}"}
        handler, signed = question
        try:
            if signed:
                self._check(query, headers)
            answer = await handler(msgspec.json.decode(query) if method == "POST" else dict(parse_qsl(query)))
        except Refusal as refusal:
            return self._told({}, _CODES.get(refusal.code, refusal.code), str(refusal))
        return None if answer is None else self._told(answer[1])

    def _routes(self, prefix: str) -> dict[tuple[str, str], Any]:
        return {
            ("POST", "/v5/order/create"): (self._create, True),
            ("POST", "/v5/order/cancel"): (self._cancel_one, True),
            ("POST", f"/v5/order/{_DISCONNECTED}"): (self._protect, True),
            ("GET", "/v5/order/realtime"): (self._realtime, True),
            ("GET", "/v5/order/history"): (self._realtime, True),
            ("GET", "/v5/execution/list"): (self._executions, True),
            ("GET", "/v5/position/list"): (self._position_list, True),
            ("GET", "/v5/user/query-api"): (self._permissions, True),
            ("GET", "/v5/market/time"): (self._time, False),
        }

    def admits(self, path: str) -> bool:
        """Whether the account's stream is there."""
        return path == STREAM_PATH

    def greet(self, said: bytes) -> Greeting | None:
        """The answer to a login, a subscription or a ping."""
        message = msgspec.json.decode(said)
        if message["op"] == "auth":
            key, expires, signature = message["args"]
            self._known = key == self._account.key and signature == self._sign(f"GET/realtime{expires}")
            return Greeting({"success": self._known, "op": "auth"}, admitted=False)
        if message["op"] == "ping":
            return Greeting({"success": True, "ret_msg": "pong", "op": "pong"}, admitted=False)
        return Greeting({"success": self._known, "op": message["op"]}, admitted=self._known)

    def heard_by(self, listeners: int) -> None:
        """Begin the countdown when the last listener is gone, end it when there is one."""
        if self._window_s:
            self.countdown.begin(0 if listeners else int(self._window_s * 1e3))

    def _sign(self, text: str) -> str:
        return hmac.new(self._account.secret.encode(), text.encode(), hashlib.sha256).hexdigest()

    def _check(self, query: str, headers: Mapping[str, str]) -> None:
        """Raises Refusal unless key, signature and time are the account's."""
        stamp, window = headers.get("x-bapi-timestamp", "0"), headers.get("x-bapi-recv-window", "5000")
        if headers.get("x-bapi-api-key") != self._account.key:
            raise Refusal(10003, "API key is invalid.")
        if headers.get("x-bapi-sign") != self._sign(f"{stamp}{self._account.key}{window}{query}"):
            raise Refusal(10004, "Error sign, please check your signature generation algorithm.")
        if not -1_000.0 <= self._wall_ms() - float(stamp) <= float(window):
            raise Refusal(10002, "The request time exceeds the time window range.")

    async def _create(self, fields: Fields) -> Answer | None:
        names = {"side": fields["side"].upper(), "quantity": fields["qty"], "timeInForce": _TIFS[fields["timeInForce"]]}
        order = {"symbol": fields["symbol"], "price": fields["price"], "newClientOrderId": fields["orderLinkId"]}
        return self._named(await self._place(order | names))

    async def _cancel_one(self, fields: Fields) -> Answer | None:
        return self._named(await self._cancel({"origClientOrderId": fields["orderLinkId"]}))

    def _named(self, said: Answer | None) -> Answer | None:
        if said is None:
            return None
        return HTTPStatus.OK, {"orderId": _uuid(said[1]["orderId"]), "orderLinkId": said[1]["clientOrderId"]}

    async def _protect(self, fields: dict[str, Any]) -> Answer:
        if fields["product"] != "DERIVATIVES" or not 3 <= int(fields["timeWindow"]) <= 300:
            raise Refusal(10001, "Request parameter error.")
        self._window_s = float(fields["timeWindow"])
        return HTTPStatus.OK, {}

    async def _realtime(self, fields: Fields) -> Answer:
        wanted = fields.get("orderLinkId")
        if wanted is not None:
            found = [self.orders[self._ids[wanted]]] if wanted in self._ids else []
        else:
            found = [order for order in self.orders.values() if not order.over]
        return HTTPStatus.OK, {"list": [self._row(order) for order in found], "nextPageCursor": ""}

    async def _executions(self, fields: Fields) -> Answer:
        wanted = UUID(fields["orderId"]).int if "orderId" in fields else 0  # of all orders
        found = [self._execution(trade) for trade in self.trades if wanted in (0, trade["orderId"])]
        return HTTPStatus.OK, {"list": found[::-1], "nextPageCursor": ""}

    async def _position_list(self, fields: Fields) -> Answer:
        side = "Buy" if self.position > 0 else "Sell" if self.position else ""
        held = {"symbol": self._symbol, "side": side, "size": self._qty(abs(self.position)), "positionIdx": 0}
        return HTTPStatus.OK, {"list": [held | {"avgPrice": str(self._entry_price())}]}

    async def _permissions(self, fields: Fields) -> Answer:
        wallet = ["AccountTransfer", "Withdraw"] if self._account.withdraws else []
        return HTTPStatus.OK, {"readOnly": 0, "permissions": {"ContractTrade": ["Order", "Position"], "Wallet": wallet}}

    def _told(self, result: dict[str, Any], code: int = 0, text: str = "OK") -> Answer:
        stamp = str(int(self._wall_ms()))
        return HTTPStatus.OK, {"retCode": code, "retMsg": text, "result": result, "time": stamp}

    def _say(self, order: VenueOrder, execution: str, trade: Mapping[str, Any] | None = None) -> None:
        """An execution where there is one, and the order."""
        category = CATEGORIES[self._instrument.venue]
        if trade is not None:
            self._send({"topic": f"execution.{category}", "data": [self._execution(trade)]})
        self._send({"topic": f"order.{category}", "data": [self._row(order)]})

    def _row(self, order: VenueOrder) -> dict[str, Any]:
        status = "Cancelled" if order.status == "EXPIRED" else _STATUSES[order.status]
        reason = "EC_PostOnlyWillTakeLiquidity" if order.refusal == WOULD_CROSS else "EC_NoImmediateQtyToFill"
        return {
            "symbol": self._symbol,
            "orderId": _uuid(order.venue_id),
            "orderLinkId": order.client_id,
            "side": "Buy" if order.side == BUY else "Sell",
            "orderStatus": status,
            "rejectReason": reason if order.status == "EXPIRED" else "EC_NoError",
            "price": self._price(order.price),
            "qty": self._qty(order.qty),
            "leavesQty": "0" if order.over else self._qty(order.qty - order.filled),
            "cumExecQty": self._qty(order.filled),
            "updatedTime": str(order.venue_ts // 1_000_000),
        }

    def _trade(self, order: VenueOrder, price: int, lots: int, maker: bool) -> dict[str, Any]:
        return super()._trade(order, price, lots, maker) | {"leaves": self._qty(order.qty - order.filled)}

    def _execution(self, trade: Mapping[str, Any]) -> dict[str, Any]:
        order = self.orders[trade["orderId"]]
        return {
            "symbol": self._symbol,
            "orderId": _uuid(order.venue_id),
            "orderLinkId": order.client_id,
            "side": "Buy" if order.side == BUY else "Sell",
            "orderQty": self._qty(order.qty),
            "leavesQty": trade["leaves"],
            "execId": _uuid(trade["id"]),
            "execType": "Trade",
            "execPrice": trade["price"],
            "execQty": trade["qty"],
            "execTime": str(trade["time"]),
            "isMaker": trade["maker"],
        }


def _uuid(number: int) -> str:
    return str(UUID(int=number))
