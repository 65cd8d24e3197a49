"""What Bybit's v5 has of its own: its words by hand, its keys, its position, and protection against disconnection."""

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest

from config.loading import load_settings
from live.connectors.pace import Hosts
from live.exchange import Exchange
from live.exchange_account import Account
from live.exchange_order_side import Offer, OrderSide
from live.exchange_tape import TapeFrame
from live.gateways.bybit import BybitClient
from live.gateways.client import Addresses, Holding
from live.gateways.exchange import ExchangeGateway
from live.gateways.news import Heard, OrderNews
from live.gateways.opening import permits_of
from live.gateways.permission import KEY, SECRET, require_harmless
from market.errors import ConfigError, NoAnswer, OrderRefused, VenueError
from market.events import BUY, SELL
from market.orders import ACKED, FILL, IOC, POST_ONLY
from tests.builders_live import bybit_of, in_loop, until
from tests.builders_market import COINM_BTC, SPOT_BTC, USDM_BTC
from tests.builders_orders import ASK, BID, HASTY, KEYS, connected, floor
from tests.builders_runner import START, synthetic_frames
from tests.builders_trading import VENUE

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:aiohttp")
BYBIT = bybit_of(USDM_BTC)
UUIDS = ("00000000-0000-0000-0000-000000000007", "00000000-0000-0000-0000-000000000009")


def client() -> BybitClient:
    return BybitClient(BYBIT, KEYS, Addresses("http://127.0.0.1:1", True, Hosts(1_000, 1_000)), (500.0, 1_000.0))


@in_loop
async def test_messages_of_the_stream_by_hand() -> None:
    here = client()
    order = b'{"symbol":"BTCUSDT","orderId":"%s","orderLinkId":"tlabc-1","cumExecQty":"0.003",' % UUIDS[0].encode()
    fill = order + b'"orderQty":"0.005","leavesQty":"0.002","execId":"%s","execPrice":"50000.1",' % UUIDS[1].encode()
    filled = fill + b'"execQty":"0.001","execTime":"1700","isMaker":true,"execType":"%s"}'

    def read(topic: bytes, *rows: bytes) -> Heard:
        return here.read(b'{"topic":"%s","data":[%s]}' % (topic, b",".join(rows)))

    told = OrderNews("BTCUSDT", "tlabc-1", "TRADE", "PARTIALLY_FILLED", 7, "0.003", 1700, "0.001", "50000.1", 9, True)
    assert read(b"execution.linear", filled % b"Trade", filled % b"Funding") == Heard((told,))
    for status, reason, ours in (
        (b"Cancelled", b"EC_PerCancelRequest", "CANCELED"),
        (b"Cancelled", b"EC_PostOnlyWillTakeLiquidity", "EXPIRED"),
        (b"PartiallyFilledCanceled", b"EC_NoError", "CANCELED"),
        (b"Untriggered", b"EC_NoError", "Untriggered"),
    ):
        said = order + b'"orderStatus":"%s","rejectReason":"%s","updatedTime":"1701"}' % (status, reason)
        assert read(b"order.linear", said) == Heard((OrderNews("BTCUSDT", "tlabc-1", ours, ours, 7, "0.003", 1701),))
    assert here.read(b'{"success":false,"op":"auth"}') == Heard(over=True)
    assert here.read(b'{"success":true,"op":"subscribe"}') == Heard(taken=1)
    assert here.read(b'{"op":"pong","args":["1"]}') == here.read(b'{"topic":"dcp.future","data":[]}') == Heard()
    with pytest.raises(ValueError, match="orderId"):
        read(b"order.linear", b'{"symbol":"BTCUSDT"}')
    await here.close()


@in_loop
async def test_codes_say_whether_an_order_may_have_been_executed() -> None:
    here = client()
    for code, kind in ((10016, NoAnswer), (10000, NoAnswer), (110001, OrderRefused), (170213, OrderRefused)):
        assert type(here._in_words(ValueError(f'bybit {{"retCode":{code},"retMsg":"x"}}'))) is kind
    refused = here._in_words(ValueError('bybit {"retCode":110072,"retMsg":"OrderLinkedID is duplicate"}'))
    assert isinstance(refused, OrderRefused)
    assert refused.code == -4116
    assert isinstance(here._in_words(TimeoutError()), NoAnswer)
    await here.close()


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"readOnly": 1, "permissions": {"ContractTrade": ["Order"], "Wallet": []}},
        {"readOnly": 0, "permissions": {"ContractTrade": [], "Wallet": []}},
        {"readOnly": 0, "permissions": {"ContractTrade": ["Order"], "Wallet": ["SubMemberTransfer"]}},
        {"readOnly": 0, "permissions": {"ContractTrade": ["Order"]}},
    ],
)
@in_loop
async def test_a_key_that_may_do_more_or_less_than_trade_is_refused(
    monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]
) -> None:
    here = client()

    async def answered(*_: object) -> dict[str, Any]:
        return answer

    monkeypatch.setattr(here, "_result", answered)
    with pytest.raises(ConfigError, match="is refused"):
        require_harmless(await here.restrictions())
    await here.close()


@in_loop
async def test_a_key_that_the_venue_does_not_know_is_refused() -> None:
    async with floor(BYBIT) as here:
        with pytest.raises(VenueError, match="refuses with code 10003"):
            await here.connect(here.gateway(), keys=KEYS._replace(key="x"))


@pytest.mark.parametrize("side", [BUY, SELL], ids=["long", "short"])
@in_loop
async def test_the_position_has_its_sign_and_entry_price(side: int) -> None:
    async with floor(bybit_of(COINM_BTC)) as here, connected(here) as gateway:
        gateway.place(1, side, ASK if side == BUY else BID, 4, IOC, 0)
        await here.heard(gateway, FILL)
        assert await gateway._open.client.holding() == Holding(4 * side, ASK if side == BUY else BID)


@in_loop
async def test_hedge_mode_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    here = client()

    async def hedged(*_: object) -> dict[str, Any]:
        return {"list": [{"positionIdx": number, "side": "", "size": "0"} for number in (1, 2)]}

    monkeypatch.setattr(here, "_result", hedged)
    with pytest.raises(VenueError, match="hedge mode"):
        await here.holding()
    await here.close()


@in_loop
async def test_orders_of_who_is_gone_are_cancelled_by_the_venue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ExchangeGateway, "_on_down", lambda _: None)  # who is killed cancels nothing
    async with floor(BYBIT) as here:
        gateway = here.gateway()
        await here.connect(gateway, patience=replace(HASTY, dead_man_s=3.0))
        gateway.place(1, BUY, BID, 5, POST_ONLY, 0)
        await here.heard(gateway, ACKED)
        assert here.venue.countdown._running is None  # somebody listens
        for task in tuple(gateway._tasks):
            task.cancel()
        await asyncio.gather(*gateway._tasks, return_exceptions=True)
        await gateway._open.client.close()
        await until(lambda: here.venue.orders[1].status == "CANCELED")
        assert gateway.counts["cancels"] == 0  # it was the venue


class Playing:
    """A venue that plays a tape of Binance as Bybit."""

    def __init__(self) -> None:
        self.tape = COINM_BTC
        self.onlookers: list[Any] = []

    def now(self) -> int:
        return START


def test_orders_meet_the_book_of_a_tape_in_another_venues_words() -> None:
    played = Playing()
    offer = Offer(Account(*KEYS), VENUE, load_settings("dev").clock, (0, 0))
    side = OrderSide(cast(Exchange, played), bybit_of(COINM_BTC), offer)
    events = list[Any]()
    side.venue.on_events = events.extend  # type: ignore[method-assign]
    [follow] = played.onlookers
    for ts, frame in synthetic_frames(0.5):
        follow(TapeFrame(ts, "", frame, 0))
    assert len(events) > 100
    assert side._reader.malformed == 0


def test_what_bybit_does_not_take_is_refused_before_the_start() -> None:
    orders = load_settings("dev").live.orders
    with pytest.raises(ConfigError, match="bybit-linear takes 0, or 3 to 300"):
        permits_of("exchange", [BYBIT], replace(orders, dead_man_s=301.0), {KEY: "a", SECRET: "b"})
    spot = replace(SPOT_BTC, name="bybit-spot-btcusdt", venue="bybit-spot")
    with pytest.raises(ConfigError, match="venue='bybit-spot' takes no orders from us"):
        permits_of("exchange", [spot], orders, {KEY: "a", SECRET: "b"})
