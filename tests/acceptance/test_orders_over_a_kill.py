"""Orders to Binance's spot market and to Bybit over kill -9, runner and venue each a process: every fill told once."""

import signal
from pathlib import Path

import pytest

from tests.builders_accounts import MARKETS, account_at, deploy, journal_of, runner_to, told, venue_of
from tests.builders_processes import Process, ended_at_last, until

pytestmark = pytest.mark.acceptance

SECONDS = 600.0  # of tape, more than both runners take on a busy machine


@pytest.mark.parametrize("name", MARKETS)
def test_a_killed_runner_comes_back_to_its_orders_and_every_fill_is_told_once(tmp_path: Path, name: str) -> None:
    market = MARKETS[name]
    with ended_at_last(venue_of(tmp_path, market, SECONDS)) as venue:
        ports = venue.ready()
        account = account_at(market, ports["order_rest_port"])
        with ended_at_last(runner_to(tmp_path, market, ports, "first")) as first:
            deploy(tmp_path, market, first)
            until(lambda: len(told(tmp_path, market)) >= 2 or first.popen.poll() is not None)
            assert first.end(signal.SIGKILL) == -signal.SIGKILL, first.lines()
        before = len(told(tmp_path, market))
        if market.dead_man_s:
            until(lambda: not account.working())  # by the venue: nobody else is left
        with ended_at_last(runner_to(tmp_path, market, ports, "again")) as again:
            until(lambda: len(told(tmp_path, market)) > before + 1 or again.popen.poll() is not None)
            assert again.popen.poll() is None, again.lines()
            assert again.end() == 0, again.lines()
        fills = account.fills()
        assert account.working() == []
    assert 2 <= before < len(fills)
    assert sorted(told(tmp_path, market)) == sorted(fills)
    with ended_at_last(Process(tmp_path, "parity", ["parity", str(journal_of(tmp_path, market))])) as parity:
        assert parity.wait() == 0, parity.lines()
        assert parity.lines()[1].endswith("equal bit for bit")
