"""A desk that trades at the replay venue: the venue's words are in the journal, and the journal gives the desk back."""

from pathlib import Path

import numpy as np
import pytest

from live.exchange_order_faults import OrderFaults
from live.gateways.exchange import ExchangeGateway
from live.parity import parity_of
from live.replay import decision_of
from market.orders import FILL
from storage.journal import DECISION, read_journal
from tests.builders_exchange import exchange_plan, gateway_of, run_at_venue
from tests.builders_live import in_loop
from tests.builders_market import COINM_BTC
from tests.builders_orders import KEYS
from tests.builders_runner import START, drive, new_runner, synthetic_frames
from trading import account as own
from trading.records import CANCEL, KILL_UNVERIFIED, KILLED, PLACE

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:aiohttp")


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


@in_loop
async def test_a_venue_that_rejects_all_leaves_a_flat_desk_that_keeps_to_its_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OrderFaults, "take", lambda _, verb: "reject" if verb == "place" else "")
    runner, venue = await run_at_venue(tmp_path, 6.0)
    assert (gateway_of(runner).position, venue.position, venue.trades) == (0, 0, [])
    assert runner.desks[0].session.flat
    report = parity_of(tmp_path / "journal", tmp_path)
    assert report.decisions.exact
    made = [decision_of(record.payload) for record in read_journal(tmp_path / "journal") if record.kind == DECISION]
    sent = np.array([int(d.record["row_ts"][0]) for d in made for intent in d.intents if intent["verb"] == PLACE])
    assert gateway_of(runner).counts["refused"] == len(sent) > 10
    in_a_second = np.searchsorted(sent, sent + 1_000_000_000) - np.arange(len(sent))
    assert in_a_second.max() <= runner.plan.trading.risk.max_orders_per_s


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
