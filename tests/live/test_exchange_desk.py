"""A desk that trades at the replay venue: the venue's words are in the journal, and the journal gives the desk back."""

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from live.exchange_order_doors import AccountStreams, OrderDoors
from live.exchange_orders import Account, OrderVenue
from live.gateways.client import Addresses, VenueClient
from live.gateways.exchange import Calls, ExchangeGateway, Line, Patience
from live.gateways.opening import journal_session
from live.parity import parity_of
from live.plan import LivePlan
from live.replay import decision_of
from live.runner import Runner
from market.orders import FILL
from market.reader import FrameReader
from storage.journal import DECISION, read_journal
from tests.builders_live import in_loop
from tests.builders_market import CLOCK, COINM_BTC
from tests.builders_orders import KEYS
from tests.builders_runner import (
    START,
    HandClock,
    close_all,
    drive,
    new_runner,
    quick_plan,
    synthetic_frames,
)
from trading import account as own
from trading.records import CANCEL, KILL_UNVERIFIED, KILLED, PLACE

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:aiohttp")


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


async def run_at_venue(folder: Path, seconds: float) -> tuple[Runner, OrderVenue]:
    """A runner that has traded for a while and has gone without a goodbye."""
    runner = new_runner(folder, plan=exchange_plan())
    streams = AccountStreams()
    venue = OrderVenue(COINM_BTC, exchange_plan().venue, Account(*KEYS), runner.clock.now, streams.send)
    doors = OrderDoors(venue, streams)
    await doors.open("127.0.0.1", 0, 0)
    ws, rest = doors.ports
    client = VenueClient(COINM_BTC, KEYS, Addresses(f"http://127.0.0.1:{rest}", True), (2_000.0, 5_000.0))
    session, patience = journal_session(folder / "journal"), Patience(5.0, 0.02, 10.0)
    line = Line(
        client,
        f"ws://127.0.0.1:{ws}",
        session,
        Calls(runner.stamps.now, lambda name, fault: pytest.fail(f"{name}: {fault}")),
        patience,
        np.random.default_rng(1),
    )
    await gateway_of(runner).open(line)
    runner.on_connection(True, START)
    try:
        await traded(runner, venue, seconds)
    finally:
        for task in tuple(gateway_of(runner)._tasks):
            task.cancel()
        await client.close()
        doors.close()
        runner.journal.close()
    return runner, venue


@in_loop
async def test_the_journal_of_an_exchange_desk_replays_exactly_and_gives_the_desk_back(tmp_path: Path) -> None:
    runner, venue = await run_at_venue(tmp_path, 8.0)
    gateway, session = gateway_of(runner), runner.desks[0].session
    report = parity_of(tmp_path / "journal", tmp_path)
    assert report.decisions.exact
    assert report.fills > 3
    assert gateway.position == venue.position
    made = [decision_of(record.payload) for record in read_journal(tmp_path / "journal") if record.kind == DECISION]
    assert max(abs(int(decision.record["position"][0])) for decision in made) <= 20  # 2,000 USD
    again = new_runner(tmp_path, plan=exchange_plan())
    assert all(a.tobytes() == b.tobytes() for a, b in zip(again.desks[0].session.account, session.account, strict=True))
    assert [life.order_id for life in gateway_of(again).alive] == sorted(
        session.account[0][:, own.ORDER_ID][session.account[0][:, own.STATE] != own.FREE].tolist()
    )
    again.journal.close()
    written = b"".join(path.read_bytes() for path in (tmp_path / "journal").iterdir())
    for secret in (*KEYS, venue.listen_key):
        assert secret.encode() not in written


def test_a_gateway_goes_on_from_its_dump() -> None:
    from market.orders import ACKED, REPORT

    first = ExchangeGateway(COINM_BTC)
    first.place(4, 1, 500_000, 9, 3, 0)
    told = [(0, 4, 500_000, 9, 9, 1, 1, ACKED, 0, 1, 0), (1, 4, 500_000, 3, 6, 2, 2, FILL, 0, 1, 1)]
    first.hear(np.array(told, REPORT))
    second = ExchangeGateway(COINM_BTC)
    second.load(first.dump())
    assert second.position == first.position == 3
    assert {name: array.tolist() for name, array in second.dump().items()} == {
        name: array.tolist() for name, array in first.dump().items()
    }
    assert second.alive[0].filled == 3


def test_the_kill_switch_survives_a_restart(tmp_path: Path) -> None:
    frames = synthetic_frames(8.0)
    runner = new_runner(tmp_path)
    runner.on_connection(True, START)
    orders = runner.desks[1].session.account[0]
    cut = next(
        place
        for place, frame in enumerate(frames, 1)
        if drive(runner, [frame]) > START + 4_000_000_000 and (orders[:, own.STATE] == own.RESTING).any()
    )
    runner.kill()
    runner.journal.close()
    again = new_runner(tmp_path)
    assert {desk["kill"] for desk in again.status()["desks"]} <= {"unverified", "verified"}
    before = again.resumed
    again.on_connection(True, again.stamps.now())
    drive(again, frames[cut:])
    again.journal.close()
    assert {desk["kill"] for desk in again.status()["desks"]} == {"verified"}
    after = [decision_of(record.payload) for record in read_journal(tmp_path / "journal") if record.kind == DECISION]
    assert {int(decision.record["reason"][0]) for decision in after[before:]} == {KILLED, KILL_UNVERIFIED}
    verbs = [int(verb) for decision in after[before:] for verb in decision.intents["verb"]]
    assert CANCEL in verbs
    opened = [d for d in after[before:] if PLACE in d.intents["verb"] and d.record["position"][0] == 0]
    assert not opened
    assert new_runner(tmp_path).resumed == len(after)
