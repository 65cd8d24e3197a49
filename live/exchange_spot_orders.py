"""The order side of a replay venue that is Binance's spot market: balances, fees in the coin bought, no positions."""

from collections.abc import Mapping
from decimal import Decimal
from http import HTTPStatus
from typing import Any, Final

import msgspec

from live.exchange_account import Answer, Greeting, Refusal, VenueOrder
from live.exchange_orders import OrderVenue
from market.events import BUY, SELL
from market.orders import WOULD_CROSS

FEE: Final = Decimal("0.001")  # of what is bought, in the coin that is bought
UNIT: Final = Decimal("1e-8")  # of every balance
STREAM_PATH: Final = "/ws-api/v3"


class SpotOrderVenue(OrderVenue):
    """One account's orders in one pair; whoever sells more than the account holds is refused."""

    greets = True
    _crossing = "REJECTED"
    base = Decimal(1)  # coins, free and locked

    def _routes(self, prefix: str) -> dict[tuple[str, str], Any]:
        return {
            ("POST", f"{prefix}/order"): (self._place, True),
            ("DELETE", f"{prefix}/order"): (self._cancel, True),
            ("GET", f"{prefix}/order"): (self._show, True),
            ("GET", f"{prefix}/openOrders"): (self._open_orders, True),
            ("GET", f"{prefix}/myTrades"): (self._user_trades, True),
            ("GET", f"{prefix}/account"): (self._account_state, True),
            ("GET", "/sapi/v1/account/apiRestrictions"): (self._restrictions, True),
            ("GET", f"{prefix}/time"): (self._time, False),
        }

    def admits(self, path: str) -> bool:
        """Whether somebody may connect there."""
        return path == STREAM_PATH

    def greet(self, said: bytes) -> Greeting:
        """The answer to a signed wish to hear of the account."""
        request = msgspec.json.decode(said)
        fields = request["params"]
        signature = fields.pop("signature")
        query = "&".join(f"{name}={fields[name]}" for name in sorted(fields))
        try:
            self._check(f"{query}&signature={signature}", {"x-mbx-apikey": fields["apiKey"]})
        except Refusal as refusal:
            told = {"id": request["id"], "status": HTTPStatus.BAD_REQUEST, "error": refusal.answer[1]}
            return Greeting(told, admitted=False)
        return Greeting({"id": request["id"], "status": HTTPStatus.OK, "result": {"subscriptionId": 0}}, admitted=True)

    def _new_order(self, fields: dict[str, str]) -> VenueOrder:
        known = self.orders.get(self._ids.get(fields.get("newClientOrderId", ""), 0))
        if known is not None and not known.over:
            raise Refusal(-2010, "Duplicate order sent.")
        if fields.get("side") == "SELL" and Decimal(fields["quantity"]) > self.base - self._locked():
            raise Refusal(-2010, "Account has insufficient balance for requested action.")
        return super()._new_order(fields | ({"timeInForce": "GTX"} if fields.get("type") == "LIMIT_MAKER" else {}))

    def _rejection(self, order: VenueOrder) -> Refusal | None:
        refusal = super()._rejection(order)
        crossed = refusal is not None and order.refusal == WOULD_CROSS
        return Refusal(-2010, "Order would immediately match and take.") if crossed else refusal

    def _locked(self) -> Decimal:
        """Coins that working sales hold."""
        lots = sum(order.qty - order.filled for order in self.orders.values() if order.side == SELL and not order.over)
        return Decimal(self._qty(lots))

    async def _user_trades(self, fields: dict[str, str]) -> Answer:
        wanted, first = int(fields.get("orderId", 0)), int(fields.get("fromId", 0))
        found = [trade for trade in self.trades if wanted in (0, trade["orderId"]) and trade["id"] >= first]
        most = int(fields.get("limit", 500))
        return HTTPStatus.OK, found[:most] if "fromId" in fields else found[-most:]

    async def _account_state(self, fields: dict[str, str]) -> Answer:
        locked = self._locked()
        held = {"asset": self._instrument.base, "free": str(self.base - locked), "locked": str(locked)}
        return HTTPStatus.OK, {"canTrade": True, "balances": [held]}

    async def _restrictions(self, fields: dict[str, str]) -> Answer:
        status, may = await super()._restrictions(fields)
        return status, may | {"enableFutures": False, "enableSpotAndMarginTrading": True}

    def _trade(self, order: VenueOrder, price: int, lots: int, maker: bool) -> dict[str, Any]:
        trade = super()._trade(order, price, lots, maker)
        coins, buys = Decimal(self._qty(lots)), order.side == BUY
        fee = (FEE * (coins if buys else coins * Decimal(self._price(price)))).quantize(UNIT)
        self.base += coins - fee if buys else -coins
        asset = self._instrument.base if buys else self._instrument.quote
        return trade | {"isBuyer": buys, "isMaker": maker, "commission": str(fee), "commissionAsset": asset}

    def _say(self, order: VenueOrder, execution: str, trade: Mapping[str, Any] | None = None) -> None:
        """One ``executionReport``; a cancel bears an id of its own and names the order's beside it."""
        names = {"c": "by-venue", "C": order.client_id} if execution == "CANCELED" else {"c": order.client_id, "C": ""}
        news = self._news(order, execution, trade) | names
        stamp = self._now() // 1_000_000
        self._send({"subscriptionId": 0, "event": {"e": "executionReport", "E": stamp} | news})
