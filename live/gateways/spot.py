"""Signed questions to Binance's spot market, which knows balances and no positions: ours is the sum of its trades."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from live.gateways.client import DUPLICATE, Addresses, Holding, VenueClient, on_grid
from live.gateways.life import OrderLife
from live.gateways.news import Heard, OrderNews
from live.gateways.permission import Keys
from live.gateways.renewing import Insistence
from market.errors import OrderRefused, VenueError
from market.instrument import Instrument
from market.orders import POST_ONLY
from storage.files import replace_file

STOCK: Final = "stock"  # the file's name, beside the journal's segments
STREAM_PATH: Final = "/ws-api/v3"
MOST_TRADES: Final = 1_000  # in one answer
LOOKS: Final = 10  # at trades and balance, before they are said to disagree
_REJECTED: Final = -2010  # a code that only its text tells apart
_MEANINGS: Final = {"Duplicate order": DUPLICATE, "immediately match": -5022, "insufficient balance": -2019}


class Stock(msgspec.Struct, frozen=True):
    """What an account held at a moment at which its balance and the journal's trades agreed."""

    base: Decimal  # coins, free and locked
    lots: int  # position, since the journal began
    trade_id: int  # newest trade that both count


class _Report(OrderNews):
    C: str = ""  # the order's id, where ``c`` is that of its cancel
    e: str = ""


class _Message(msgspec.Struct):
    event: _Report | None = None
    status: int = 0  # of an answer


class _Event(msgspec.Struct):
    e: str


class _Named(msgspec.Struct):
    event: _Event | None = None


class SpotClient(VenueClient):
    """One account, one symbol, at Binance's spot market.

    What the account holds when the journal begins is its stock, and the position is 0. From then on the position is the
    sum of the symbol's trades, and the balance has to be the stock, plus the position, less the fees that the venue
    took in the base coin. Where it is not, somebody else moves coins, and nobody knows what is ours.
    """

    may_trade = "enableSpotAndMarginTrading"
    _trades_path = "GetMyTrades"

    def __init__(
        self, instrument: Instrument, keys: Keys, addresses: Addresses, limits: tuple[float, float], journal: Path
    ) -> None:
        """``journal`` : the folder whose stock is kept."""
        super().__init__(instrument, keys, addresses, limits)
        self._keys = keys
        self._window_ms = int(limits[1])
        self._path = journal / STOCK

    def _point_to(self, base: str) -> None:
        self._ccxt.urls["api"] |= {"public": f"{base}/api/v3", "private": f"{base}/api/v3", "sapi": f"{base}/sapi/v1"}

    def _order(self, life: OrderLife) -> dict[str, Any]:
        order = super()._order(life) | {"newOrderRespType": "RESULT"}
        if life.tif == POST_ONLY:
            del order["timeInForce"]
            order["type"] = "LIMIT_MAKER"
        return order

    async def take_stock(self, new: bool) -> None:
        """Note what the account holds before the first order.

        Raises VenueError if the journal has orders and nobody knows what was held before them.
        """
        if self._path.exists():
            return
        if not new:
            raise VenueError(f"{self._path} is gone: what the account held when the journal began is not known")
        newest = await self._ask("privateGetMyTrades", {"symbol": self._symbol, "limit": 1})
        self._keep_stock(Stock(await self._balance(), 0, int(newest[-1]["id"]) if newest else 0))

    async def holding(self) -> Holding:
        """The sum of the symbol's trades since the journal began, no entry price.

        Raises VenueError if the balance is another.
        """
        before = self._stock()
        for _ in range(LOOKS):
            trades = await self._trades_behind(before.trade_id)
            base = await self._balance()
            newest = int(trades[-1]["id"]) if trades else before.trade_id
            now = Stock(before.base + self._coins(trades), before.lots + self._lots(trades), newest)
            if base == now.base and not await self._trades_behind(newest):
                self._keep_stock(now)
                return Holding(now.lots, 0)
        base_coin = self._instrument.base
        raise VenueError(
            f"the account holds {base} {base_coin}, and by its trades in {self._instrument.name} {now.base}: "
            "coins were moved by somebody else"
        )

    async def cancel_all_after(self, countdown_s: float) -> None:
        """Raises VenueError: the spot market has no countdown."""
        raise VenueError(f"{self._instrument.venue} has no dead man's switch; live.orders.dead_man_s=0 trades without")

    async def stream_address(self, ws_url: str) -> str:
        """Where requests are answered; the account's stream comes on the same connection."""
        return f"{ws_url}{STREAM_PATH}"

    def greetings(self) -> list[bytes]:
        """The signed wish to hear of the account."""
        stamp = int(time.time() * 1e3 - self.clock.offset_ms)
        fields = {"apiKey": self._keys.key, "recvWindow": self._window_ms, "timestamp": stamp}
        signature = hmac.new(self._keys.secret.encode(), urlencode(fields).encode(), hashlib.sha256).hexdigest()
        request = {"id": "1", "method": "userDataStream.subscribe.signature"}
        return [msgspec.json.encode(request | {"params": fields | {"signature": signature}})]

    async def keep(self, say: Callable[[bytes], None], insistence: Insistence) -> None:
        """Wait until cancelled: the connection is all that keeps the stream."""
        await asyncio.Event().wait()

    def read(self, frame: bytes) -> Heard:
        """What a message of the connection comes to. Raises ValueError if it cannot be read."""
        named = msgspec.json.decode(frame, type=_Named).event
        if named is not None and named.e != "executionReport":
            return Heard(over=named.e == "eventStreamTerminated")
        message = msgspec.json.decode(frame, type=_Message)
        if message.event is None:
            return Heard(taken=int(message.status == 200), over=message.status != 200)
        news = message.event
        news.c = news.C or news.c
        return Heard((news,))

    def _stock(self) -> Stock:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Stock)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise VenueError(f"{self._path} cannot be read: {type(error).__name__}") from None

    def _keep_stock(self, stock: Stock) -> None:
        replace_file(self._path, msgspec.json.encode(stock))

    async def _balance(self) -> Decimal:
        """Coins of the base, free and locked."""
        rows = (await self._ask("privateGetAccount", {"omitZeroBalances": "true"}))["balances"]
        held = [Decimal(row["free"]) + Decimal(row["locked"]) for row in rows if row["asset"] == self._instrument.base]
        return sum(held, Decimal(0))

    async def _trades_behind(self, trade_id: int) -> list[dict[str, Any]]:
        """The symbol's trades behind one, oldest first."""
        found: list[dict[str, Any]] = []
        while True:
            asked = {"symbol": self._symbol, "fromId": trade_id + 1, "limit": MOST_TRADES}
            rows = await self._ask("privateGetMyTrades", asked)
            found += rows
            if len(rows) < MOST_TRADES:
                return found
            trade_id = int(rows[-1]["id"])

    def _coins(self, trades: list[dict[str, Any]]) -> Decimal:
        """What trades brought of the base coin, less the fees that were taken in it."""
        bought = (Decimal(row["qty"]) * (1 if row["isBuyer"] else -1) for row in trades)
        fees = (Decimal(row["commission"]) for row in trades if row["commissionAsset"] == self._instrument.base)
        return sum(bought, Decimal(0)) - sum(fees, Decimal(0))

    def _lots(self, trades: list[dict[str, Any]]) -> int:
        lot = self._instrument.lot_size
        return sum(on_grid(row["qty"], lot) * (1 if row["isBuyer"] else -1) for row in trades)

    def _in_words(self, error: Exception) -> VenueError:
        """As the base; one code of the spot market says many things, and ccxt then hands on the text alone."""
        code = next((code for text, code in _MEANINGS.items() if text in str(error)), None)
        if code is None:
            return super()._in_words(error)
        return OrderRefused(code, f"the exchange refuses with {_REJECTED}, which is {code} ({type(error).__name__})")
