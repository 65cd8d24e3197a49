"""What a venue grants for a while is renewed within its life, at the venue's own pace, and lost only at its end."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import numpy as np
import pytest

from live.connectors.pace import Hosts
from live.gateways import client, dead_man, renewing
from live.gateways.renewing import Insistence, Lapsed, renewed
from market.errors import NoAnswer, OrderRefused, RefusedForNow, VenueError
from market.events import BUY
from market.orders import (
    ACKED,
    CANCEL_REJECTED,
    FILL,
    IOC,
    LINE_DOWN,
    ORDER_CANCELLED,
    ORDER_REJECTED,
    POST_ONLY,
    VENUE_REFUSED,
)
from tests.builders_live import in_loop, until
from tests.builders_orders import ASK, BID, SPOT, Floor, floor
from tests.live.test_dead_man import OFTEN, resting

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:aiohttp")

ANSWER = NoAnswer("the exchange does not answer")


class SkippingLoop(asyncio.SelectorEventLoop):
    """A loop that waits for no timer: its clock jumps to the next one."""

    skipped_s = 0.0

    def time(self) -> float:
        return super().time() + self.skipped_s

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:
            self.skipped_s += max(0.0, self._scheduled[0].when() - self.time())
        super()._run_once()


def skipping(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run it in a loop that does not wait."""
    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        runner.run(work())


class Venue:
    """Answers as it was told to, and notes when it was asked."""

    def __init__(self, answers: Sequence[VenueError | None]) -> None:
        self.asked_s: list[float] = []
        self.heard: list[VenueError] = []
        self.insistence = Insistence(np.random.default_rng(1), self.heard.append)
        self._answers = list(answers)

    async def renew(self) -> None:
        self.asked_s.append(asyncio.get_running_loop().time())
        answer = self._answers.pop(0)
        if answer is not None:
            raise answer

    @property
    def pauses_s(self) -> list[float]:
        return np.diff(self.asked_s).tolist()


def test_it_is_asked_again_no_sooner_than_the_venue_says_and_after_pauses_that_double() -> None:
    venue = Venue([ANSWER, ANSWER, RefusedForNow(429, "too many", 40.0), RefusedForNow(-1021, "our clock"), None])
    skipping(lambda: renewed(venue.renew, 600.0, venue.insistence))
    bounds = [(0.5, 1.0), (1.0, 2.0), (40.0, 40.5), (4.0, 8.5)]
    assert all(low <= pause <= high for pause, (low, high) in zip(venue.pauses_s, bounds, strict=True))
    assert [type(error) for error in venue.heard] == [NoAnswer, NoAnswer, RefusedForNow, RefusedForNow]


def test_its_life_is_used_to_the_end_and_no_longer() -> None:
    async def until_it_lapses() -> None:
        began = asyncio.get_running_loop().time()
        with pytest.raises(Lapsed, match=r"not renewed within 30 s of life, asked \d times"):
            await renewed(venue.renew, 30.0, venue.insistence)
        assert 30.0 <= asyncio.get_running_loop().time() - began < 31.0

    venue = Venue([ANSWER] * 1_000)
    skipping(until_it_lapses)
    assert 5 <= len(venue.asked_s) <= 9
    venue = Venue([RefusedForNow(429, "too many", 3_600.0)])
    skipping(until_it_lapses)
    assert len(venue.asked_s) == 1  # the venue wants to hear nothing before the end


def test_another_refusal_is_final() -> None:
    async def refused() -> None:
        with pytest.raises(OrderRefused, match="no such key"):
            await renewed(venue.renew, 30.0, venue.insistence)

    venue = Venue([OrderRefused(-1125, "no such key")])
    skipping(refused)
    assert (len(venue.asked_s), venue.heard) == (1, [])


@in_loop
async def test_a_listen_key_that_is_refused_for_now_keeps_stream_and_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "KEEP_S", 0.01)
    monkeypatch.setattr(renewing, "FIRST_RETRY_S", 0.01)
    async with floor() as here:
        gateway = await resting(here, 0.0)
        here.venue.faults.plan("renew", "limit", 3)
        await until(lambda: gateway.stream_counts["unrenewed"] == 3)
        renewals = here.venue.renewals
        await until(lambda: here.venue.renewals > renewals)
        assert (gateway.up, gateway.stream_counts["disconnections"]) == (True, 0)
        assert here.venue.orders[1].status == "NEW"
        await gateway.close()


@in_loop
async def test_a_listen_key_whose_life_runs_out_takes_orders_back_and_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with floor() as here:
        monkeypatch.setattr(client, "KEEP_S", 0.01)
        monkeypatch.setattr(client, "LISTEN_KEY_S", 0.05)
        here.venue.faults.plan("renew", "limit", 1)
        gateway = await resting(here, 0.0)
        await here.heard(gateway, ORDER_CANCELLED)
        await until(lambda: gateway.up and gateway.stream_counts["connections"] >= 2)
        assert here.venue.orders[1].status == "CANCELED"
        await gateway.close()


@in_loop
async def test_a_countdown_that_is_refused_for_now_is_begun_again_and_trading_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dead_man, "RENEWALS", OFTEN)
    monkeypatch.setattr(renewing, "FIRST_RETRY_S", 0.01)
    async with floor() as here:
        gateway = await resting(here, 60.0)
        here.venue.faults.plan("renew", "limit", 3)
        await until(lambda: gateway.counts["unrenewed"] == 3)
        begun = here.venue.countdown.begun
        await until(lambda: here.venue.countdown.begun > begun)
        assert (gateway.up, gateway.counts["lapsed"]) == (True, 0)
        assert here.venue.orders[1].status == "NEW"
        await gateway.close()


@in_loop
async def test_without_a_countdown_no_order_leaves_until_it_runs_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with floor() as here:
        gateway = await resting(here, 1.0)
        here.venue.faults.retry_after_s = 1  # longer than is left of the countdown
        here.venue.faults.plan("renew", "limit", 1)
        await until(lambda: gateway.counts["lapsed"])
        assert not gateway.up
        gateway.place(2, BUY, BID, 5, POST_ONLY, 0)
        reports = await here.heard(gateway, ORDER_REJECTED)
        assert [int(row["reason"]) for row in reports if row["kind"] == ORDER_REJECTED] == [LINE_DOWN]
        await here.heard(gateway, ORDER_CANCELLED)  # the first, by the venue or by us
        await until(lambda: gateway.up)
        gateway.place(3, BUY, BID, 5, POST_ONLY, 0)
        await here.heard(gateway, ACKED, 2)
        await gateway.close()


@in_loop
async def test_orders_sent_while_the_venue_sends_us_away_are_refused_and_nothing_stops() -> None:
    async with floor() as here:
        gateway = here.gateway()
        await here.connect(gateway)
        here.venue.faults.retry_after_s = 1
        here.venue.faults.plan("place", "limit", 2)
        for number in (1, 2):
            gateway.place(number, BUY, BID, 5, POST_ONLY, 0)
        reports = await here.heard(gateway, ORDER_REJECTED, 2)
        assert [int(row["reason"]) for row in reports] == [VENUE_REFUSED, VENUE_REFUSED]
        assert not gateway.up
        gateway.place(3, BUY, BID, 5, POST_ONLY, 0)
        reports = await here.heard(gateway, ORDER_REJECTED, 3)
        assert (int(reports[-1]["reason"]), gateway.counts["placed"]) == (LINE_DOWN, 2)
        await until(lambda: gateway.up)
        gateway.place(4, BUY, BID, 5, POST_ONLY, 0)
        await here.heard(gateway, ACKED)
        await gateway.close()


@in_loop
async def test_cancels_wait_until_the_venue_wants_to_hear_of_us_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with floor() as here:
        gateway = await resting(here, 0.0)
        gone, ask = list[float](), gateway._open.client.cancel

        async def cancel(client_id: str) -> Any:
            gone.append(gateway._open.client.quiet_s)
            return await ask(client_id)

        monkeypatch.setattr(gateway._open.client, "cancel", cancel)
        here.venue.faults.retry_after_s = 1
        here.venue.faults.plan("cancel", "limit", 1)
        gateway.cancel(1, 0)
        await here.heard(gateway, CANCEL_REJECTED)
        gateway.cancel(1, 0)
        await here.heard(gateway, ORDER_CANCELLED)
        assert gone == [0.0, 0.0]
        await gateway.close()


@in_loop
async def test_a_ban_keeps_every_symbol_of_an_address_away_and_their_cancels_leave_in_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with floor() as here:
        here.hosts = Hosts(6_000, 1_000)
        first, second = here.gateway(), here.gateway()
        for gateway, session in ((first, "abc"), (second, "xyz")):
            await here.connect(gateway, session)
        turns, quiet = list[float](), list[float]()
        for gateway in (first, second):
            client = gateway._open.client
            monkeypatch.setattr(client, "turn_s", _noting(turns, client.turn_s))
            monkeypatch.setattr(client, "cancel", _noting(quiet, lambda _, c=client: c.quiet_s, client.cancel))
            for number in (1, 2, 3):
                gateway.place(number, BUY, BID, 5, POST_ONLY, 0)
            await until(lambda gateway=gateway: all(life.acked for life in gateway.alive))
        here.venue.faults.retry_after_s = 3
        here.venue.faults.plan("place", "limit", 1)
        first.place(4, BUY, BID, 5, POST_ONLY, 0)
        await until(lambda: not first.up)
        assert not second.up
        for gateway in (first, second):
            for number in (1, 2, 3):
                gateway.cancel(number, 0)
        await until(lambda: not first.alive and not second.alive)
        waits = [wait_s for wait_s in turns if wait_s > 0]
        assert len(waits) >= 6
        assert len(set(waits)) == len(waits)  # each has a turn of its own
        assert quiet == [0.0] * 6
        for gateway in (first, second):
            await gateway.close()


@in_loop
async def test_an_order_that_is_refused_costs_the_address_nothing_but_its_weight() -> None:
    async with floor() as here:
        here.hosts = Hosts(6_000, 1_000)
        gateway = here.gateway()
        await here.connect(gateway, "abc")
        budget = gateway._open.client._budget
        assert budget.closures == 0
        here.venue.faults.reject_all = True
        gateway.place(1, BUY, BID, 5, POST_ONLY, 0)
        await here.heard(gateway, ORDER_REJECTED)
        assert budget.closures == 0
        assert budget.reserve(1, time.monotonic()) == 0.0
        await gateway.close()


def _noting(noted: list[float], figure: Callable[..., float], then: Callable[..., Any] | None = None) -> Any:
    """Asks for a figure, notes it, and goes on to ``then``, if there is any."""

    def ask(*asked: Any) -> Any:
        noted.append(figure(*asked))
        return then(*asked) if then else noted[-1]

    return ask


@in_loop
async def test_the_venue_says_for_how_long_it_sends_us_away() -> None:
    async with floor() as here:
        gateway = here.gateway()
        await here.connect(gateway)
        here.venue.faults.retry_after_s = 7
        here.venue.faults.plan("cancel", "limit", 1)
        with pytest.raises(RefusedForNow, match="too many requests") as refused:
            await gateway._open.client.cancel(gateway.client_id(3))
        assert (refused.value.wait_s, gateway.up) == (7.0, False)
        await gateway.close()


@in_loop
async def test_fills_that_the_venue_does_not_list_now_are_told_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async with floor(SPOT) as here:
        gateway = here.gateway()
        await here.connect(gateway)
        here.venue.faults.mute = True
        asked, ask = [NoAnswer("no answer"), RefusedForNow(429, "too many", 0.0)], gateway._open.client.trades

        async def trades(venue_id: int) -> Any:
            if asked:
                raise asked.pop(0)
            return await ask(venue_id)

        monkeypatch.setattr(gateway._open.client, "trades", trades)
        await _bought(here, gateway)
        assert (gateway.up, gateway.position) == (True, 5)
        await gateway.close()


async def _bought(here: Floor, gateway: Any) -> None:
    gateway.place(1, BUY, ASK, 5, IOC, 0)
    await here.heard(gateway, FILL)
