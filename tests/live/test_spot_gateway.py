"""A spot account knows balances alone: the position is the sum of trades; a balance that disagrees stops trading."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from config.loading import load_settings
from live.gateways.opening import Permit, adopting, permits_of
from live.gateways.permission import KEY, SECRET
from live.gateways.spot import LOOKS, MOST_TRADES, STOCK, SpotClient, Stock
from market.errors import ConfigError, VenueError
from market.events import BUY, SELL
from market.orders import FILL, GTC, IOC, NO_MARGIN, ORDER_REJECTED
from tests.builders_live import in_loop
from tests.builders_orders import ASK, BID, KEYS, SPOT, Floor, connected, floor

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:aiohttp")


def stock_of(here: Floor) -> Stock:
    return msgspec.json.decode((here.journal("abc") / STOCK).read_bytes(), type=Stock)


async def bought(here: Floor, gateway: Any, lots: int) -> None:
    gateway.place(1, BUY, ASK, lots, IOC, 0)
    await here.heard(gateway, FILL)


@in_loop
async def test_fees_in_the_coin_bought_are_counted_and_the_position_stays_the_sum_of_fills() -> None:
    async with floor(SPOT) as here:
        async with connected(here) as gateway:
            await bought(here, gateway, 10)
        assert here.venue.base == Decimal("1.0000999")  # 1 coin, 10 lots of 0.00001, less 0.1 %
        client = gateway._open.client
        assert stock_of(here) == Stock(Decimal(1), 0, 0)
        again = here.gateway()
        again.place(1, BUY, ASK, 10, IOC, 0)
        again.hear(here.seen[0])
        await here.connect(again)
        assert again.position == (await again._open.client.holding()).lots == 10
        assert stock_of(here) == Stock(Decimal("1.0000999"), 10, len(here.venue.trades))
        await again.close()
        assert isinstance(client, SpotClient)


@in_loop
async def test_coins_that_somebody_else_moved_stop_trading() -> None:
    async with floor(SPOT) as here, connected(here) as gateway:
        await bought(here, gateway, 10)
        here.venue.base -= Decimal("0.5")
        with pytest.raises(
            VenueError, match=r"holds 0.50009990 BTC, and by its trades in .* 1.00009990: coins were moved"
        ):
            await gateway._open.client.holding()


@in_loop
async def test_trades_of_somebody_else_stop_a_start() -> None:
    async with floor(SPOT) as here:
        async with connected(here, "mine"):
            pass
        async with connected(here) as stranger:
            await bought(here, stranger, 10)
        with pytest.raises(VenueError, match="holds 10 lots of .*, the journal 0"):
            await here.connect(here.gateway(), "mine")


@in_loop
async def test_a_journal_without_its_stock_is_refused() -> None:
    async with floor(SPOT) as here:
        async with connected(here) as gateway:
            await bought(here, gateway, 1)
        (here.journal("abc") / STOCK).unlink()
        again = here.gateway()
        again.place(1, BUY, ASK, 1, IOC, 0)
        again.hear(here.seen[0])
        with pytest.raises(VenueError, match="stock is gone: what the account held when the journal began"):
            await here.connect(again)
        (here.journal("abc") / STOCK).write_text("{}")
        with pytest.raises(VenueError, match="stock cannot be read"):
            await here.connect(again)


@in_loop
async def test_a_balance_that_lags_behind_its_trades_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with floor(SPOT) as here, connected(here) as gateway:
        client = gateway._open.client
        assert isinstance(client, SpotClient)
        ask, asked = client._balance, list[Decimal]()

        async def late() -> Decimal:
            asked.append(await ask())
            return asked[-1] - (len(asked) < LOOKS)

        monkeypatch.setattr(client, "_balance", late)
        assert (await client.holding()).lots == 0
        assert len(asked) == LOOKS


@in_loop
async def test_more_trades_than_one_answer_holds_are_all_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("live.gateways.spot.MOST_TRADES", 1)
    async with floor(SPOT) as here, connected(here) as gateway:
        here.venue.faults.split_fills = True
        gateway.place(1, BUY, ASK, 7, IOC, 0)
        await here.heard(gateway, FILL, 2)
        assert (await gateway._open.client.holding()).lots == 7
        assert MOST_TRADES > len(here.venue.trades) > 1


@in_loop
async def test_more_is_not_sold_than_the_account_holds() -> None:
    async with floor(SPOT) as here, connected(here) as gateway:
        gateway.place(1, SELL, ASK + 5, 99_999, GTC, 0)
        gateway.place(2, SELL, BID, 2, IOC, 0)
        reports = await here.heard(gateway, ORDER_REJECTED)
        assert [(int(row["order_id"]), int(row["reason"])) for row in reports if row["kind"] == ORDER_REJECTED] == [
            (2, NO_MARGIN)
        ]


def test_what_spot_lacks_is_refused_before_the_start() -> None:
    orders = load_settings("prod").live.orders
    with pytest.raises(ConfigError, match="binance-spot has no dead man's switch; 0 trades without one"):
        permits_of("exchange", [SPOT], orders, {KEY: "a", SECRET: "b"})
    with pytest.raises(ConfigError, match="is spot; what the account holds is its stock"):
        adopting({SPOT.name: Permit(SPOT, orders, KEYS)})
