"""The exchange gateway through ccxt against the replay venue: nothing lost, nothing twice, position = sum of fills."""

import asyncio
import hashlib
import hmac
import time
from http import HTTPStatus
from typing import Any

import httpx
import numpy as np
import pytest

from config.refusals import RefusedKey
from live.exchange_account import signed
from live.gateways.exchange import ExchangeGateway
from live.gateways.life import OrderLife
from market.errors import VenueError
from market.events import BUY, SELL
from market.instrument import Instrument
from market.orders import (
    ACKED,
    CANCEL_REJECTED,
    FILL,
    GTC,
    IOC,
    LINE_DOWN,
    NEVER_ARRIVED,
    NO_ANSWER,
    ORDER_CANCELLED,
    ORDER_EXPIRED,
    ORDER_REJECTED,
    POST_ONLY,
    REPORT,
    VENUE_REFUSED,
    WOULD_CROSS,
)
from tests.builders_live import bybit_of, in_loop, until
from tests.builders_market import COINM_BTC, USDM_BTC
from tests.builders_orders import ASK, BID, KEYS, SPOT, Floor, connected, floor, position_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:aiohttp")

BYBIT = bybit_of(USDM_BTC)
everywhere = pytest.mark.parametrize("instrument", [USDM_BTC, SPOT, BYBIT], ids=["usdm", "spot", "bybit"])


def kinds(reports: list[Any], order_id: int) -> list[int]:
    return [int(row["kind"]) for row in reports if int(row["order_id"]) == order_id]


def buy(gateway: Any, order_id: int, qty: int, price: int = ASK, tif: int = IOC) -> None:
    gateway.place(order_id, BUY, price, qty, tif, time.time_ns())


def check(here: Floor, gateway: Any, reports: list[Any]) -> None:
    """Nothing lost, nothing twice: both sides hold the same, and reports are numbered as they came."""
    assert position_of(reports) == gateway.position == here.venue.position
    assert [int(row["report_id"]) for row in reports] == list(range(len(reports)))
    told = [int(row["visible_ts"]) for row in reports]
    assert told == sorted(told)


@pytest.mark.parametrize(
    "instrument",
    [USDM_BTC, COINM_BTC, SPOT, BYBIT, bybit_of(COINM_BTC)],
    ids=["usdm", "coinm", "spot", "bybit", "bybit inverse"],
)
@in_loop
async def test_an_immediate_order_is_acknowledged_filled_and_its_rest_expires(instrument: Instrument) -> None:
    async with floor(instrument) as here, connected(here) as gateway:
        buy(gateway, 1, 14)
        reports = await here.heard(gateway, ORDER_EXPIRED)
        assert kinds(reports, 1) == [ACKED, FILL, ORDER_EXPIRED]
        assert [int(row["leaves"]) for row in reports] == [14, 4, 0]
        assert position_of(reports) == 10
        check(here, gateway, reports)


@everywhere
@in_loop
async def test_a_resting_order_fills_in_parts_and_is_cancelled(instrument: Instrument) -> None:
    async with floor(instrument) as here, connected(here) as gateway:
        here.tape.depth = 0
        here.venue.faults.split_fills = True
        buy(gateway, 1, 6, BID, POST_ONLY)
        await here.heard(gateway, ACKED)
        await here.print_through(SELL, 4)
        await here.heard(gateway, FILL, 2)
        gateway.cancel(1, time.time_ns())
        reports = await here.heard(gateway, ORDER_CANCELLED)
        assert kinds(reports, 1) == [ACKED, FILL, FILL, ORDER_CANCELLED]
        assert {int(row["maker"]) for row in reports if int(row["kind"]) == FILL} == {1}
        check(here, gateway, reports)


@everywhere
@in_loop
async def test_refusals_come_back_with_their_reason(instrument: Instrument) -> None:
    async with floor(instrument) as here, connected(here) as gateway:
        buy(gateway, 1, 5, ASK, POST_ONLY)
        crossing = await here.heard(gateway, ORDER_REJECTED)
        here.venue.faults.reject_all = True
        for order_id in (2, 3):
            buy(gateway, order_id, 5)
        reports = await here.heard(gateway, ORDER_REJECTED, 3)
        assert int(crossing[-1]["reason"]) == WOULD_CROSS
        assert {int(row["reason"]) for row in reports[-2:]} == {VENUE_REFUSED}
        assert not gateway.alive
        check(here, gateway, reports)


@everywhere
@in_loop
async def test_late_acknowledgements_and_duplicate_reports_are_told_once_and_in_order(instrument: Instrument) -> None:
    async with floor(instrument) as here, connected(here) as gateway:
        here.venue.faults.answer_delay_s, here.venue.faults.duplicate = 0.05, True
        buy(gateway, 1, 10)
        buy(gateway, 2, 3, BID, GTC)
        await here.heard(gateway, FILL)
        await until(lambda: gateway.counts["duplicates"] > 1)
        reports = await here.heard(gateway, ACKED, 2)
        assert kinds(reports, 1) == [ACKED, FILL]
        assert kinds(reports, 2) == [ACKED]
        check(here, gateway, reports)


@everywhere
@in_loop
async def test_reports_that_come_twice_and_the_last_first_are_told_once_and_in_order(instrument: Instrument) -> None:
    async with floor(instrument) as here, connected(here) as gateway:
        faults = here.venue.faults
        faults.backwards = faults.duplicate = faults.split_fills = True
        buy(gateway, 1, 7)
        buy(gateway, 2, 3, BID, GTC)
        reports = await here.heard(gateway, FILL, 2)
        gateway.cancel(2, 0)
        reports = await here.heard(gateway, ORDER_CANCELLED)
        await until(lambda: gateway.counts["duplicates"] > 3)
        assert kinds(reports, 1) == [ACKED, FILL, FILL]
        assert kinds(reports, 2) == [ACKED, ORDER_CANCELLED]
        assert sorted(int(row["qty"]) for row in reports if int(row["kind"]) == FILL) == [3, 4]
        check(here, gateway, reports)


@everywhere
@in_loop
async def test_an_order_that_was_executed_without_an_answer_is_found(instrument: Instrument) -> None:
    async with floor(instrument) as here, connected(here) as gateway:
        here.venue.faults.mute = True  # the stream says nothing either
        here.venue.faults.plan("place", "executed unanswered")
        buy(gateway, 1, 7)
        reports = await here.heard(gateway, FILL)
        assert kinds(reports, 1) == [ACKED, FILL]
        assert gateway.counts["unanswered"] == gateway.counts["resolved"] == 1
        check(here, gateway, reports)


@everywhere
@in_loop
async def test_an_order_that_never_arrived_is_told_so_once_it_no_longer_can(instrument: Instrument) -> None:
    async with floor(instrument) as here, connected(here) as gateway:
        here.venue.faults.plan("place", "unanswered")
        sent = time.monotonic()
        buy(gateway, 1, 7)
        reports = await here.heard(gateway, ORDER_REJECTED)
        assert time.monotonic() - sent >= 1.0  # the receive window
        assert int(reports[-1]["reason"]) == NEVER_ARRIVED
        assert not here.venue.orders
        check(here, gateway, reports)


async def heard_until_it_stops(gateway: ExchangeGateway) -> None:
    async with asyncio.timeout(10):
        while True:
            gateway.reports(time.time_ns())
            await asyncio.sleep(0.01)


@in_loop
async def test_an_order_that_arrives_after_it_was_given_up_ends_trading_in_one_line() -> None:
    async with floor() as here, connected(here) as gateway:
        here.venue.faults.plan("place", "unanswered")
        buy(gateway, 1, 7, BID, POST_ONLY)
        await here.heard(gateway, ORDER_REJECTED)
        await gateway._open.client.place(OrderLife(1, BUY, BID, 7, POST_ONLY), gateway.client_id(1))
        with pytest.raises(VenueError, match="order 1 was given up as never arrived, and stands at the venue as NEW"):
            await heard_until_it_stops(gateway)


@pytest.mark.parametrize(("fault", "end"), [("executed unanswered", ORDER_CANCELLED), ("unanswered", CANCEL_REJECTED)])
@everywhere
@in_loop
async def test_a_cancel_without_an_answer_is_asked_for(fault: Any, end: int, instrument: Instrument) -> None:
    async with floor(instrument) as here, connected(here) as gateway:
        buy(gateway, 1, 5, BID, POST_ONLY)
        await here.heard(gateway, ACKED)
        here.venue.faults.mute = True
        here.venue.faults.plan("cancel", fault)
        gateway.cancel(1, time.time_ns())
        reports = await here.heard(gateway, end)
        assert kinds(reports, 1) == [ACKED, end]
        if end == CANCEL_REJECTED:
            assert int(reports[-1]["reason"]) == NO_ANSWER
            gateway.cancel(1, time.time_ns())
            reports = await here.heard(gateway, ORDER_CANCELLED)
        check(here, gateway, reports)


@everywhere
@in_loop
async def test_a_lost_stream_cancels_what_rests_and_takes_no_orders_until_reconciled(instrument: Instrument) -> None:
    async with floor(instrument) as here, connected(here) as gateway:
        buy(gateway, 1, 10)
        buy(gateway, 2, 5, BID, POST_ONLY)
        await here.heard(gateway, FILL)
        await here.heard(gateway, ACKED, 2)
        here.streams.drop_all()
        await until(lambda: not gateway.up)
        buy(gateway, 3, 5)
        reports = await here.heard(gateway, ORDER_CANCELLED)
        assert [int(row["reason"]) for row in reports if int(row["order_id"]) == 3] == [LINE_DOWN]
        await until(lambda: gateway.up)
        assert gateway.counts["reconciled"] == 2
        buy(gateway, 4, 2)
        reports = await here.heard(gateway, FILL, 2)
        check(here, gateway, reports)


@everywhere
@in_loop
async def test_fills_that_the_stream_never_brought_are_found_after_it_came_back(instrument: Instrument) -> None:
    async with floor(instrument) as here, connected(here) as gateway:
        buy(gateway, 1, 3, BID, POST_ONLY)
        await here.heard(gateway, ACKED)
        here.venue.faults.mute = True
        here.tape.depth = 0
        await asyncio.sleep(0)
        await here.print_through(SELL, 50)
        await until(lambda: here.venue.position == 3)
        here.streams.drop_all()
        reports = await here.heard(gateway, FILL)
        assert kinds(reports, 1)[:2] == [ACKED, FILL]  # and that a cancel came too late
        await until(lambda: gateway.up)
        check(here, gateway, reports)


@everywhere
@in_loop
async def test_an_id_that_the_venue_has_is_seen_and_not_executed_twice(instrument: Instrument) -> None:
    async with floor(instrument) as here, connected(here) as gateway:
        buy(gateway, 1, 5, BID, POST_ONLY)
        await here.heard(gateway, ACKED)
        buy(gateway, 1, 5, BID, POST_ONLY)  # as after a crash between sending and remembering
        await until(lambda: gateway.counts["resolved"] == 1)
        assert len(here.venue.orders) == 1
        assert gateway.client_id(1) == here.venue.orders[1].client_id == "tlabc-1"


async def replayed(here: Floor, reports: np.ndarray, orders: list[tuple[int, int, int]]) -> Any:
    """A gateway that has been told a journal: orders (id, lots, tif) and reports."""
    gateway = here.gateway()
    for order_id, qty, tif in orders:
        gateway.place(order_id, BUY, ASK if tif == IOC else BID, qty, tif, 0)
    gateway.hear(reports)
    assert gateway.reports(0).tobytes() == reports.tobytes()
    return gateway


@everywhere
@in_loop
async def test_a_restart_settles_orders_and_fills_with_the_venue_before_it_goes_on(instrument: Instrument) -> None:
    async with floor(instrument) as here:
        first = here.gateway()
        await here.connect(first)
        buy(first, 1, 4)
        buy(first, 2, 6, BID, POST_ONLY)
        await here.heard(first, ACKED, 2)
        known = np.concatenate(here.seen)
        known = known[known["kind"] == ACKED]  # the kill came before the fill was seen
        for task in tuple(first._tasks):
            task.cancel()
        await first._open.client.close()
        here.seen.clear()
        second = await replayed(here, known, [(1, 4, IOC), (2, 6, POST_ONLY), (3, 5, IOC)])  # 3 was never sent
        await here.connect(second)
        reports = await here.heard(second, ORDER_REJECTED)
        assert kinds(reports, 1) == [FILL]
        assert kinds(reports, 3) == [ORDER_REJECTED]
        assert second.position == here.venue.position == 4
        assert [life.order_id for life in second.alive] == [2]
        await second.close()
        assert not second.alive
        assert here.venue.orders[2].status == "CANCELED"


@in_loop
async def test_a_position_that_the_journal_does_not_explain_stops_trading() -> None:
    async with floor() as here:
        async with connected(here) as stranger:
            buy(stranger, 1, 4)
            await here.heard(stranger, FILL)
        with pytest.raises(VenueError, match=r"holds 4 lots of .*, the journal 0"):
            await here.connect(here.gateway(), "other")


@everywhere
@in_loop
async def test_an_order_that_the_journal_does_not_know_stops_trading(instrument: Instrument) -> None:
    async with floor(instrument) as here, connected(here) as stranger:
        buy(stranger, 1, 4, BID, POST_ONLY)
        await here.heard(stranger, ACKED)
        with pytest.raises(VenueError, match="1 orders work in"):
            await here.connect(here.gateway(), "other")


@everywhere
@in_loop
async def test_a_key_that_may_withdraw_is_refused(instrument: Instrument) -> None:
    async with floor(instrument, withdraws=True) as here:
        with pytest.raises(RefusedKey, match="enableWithdrawals=True") as refused:
            await here.connect(here.gateway())
        assert refused.value.reason == "key may move money"


@everywhere
@in_loop
async def test_a_wrong_secret_is_refused_in_a_line_that_holds_no_signature(instrument: Instrument) -> None:
    async with floor(instrument) as here:
        with pytest.raises(VenueError) as refused:
            await here.connect(here.gateway(), keys=KEYS._replace(secret="wrong"))
        assert any(code in str(refused.value) for code in ("-1022", "10004"))
        assert "signature=" not in f"{refused.value!r}{refused.value.__context__!s}"
        assert refused.value.__suppress_context__


@in_loop
async def test_the_venue_checks_key_signature_and_time() -> None:
    async with floor() as here, httpx.AsyncClient(base_url=here.base) as client:

        async def code(query: str, key: str = KEYS.key) -> int:
            answer = await client.get(f"/fapi/v1/openOrders?{query}", headers={"X-MBX-APIKEY": key})
            return HTTPStatus.OK if answer.status_code == HTTPStatus.OK else answer.json()["code"]

        now = int(time.time() * 1e3)
        assert await code(signed({"timestamp": now}, KEYS.secret)) == HTTPStatus.OK
        assert await code(signed({"timestamp": now}, KEYS.secret), "x") == -2015
        assert await code(f"timestamp={now}&signature={hmac.new(b'x', b'', hashlib.sha256).hexdigest()}") == -1022
        assert await code(signed({"timestamp": now - 10_000}, KEYS.secret)) == -1021


@everywhere
@in_loop
async def test_what_is_reported_holds_no_secret(instrument: Instrument) -> None:
    async with floor(instrument) as here, connected(here) as gateway:
        buy(gateway, 1, 14)
        await here.heard(gateway, ORDER_EXPIRED)
        written = b"".join(part.tobytes() for part in here.seen)
        assert all(part.dtype == REPORT for part in here.seen)
        for secret in (KEYS.key, KEYS.secret, here.venue.listen_key):
            assert secret.encode() not in written
            assert secret not in repr(KEYS)
