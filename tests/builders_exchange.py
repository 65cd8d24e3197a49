"""A runner whose desk trades at a replay venue over real sockets, by a clock that the tape sets."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from live.connectors.pace import Hosts
from live.exchange_account import Account
from live.exchange_order_doors import AccountStreams, OrderDoors
from live.exchange_orders import OrderVenue
from live.gateways.client import Addresses, VenueClient
from live.gateways.exchange import ExchangeGateway
from live.gateways.line import Calls, Line, Patience
from live.gateways.opening import journal_session
from live.plan import LivePlan
from live.runner import Runner
from market.reader import FrameReader
from tests.builders_market import CLOCK, COINM_BTC
from tests.builders_orders import KEYS
from tests.builders_runner import START, HandClock, close_all, new_runner, quick_plan, synthetic_frames


def exchange_plan() -> LivePlan:
    """The probe at an exchange: its quotes need no model."""
    plan = quick_plan()
    risk = replace(plan.trading.risk, max_position_usd=2_000.0)
    return replace(plan, desks=("probe",), gateway="exchange", trading=replace(plan.trading, risk=risk))


def gateway_of(runner: Runner) -> ExchangeGateway:
    gateway = runner.desks[0].gateway
    assert isinstance(gateway, ExchangeGateway)
    return gateway


async def traded(runner: Runner, venue: OrderVenue, seconds: float) -> None:
    """Feed the venue and the runner the same tape; orders and reports travel over real sockets meanwhile."""
    reader, clock = FrameReader(COINM_BTC, CLOCK), runner.clock
    assert isinstance(clock, HandClock)
    for ts, frame in synthetic_frames(seconds):
        clock.ns = ts
        venue.on_events(reader.read(frame, ts))
        close_all(runner)
        runner.on_frame(frame, ts)
        await asyncio.sleep(0.001 if gateway_of(runner).alive else 0)


async def run_at_venue(
    folder: Path,
    seconds: float,
    plan: LivePlan | None = None,
    meanwhile: Callable[[Runner], Awaitable[object]] | None = None,
) -> tuple[Runner, OrderVenue]:
    """A runner that has traded for a while and has gone without a goodbye.

    plan : the probe's at an exchange unless given; ``meanwhile`` is awaited beside the trading, to its end
    """
    plan = plan or exchange_plan()
    runner = new_runner(folder, plan=plan)
    streams = AccountStreams()
    venue = OrderVenue(COINM_BTC, plan.venue, Account(*KEYS), runner.clock.now, streams.send)
    doors = OrderDoors(venue, streams)
    await doors.open("127.0.0.1", 0, 0)
    ws, rest = doors.ports
    addresses = Addresses(f"http://127.0.0.1:{rest}", True, Hosts(1_000_000, 1_000))
    client = VenueClient(COINM_BTC, KEYS, addresses, (2_000.0, 5_000.0))
    session, patience = journal_session(folder / "journal"), Patience(5.0, 0.02, 10.0)
    calls = Calls(runner.stamps.now, lambda name, fault: pytest.fail(f"{name}: {fault}"))
    line = Line(client, f"ws://127.0.0.1:{ws}", session, calls, patience, np.random.default_rng(1))
    await gateway_of(runner).open(line)
    runner.on_connection(True, START)
    beside = asyncio.ensure_future(meanwhile(runner)) if meanwhile else None
    try:
        await traded(runner, venue, seconds)
        if beside is not None:
            await beside
    finally:
        for task in tuple(gateway_of(runner)._tasks):
            task.cancel()
        await client.close()
        doors.close()
        runner.journal.close()
    return runner, venue
