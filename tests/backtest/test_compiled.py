"""A run over compiled rows is the run that makes every row as it comes, to the last byte."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from backtest.compiled import CompiledStream, Known, opened, run_compiled
from backtest.engine import run_backtest
from backtest.ledger import Ledger
from backtest.performance import LAST_MID, MARK_PRICE
from backtest.runs import grouped, judged
from backtest.surface import Point, run_desk
from backtest.venue import SimulatedVenue
from market.errors import DataError
from market.events import FIRST, FUNDING, LAST, MARK
from market.latency import Legs, constant
from tests.builders_backtest import ASKED, SECOND, desk, imbalance_forecasts, stretch
from tests.builders_market import COINM_BTC
from tests.builders_trading import VENUE, session
from trading.parameters import PolicyKind
from trading.session import Session


@pytest.mark.parametrize("kind", ["take", "probe", "quote"])
def test_a_compiled_run_is_the_run_of_the_stream(kind: PolicyKind) -> None:
    compiled, window = stretch()
    own = desk(kind)
    trace = run_compiled(compiled, imbalance_forecasts(), own.strategy, own.terms, own.features)
    venue = SimulatedVenue(COINM_BTC, VENUE)
    live = run_backtest(compiled.tape, session(kind), venue, window, 0)
    assert live.reports.size > 5
    for name in ("decisions", "intents", "reports"):
        assert getattr(trace.result, name).tobytes() == getattr(live, name).tobytes()
    assert trace.result.end_reason == live.end_reason
    assert trace.orders.tobytes() == venue.orders.tobytes()


def test_the_state_of_compiled_rows_cannot_be_kept() -> None:
    compiled, own = stretch()[0], desk("take")
    rows = CompiledStream(compiled.book, compiled.rows, imbalance_forecasts(), own.features)
    with pytest.raises(DataError, match="the state of a CompiledStream cannot be kept"):
        Session(rows, own.strategy, Ledger(COINM_BTC)).dump()


def test_a_venue_opens_with_book_and_clock_and_without_the_orders_of_the_dump() -> None:
    compiled = stretch()[0]
    before = SimulatedVenue(COINM_BTC, VENUE)
    before.place(1, 1, 500_000, 1, 0, 0)
    before.on_events(compiled.tape[:500])
    after = opened(SimulatedVenue(COINM_BTC, VENUE), before.dump())
    assert after.clock == before.clock
    assert [array.tobytes() for array in after.book] == [array.tobytes() for array in before.book]
    assert after.orders.size == 0


def test_every_order_and_every_fill_of_a_run_stand_in_its_tables() -> None:
    run = run_desk("probe", desk("probe"), stretch()[0], imbalance_forecasts())
    assert run.orders.height > 10
    assert run.orders["order_id"].to_list() == sorted(set(run.orders["order_id"]))
    assert run.orders["decision_id"].null_count() == 0
    assert set(run.orders["tif"]) == {"post-only"}
    assert run.orders["filled"].sum() == run.fills["qty"].sum() > 0
    done = run.orders.filter(run.orders["status"] == "filled")
    assert done.filter(done["filled"] < done["qty"]).height <= 1  # whose report came after the last row


def test_groups_of_a_run_name_its_symbol_regimes_and_hours() -> None:
    run = run_desk("model", desk("take"), stretch()[0], imbalance_forecasts())
    table = grouped([run])
    assert set(table["scope"]) == {"symbol", "regime", "hour"}
    assert table.filter(table["scope"] == "hour")["group"].to_list() == ["00"]
    assert set(table.filter(table["scope"] == "regime")["group"]) == {"range", "trend", "high volatility"}
    assert table.filter(table["scope"] == "symbol")["net"][0] == pytest.approx(run.performance.net)
    for scope in ("regime", "hour"):
        assert table.filter(table["scope"] == scope)["fills"].sum() == run.performance.fills > 0


def test_a_known_forecast_is_handed_on_as_it_is() -> None:
    values = np.arange(3, dtype=np.float32)
    assert Known().step(None, values, True) is values


def test_what_is_judged_after_the_fact_looks_past_the_window() -> None:
    compiled, own = stretch()[0], desk("take")
    trace = run_compiled(compiled, imbalance_forecasts(), own.strategy, own.terms, own.features)
    found = judged("model", trace, compiled, own.terms, ASKED)
    assert found.markouts["horizon_ms"].unique().sort().to_list() == list(ASKED.markouts_ms)
    near = found.markouts.filter((found.markouts["kind"] == "taker") & (found.markouts["horizon_ms"] == 250))
    assert near["fills"][0] + near["unknown"][0] == (~found.fills["maker"]).sum() > 0


def test_a_table_of_the_constants_is_the_constants_and_a_surface_stretches_it() -> None:
    own, table = desk("probe"), constant(Legs(0, 0, VENUE.order_latency_ns, VENUE.ack_latency_ns))
    drawn = replace(own, terms=own.terms._replace(latency=table))
    one, same = (run_desk("probe", each, stretch()[0], imbalance_forecasts()) for each in (own, drawn))
    assert one.result.reports.size > 10
    assert one.result.reports.tobytes() == same.result.reports.tobytes()
    slower = run_desk("probe", drawn.at(Point(None, 3.0, 1.0)), stretch()[0], imbalance_forecasts())
    assert (slower.orders["arrival_ts"] - slower.orders["sent_ts"]).unique().to_list() == [3 * VENUE.order_latency_ns]


def test_funding_that_falls_due_is_a_part_of_what_the_run_earned() -> None:
    compiled, own = stretch()[0], desk("probe")
    whole = run_desk("probe", own, compiled, imbalance_forecasts())
    held = whole.result.decisions[whole.result.decisions["position"] != 0]
    moment = int(held["row_ts"][held.size // 2]) + 1  # the position is still that of the row before
    told = compiled.tape[compiled.tape["ingest_ts"] < moment]
    said = np.zeros(3, compiled.tape.dtype)
    said["ingest_ts"], said["flags"] = moment, FIRST | LAST
    said["kind"], said["price"] = (MARK, FUNDING, FUNDING), (50_000 * 10**8, 10**9, 10**9)  # 1e-3 at 50,000
    said["qty"][1:] = moment, moment + 8 * 3_600 * SECOND
    paid = compiled._replace(tape=np.concatenate([told, said, compiled.tape[told.size :]]))
    run = run_desk("probe", own, paid, imbalance_forecasts())
    position = int(held["position"][held.size // 2])
    figures = run.performance
    assert figures.funding == pytest.approx(-1e-3 * position * 100 / 50_000)
    assert figures.net == pytest.approx(figures.trading + figures.funding - figures.fees)
    assert figures.trading == pytest.approx(whole.performance.trading)
    assert figures.valued_at == MARK_PRICE
    assert whole.performance.valued_at == LAST_MID
    assert pickle.loads(pickle.dumps(run.result)).tallies == run.result.tallies
