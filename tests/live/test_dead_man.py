"""The venue's dead man's switch: who is gone leaves nothing resting, who is there keeps it, a refusal says so."""

import asyncio
from dataclasses import replace

import pytest

from live.gateways import dead_man
from live.gateways.client import VenueClient
from live.gateways.exchange import ExchangeGateway
from market.errors import NoAnswer, VenueError
from market.events import BUY
from market.instrument import Instrument
from market.orders import ACKED, ORDER_CANCELLED, POST_ONLY
from tests.builders_live import in_loop, until
from tests.builders_market import COINM_BTC, USDM_BTC
from tests.builders_orders import BID, HASTY, Floor, floor

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:aiohttp")

OFTEN = 3_000  # renewals within a countdown of a minute: one each 20 ms


async def resting(here: Floor, dead_man_s: float) -> ExchangeGateway:
    gateway = here.gateway()
    await here.connect(gateway, patience=replace(HASTY, dead_man_s=dead_man_s))
    gateway.place(1, BUY, BID, 5, POST_ONLY, 0)
    await here.heard(gateway, ACKED)
    return gateway


@pytest.mark.parametrize("instrument", [USDM_BTC, COINM_BTC], ids=["usdm", "coinm"])
@in_loop
async def test_orders_of_who_is_gone_are_cancelled_by_the_venue(
    monkeypatch: pytest.MonkeyPatch, instrument: Instrument
) -> None:
    monkeypatch.setattr(ExchangeGateway, "_on_down", lambda _: None)  # who is killed cancels nothing
    async with floor(instrument) as here:
        gateway = await resting(here, 1.0)
        for task in tuple(gateway._tasks):
            task.cancel()
        await asyncio.gather(*gateway._tasks, return_exceptions=True)
        await gateway._open.client.close()
        await until(lambda: here.venue.orders[1].status == "CANCELED")
        assert gateway.counts["cancels"] == 0  # it was the venue


@in_loop
async def test_orders_of_who_is_there_stay_and_the_countdown_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_man, "RENEWALS", OFTEN)
    async with floor() as here:
        gateway = await resting(here, 60.0)
        assert here.venue.countdown._running is not None
        began, ends = here.venue.countdown.begun, here.venue.countdown._running.when()
        await until(lambda: here.venue.countdown.begun > began + 5)
        assert here.venue.countdown._running.when() > ends
        assert here.venue.orders[1].status == "NEW"
        await gateway.close()
        assert here.venue.countdown._running is None


@in_loop
async def test_without_the_setting_the_venue_is_not_asked() -> None:
    async with floor() as here:
        gateway = await resting(here, 0.0)
        await gateway.close()
        assert here.venue.countdown.begun == 0


@in_loop
async def test_a_cancel_by_the_venue_is_told_as_one() -> None:
    async with floor() as here:
        gateway = await resting(here, 60.0)
        here.venue.countdown._cancel_all()
        reports = await here.heard(gateway, ORDER_CANCELLED)
        assert [int(row["kind"]) for row in reports] == [ACKED, ORDER_CANCELLED]
        await gateway.close()


@in_loop
async def test_silence_is_tried_again_and_a_refusal_stops_trading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_man, "RENEWALS", OFTEN)
    async with floor() as here:
        gateway = await resting(here, 60.0)
        answers = [NoAnswer("no answer"), VenueError("refused")]

        async def answered(*_: object) -> None:
            raise answers.pop(0)

        monkeypatch.setattr(gateway._open.client, "cancel_all_after", answered)
        await until(lambda: not gateway.up)
        assert gateway.counts["unrenewed"] == 1
        with pytest.raises(VenueError, match="refused"):
            gateway.reports(2**62)
        answers.append(NoAnswer("no answer"))
        await gateway.close()


@in_loop
async def test_a_venue_that_does_not_take_it_is_not_traded_at(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(*_: object) -> None:
        raise VenueError("the exchange refuses with code -1")

    monkeypatch.setattr(VenueClient, "cancel_all_after", refused)
    async with floor() as here:
        with pytest.raises(VenueError, match="refuses"):
            await here.connect(here.gateway(), patience=replace(HASTY, dead_man_s=5.0))
