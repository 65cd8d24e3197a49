"""The venue's clock is learnt again: on a schedule, after a step of ours, and where the venue disputes a stamp."""

import asyncio
import time

import numpy as np
import pytest

from live.exporter import PrometheusMeters
from live.figures import GatewayFigures
from live.gateways import venue_clock
from live.gateways.venue_clock import VenueClock
from market.errors import NoAnswer, RefusedForNow, VenueError
from market.events import BUY
from market.instrument import Instrument
from market.orders import ACKED, POST_ONLY
from tests.builders_live import bybit_of, in_loop, until
from tests.builders_market import USDM_BTC
from tests.builders_orders import BID, SPOT, connected, floor

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:aiohttp")

BYBIT = bybit_of(USDM_BTC)


class Clocks:
    """Our two clocks, and a venue's that is ahead of them; an answer takes as long as it was told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, round_trips_ms: list[float]) -> None:
        self.wall_s, self.steady_s, self.ahead_ms = 1_700_000_000.0, 50.0, 250.0
        self.told: list[float] = []
        self.asked = 0
        self._round_trips_ms = round_trips_ms
        monkeypatch.setattr(venue_clock.time, "time", lambda: self.wall_s)
        monkeypatch.setattr(venue_clock.time, "monotonic", lambda: self.steady_s)

    def clock(self) -> VenueClock:
        return VenueClock(self._ask, self.told.append)

    def step(self, seconds: float) -> None:
        """Somebody sets our clock."""
        self.wall_s += seconds
        self.ahead_ms -= seconds * 1e3

    async def _ask(self) -> float:
        way_s = self._round_trips_ms[self.asked % len(self._round_trips_ms)] / 2e3
        self.asked += 1
        self._pass(way_s)
        theirs_ms = self.wall_s * 1e3 + self.ahead_ms
        self._pass(way_s)
        return theirs_ms

    def _pass(self, seconds: float) -> None:
        self.wall_s, self.steady_s = self.wall_s + seconds, self.steady_s + seconds


@in_loop
async def test_the_quickest_answer_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks(monkeypatch, [4_000.0, 20.0, 900.0])
    clock = clocks.clock()
    await clock.learn("start")
    assert clock.offset_ms == pytest.approx(-250.0, abs=1e-3)
    assert clocks.told == [clock.offset_ms]
    assert clock.counts == {"start": 1, "schedule": 0, "refused": 0, "step": 0}


@in_loop
async def test_a_step_of_our_clock_is_seen_before_the_next_stamp_and_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks(monkeypatch, [2.0])
    clock = clocks.clock()
    await clock.settled()
    assert clocks.asked == 0  # nobody has opened it yet
    await clock.learn("start")
    clocks._pass(3_600.0)
    await clock.settled()
    assert clock.counts["step"] == 0  # an hour alone is no step
    for step_s, offset_ms in ((5.0, 4_750.0), (-30.0, -25_250.0)):
        clocks.step(step_s)
        await asyncio.gather(*(clock.settled() for _ in range(8)))
        assert clock.offset_ms == pytest.approx(offset_ms, abs=1e-3)
    assert (clock.counts["step"], clocks.asked) == (2, 9)


@in_loop
async def test_many_refused_stamps_are_one_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks(monkeypatch, [2.0])
    clock = clocks.clock()
    await clock.learn("start")
    seen = await clock.settled()
    await asyncio.gather(*(clock.learn("refused", seen) for _ in range(8)))
    assert clock.counts["refused"] == 1


@in_loop
async def test_it_is_read_on_a_schedule_and_silence_does_not_end_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venue_clock, "LEARN_S", 0.001)
    answers: list[float | VenueError] = [NoAnswer("no answer"), RefusedForNow(429, "too many")]
    heard: list[VenueError] = []

    async def ask() -> float:
        answer = answers.pop(0) if answers else time.time() * 1e3
        if isinstance(answer, VenueError):
            raise answer
        return answer

    clock = VenueClock(ask, lambda _: None)
    keeping = asyncio.create_task(clock.keep_learning(heard.append))
    await until(lambda: clock.counts["schedule"] >= 2)
    keeping.cancel()
    assert [type(error) for error in heard] == [NoAnswer, RefusedForNow]


@pytest.mark.parametrize("instrument", [USDM_BTC, SPOT, BYBIT], ids=["usdm", "spot", "bybit"])
@in_loop
async def test_a_venue_whose_clock_has_moved_takes_the_next_order(instrument: Instrument) -> None:
    meters = PrometheusMeters("symbol")
    async with floor(instrument) as here, connected(here) as gateway:
        GatewayFigures(meters, gateway)
        gateway.place(1, BUY, BID, 5, POST_ONLY, 0)
        await here.heard(gateway, ACKED)
        for number, clock_s in ((2, 30.0), (3, -30.0)):
            here.venue.faults.clock_s = clock_s
            gateway.place(number, BUY, BID, 5, POST_ONLY, 0)
            await here.heard(gateway, ACKED, number)
            assert np.isclose(meters.value("venue_clock_offset_ms"), -clock_s * 1e3, atol=500.0)
        assert meters.value("venue_clock_readings_total", kind="refused") == 2
        assert meters.value("order_events_total", kind="placed") == 3
        assert gateway.counts["refused"] == 0


@pytest.mark.parametrize("instrument", [SPOT, BYBIT], ids=["spot", "bybit"])
@in_loop
async def test_a_stream_whose_greeting_bears_a_wrong_stamp_comes_back(instrument: Instrument) -> None:
    async with floor(instrument) as here, connected(here) as gateway:
        here.venue.faults.clock_s = 30.0
        here.streams.drop_all()
        await until(lambda: not gateway.up)
        await until(lambda: gateway.up)
        assert gateway.stream_counts["connections"] == 2


@in_loop
async def test_what_befalls_the_account_stream_is_metered() -> None:
    meters = PrometheusMeters("symbol")
    async with floor() as here, connected(here) as gateway:
        GatewayFigures(meters, gateway)
        here.streams.drop_all()
        await until(lambda: meters.value("account_stream_events_total", kind="disconnections") == 1)
        await until(lambda: meters.value("account_stream_events_total", kind="connections") == 2)
        assert meters.value("account_stream_events_total", kind="malformed") == 0
