"""Orders from a runner to a venue, each a process of its own: killed, started again, ended; every fill told once."""

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from config.refusals import refusals_in
from config.settings import Paths
from live.exchange_account import signed
from live.gateways.client import on_grid
from live.replay import reports_of
from market.orders import ACKED, FILL
from storage.journal import REPORTS, TRADING_DESK, read_journal, segments
from tests.builders_live import in_loop
from tests.builders_market import COINM_BTC
from tests.builders_orders import KEYS, floor
from tests.builders_processes import Process, ended_at_last, journal_of, synthetic_tape, until, venue_process
from tests.builders_rehearsal import KEYS_SET, deploy, runner_to


class Account:
    """The venue's own word on the account, asked as its owner would ask."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/dapi/v1"

    def _ask(self, path: str) -> Any:
        query = signed({"timestamp": int(time.time() * 1e3), "recvWindow": 60_000}, KEYS.secret)
        answer = httpx.get(f"{self._url}/{path}?{query}", headers={"X-MBX-APIKEY": KEYS.key}, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def rest(self) -> None:
        """An order of the owner's far from the market: what works in the symbol is what a countdown cancels."""
        order = {"symbol": COINM_BTC.venue_symbol.upper(), "side": "BUY", "timeInForce": "GTC", "price": "100.0"}
        fields = order | {"quantity": "1", "newClientOrderId": "by-hand", "timestamp": int(time.time() * 1e3)}
        query = signed(fields | {"recvWindow": 60_000}, KEYS.secret)
        answer = httpx.post(f"{self._url}/order?{query}", headers={"X-MBX-APIKEY": KEYS.key}, timeout=60)
        assert answer.json()["status"] == "NEW", answer.text

    def working(self) -> list[dict[str, Any]]:
        """Open orders."""
        found: list[dict[str, Any]] = self._ask("openOrders")
        return found

    def fills(self) -> list[tuple[int, int]]:
        """Ticks and lots, in order."""
        tick, lot = COINM_BTC.tick_size, COINM_BTC.lot_size
        return [(on_grid(row["price"], tick), on_grid(row["qty"], lot)) for row in self._ask("userTrades")]

    def position(self) -> int:
        """Lots."""
        return on_grid(self._ask("positionRisk")[0]["positionAmt"], COINM_BTC.lot_size)


class Traded(NamedTuple):
    """What is left of the run."""

    folder: Path
    working: list[dict[str, Any]]  # at the venue, after the last runner's end
    fills: list[tuple[int, int]]  # likewise, all there were
    position: int  # likewise
    before: int  # fills told by the runner that was killed
    ports: dict[str, Any]  # of the venue, which goes on


def told(folder: Path, kind: int = FILL) -> list[tuple[int, int, int]]:
    """Side, ticks and lots of all reports of a kind to the model's desk."""
    records = [r for r in read_journal(journal_of(folder)) if r.kind == REPORTS and r.place == TRADING_DESK]
    rows = [row for record in records for row in reports_of(record.payload) if int(row["kind"]) == kind]
    return [(int(row["side"]), int(row["price"]), int(row["qty"])) for row in rows]


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traded]:
    """Trades, is killed, comes back, trades on and is asked to end."""
    folder = tmp_path_factory.mktemp("traded")
    synthetic_tape(folder, 120.0)
    with ended_at_last(venue_process(folder, **KEYS_SET)) as venue:
        ports = venue.ready()
        account = Account(ports["order_rest_port"])
        with ended_at_last(runner_to(folder, ports, "first")) as first:
            deploy(folder, first)
            until(lambda: len(told(folder)) >= 2)
            account.rest()
            assert first.end(signal.SIGKILL) == -signal.SIGKILL
        until(lambda: not account.working())  # by the venue: nobody else is left
        before = len(told(folder))
        with ended_at_last(runner_to(folder, ports, "again")) as again:
            until(lambda: len(segments(journal_of(folder))) >= 2 or again.popen.poll() is not None)
            until(lambda: len(told(folder)) > before + 1 or again.popen.poll() is not None)
            assert again.popen.poll() is None, again.lines()
            assert again.end() == 0, again.lines()
        yield Traded(folder, account.working(), account.fills(), account.position(), before, ports)


@in_loop
async def test_a_runner_whose_key_may_withdraw_ends_in_one_line_and_is_counted(traded: Traded, tmp_path: Path) -> None:
    async with floor(COINM_BTC, withdraws=True) as here:
        orders = dict(zip(("order_ws_port", "order_rest_port"), here.doors.ports, strict=True))
        with ended_at_last(runner_to(tmp_path, traded.ports | orders, "runner")) as runner:
            assert await asyncio.to_thread(runner.wait) == 1
        refused = [line for line in runner.lines() if line.startswith("tickloop: ")]
        assert len(refused) == 1
        assert "enableWithdrawals=True" in refused[0]
        assert KEYS.secret not in runner.log.read_text()
    assert refusals_in(Paths(tmp_path / "var").refused_starts) == {"key may move money": 1}


def test_every_fill_of_the_venue_is_told_once_over_a_kill(traded: Traded) -> None:
    assert 2 <= traded.before < len(traded.fills)
    assert sorted((price, qty) for _, price, qty in told(traded.folder)) == sorted(traded.fills)
    assert sum(side * qty for side, _, qty in told(traded.folder)) == traded.position
    assert len(told(traded.folder, ACKED)) >= 2


def test_a_runner_that_is_asked_to_end_leaves_no_order_behind(traded: Traded) -> None:
    assert traded.working == []


def test_the_journal_of_orders_at_a_venue_replays_bit_for_bit(traded: Traded) -> None:
    with ended_at_last(Process(traded.folder, "parity", ["parity", str(journal_of(traded.folder))])) as parity:
        assert parity.wait() == 0, parity.lines()
        assert parity.lines()[1].endswith("equal bit for bit")


def test_no_key_stands_in_a_log_or_journal(traded: Traded) -> None:
    kept = [path for path in traded.folder.rglob("*") if path.is_file() and path.suffix in (".log", ".tlj", ".state")]
    written = b"".join(path.read_bytes() for path in kept)
    assert len(kept) > 4
    assert not any(secret.encode() in written for secret in KEYS)
