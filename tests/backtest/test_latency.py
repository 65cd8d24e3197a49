"""Legs of a backtest: drawn or recorded; and a tape that is received at other times is still the same market."""

import numpy as np
import pytest

from backtest.answers import answers_of
from backtest.engine import Window, run_backtest
from backtest.latency import RecordedLatency, SampledLatency, TracedLatency, restamped
from backtest.venue import SimulatedVenue
from features.catalogue import VALID, feature_names
from market.errors import BacktestError
from market.events import CONNECTION_SHIFT, EVENT, aligned_ts
from market.latency import Legs, constant, draw_legs, latency_table, message_stamps
from market.orders import ACKED
from tests.builders_features import PARAMETERS, START, batch_rows, synthetic_events
from tests.builders_market import COINM_BTC
from tests.builders_market import synthetic_events as simulated
from tests.builders_trading import VENUE as TRADED
from tests.builders_trading import session
from tests.builders_venue import MS, level, message, tape, trade
from trading.records import PLACE

SECOND = 1_000 * MS
BUSY = latency_table(
    [[5 * MS, 1, 10 * MS, 11 * MS], [50 * MS, 1, 20 * MS, 21 * MS]], rates=[1, 100], edges=[50], spacing_ns=SECOND
)


def _busy_second() -> np.ndarray:
    """One message a millisecond from 1 s to 2 s, then one at 9 s."""
    return tape(*(level(1_000 + ms, 1, 99, 5) for ms in range(1_000)), level(9_000, 1, 99, 5))


def test_a_busy_market_has_the_latencies_of_a_busy_market() -> None:
    latency = SampledLatency(BUSY, 3, message_stamps(_busy_second()))
    assert latency.legs_of(1, 1_900 * MS).entry_ns == 20 * MS
    assert latency.legs_of(2, 8_000 * MS).entry_ns == 10 * MS


def test_an_order_meets_what_the_draw_of_its_moment_says() -> None:
    rows = np.random.default_rng(1).integers(1, 90, (40, 4)) * MS
    table = latency_table(rows, rates=np.zeros(40), spacing_ns=20 * MS, block_rows=4)
    latency = SampledLatency(table, 7, message_stamps(_busy_second()))
    for order_id, sent_ts in enumerate(range(10**9, 3 * 10**9, 37 * MS)):
        legs = latency.legs_of(order_id, sent_ts)
        assert legs == Legs(*draw_legs(table, 7, sent_ts, 0.0))
        assert legs == latency.legs_of(order_id + 1, sent_ts)
        assert list(legs) in rows.tolist()


def _legs_met(orders: np.ndarray) -> list[np.ndarray]:
    return [orders["arrival_ts"] - orders["sent_ts"], orders["ack_ns"]]


def test_orders_of_a_decision_meet_the_legs_drawn_for_its_row() -> None:
    rows = np.array([[0, 30 * MS, 5 * MS, 6 * MS], [0, 1 * MS, 9 * MS, 8 * MS]])
    table = latency_table(rows, np.zeros(2), spacing_ns=20 * MS)
    latency = SampledLatency(table, 7, message_stamps(_busy_second()))
    slow = [row_ts for row_ts in range(0, 10**9, 20 * MS) if latency.drawn_at(row_ts).infer_ns == 30 * MS]
    crossed = [row_ts for row_ts in slow if latency.drawn_at(row_ts + 30 * MS) != latency.drawn_at(row_ts)]
    assert crossed  # the decision leaves in a slot that meets the other row
    for row_ts in crossed:
        assert latency.infer_ns(row_ts) == 30 * MS
        assert latency.legs_of(1, row_ts + 30 * MS) == Legs(*rows[0].tolist())
        assert latency.legs_of(1, row_ts + 31 * MS) == latency.drawn_at(row_ts + 31 * MS)


def test_a_run_meets_drawn_legs_and_no_others() -> None:
    market = simulated(12.0)
    rows = np.random.default_rng(1).integers(1, 40, (30, 4)) * MS
    latency = SampledLatency(latency_table(rows, np.zeros(30), spacing_ns=100 * MS), 7, message_stamps(market))
    start = int(market["ingest_ts"][0]) + 7 * SECOND
    venue = SimulatedVenue(COINM_BTC, TRADED, latency)
    result = run_backtest(market, session("probe"), venue, Window(start, start + 4 * SECOND), latency.infer_ns)
    assert result.intents.size > 20
    infer = result.decisions["infer_ts"] - result.decisions["row_ts"]
    assert set(infer.tolist()) <= set(rows[:, 1].tolist())
    assert np.unique(infer).size > 5
    placed = result.intents[result.intents["verb"] == PLACE]
    decided = result.decisions[np.searchsorted(result.decisions["decision_id"], placed["decision_id"])]
    met = np.stack([decided["infer_ts"] - decided["row_ts"], *_legs_met(venue.orders)], axis=1)
    assert placed["order_id"].tolist() == venue.orders["order_id"].tolist()
    assert set(map(tuple, met.tolist())) <= set(map(tuple, rows[:, 1:].tolist()))  # three legs of one row
    slots = np.stack([decided["row_ts"], decided["infer_ts"]], axis=1) // (100 * MS)
    assert (slots[:, 0] != slots[:, 1]).any()  # also where the decision left in a later slot than its row's
    acked = result.reports[result.reports["kind"] == ACKED]
    waits = acked["visible_ts"] - acked["venue_ts"]
    assert (waits >= rows[:, 3].min()).all()
    assert np.unique(waits).size > 5


def test_a_recorded_order_has_its_own_legs_and_a_stranger_none() -> None:
    latency = RecordedLatency({(4, 100): Legs(1, 2, 3, 4), (4, 200): Legs(5, 6, 7, 8)})
    assert latency.legs_of(4, 200) == Legs(5, 6, 7, 8)
    with pytest.raises(BacktestError, match="no recorded latency for order 4 sent at 300 ns"):
        latency.legs_of(4, 300)


def test_a_trace_gives_its_own_orders_their_legs_and_others_those_of_the_newest_before() -> None:
    simulated_tape = simulated(16.0)
    start, end = int(simulated_tape["ingest_ts"][0]) + 8 * SECOND, int(simulated_tape["ingest_ts"][-1])
    rows = np.random.default_rng(1).integers(1, 90, (40, 4)) * MS
    table = latency_table(rows, rates=np.zeros(40), spacing_ns=20 * MS, block_rows=4)
    drawn = SampledLatency(table, 7, message_stamps(simulated_tape))
    made = run_backtest(
        simulated_tape, session("probe"), SimulatedVenue(COINM_BTC, TRADED, drawn), Window(start, end), 0
    )
    answers = answers_of(made.decisions, made.intents, made.reports)
    trace = TracedLatency(answers)
    again = run_backtest(
        simulated_tape, session("probe"), SimulatedVenue(COINM_BTC, TRADED, trace), Window(start, end), 0
    )
    told = answers[answers["kind"] != 0]
    assert told.size > 20
    assert again.reports[: told.size].tobytes() == made.reports[: told.size].tobytes()
    first, second = told[np.argsort(told["sent_ts"], kind="stable")][:2]
    stranger = trace.legs_of(-1, int(first["sent_ts"]) + 1)
    assert stranger.entry_ns == first["venue_ts"] - first["sent_ts"] or second["sent_ts"] == first["sent_ts"]
    assert trace.stressed(2.0).legs_of(-1, int(first["sent_ts"]) + 1).ack_ns == 2 * stranger.ack_ns
    with pytest.raises(BacktestError, match="no answered order of the journal left by 5 ns"):
        trace.legs_of(1, 5)
    assert trace.speaks_of(start, end)
    assert not trace.speaks_of(end, end + SECOND)


def test_by_hand_a_tape_is_received_after_the_leg_of_its_rate() -> None:
    events = _busy_second()
    moved = restamped(events, BUSY, 0)
    legs = (moved["ingest_ts"] - events["ingest_ts"]) // MS
    # busy from the 50th message on, in the bins after that; quiet again at 9 s
    assert legs[:100].tolist() == [5] * 100
    assert legs[100:1_000].tolist() == [50] * 900
    assert legs[1_000] == 5
    assert (moved["delay_ns"] == legs * MS).all()


def test_a_message_comes_whole_and_after_the_last_thing_it_tells() -> None:
    two = message(100, (4, 1, 101, 1), (4, 1, 102, 1))
    two["delay_ns"] = [60 * MS, 40 * MS]  # matched at 40 and 60 ms
    moved = restamped(two, constant(Legs(5 * MS, 0, 0, 0)), 0)
    assert moved["ingest_ts"].tolist() == [65 * MS, 65 * MS]
    assert (aligned_ts(moved) == aligned_ts(two)).all()


def test_no_message_overtakes_on_its_connection_and_connections_are_merged() -> None:
    late = trade(100, 1, 101, 1, delay_ms=10)
    early = trade(110, 1, 102, 2, delay_ms=90)
    other = trade(120, 1, 103, 3, delay_ms=95)
    other["flags"] |= 1 << CONNECTION_SHIFT
    moved = restamped(tape(late, early, other), constant(Legs(5 * MS, 0, 0, 0)), 0)
    assert moved["price"].tolist() == [103, 101, 102]
    assert moved["ingest_ts"].tolist() == [30 * MS, 95 * MS, 95 * MS]


def test_what_the_venue_did_is_unmoved_and_nothing_else_changes() -> None:
    events = synthetic_events(3, messages=1_500)
    table = latency_table(np.random.default_rng(0).integers(0, 80, (60, 4)) * MS, np.arange(60) * 20.0, [300, 600])
    moved = restamped(events, table, 5)
    assert (np.diff(moved["ingest_ts"]) >= 0).all()
    assert (moved["ingest_ts"] != events["ingest_ts"]).mean() > 0.5
    same = [name for name in EVENT.names or () if name not in ("ingest_ts", "delay_ns")]
    assert moved[same].tolist() == events[same].tolist()  # one connection: in its old order
    assert (aligned_ts(moved) == aligned_ts(events)).all()
    assert restamped(events, table, 5).tobytes() == moved.tobytes()
    assert restamped(events, table, 6).tobytes() != moved.tobytes()


def test_features_of_a_later_tape_are_the_same_features_later() -> None:
    events = synthetic_events(4, messages=1_500)
    events["ingest_ts"] = np.maximum.accumulate(events["ingest_ts"]) + 3_600 * SECOND  # no session opens or closes
    events["delay_ns"] = 7 * MS
    now = batch_rows(restamped(events, constant(Legs(7 * MS, 0, 0, 0)), 0))
    later = batch_rows(restamped(events, constant(Legs(7 * MS + SECOND, 0, 0, 0)), 0))
    assert START % SECOND == 0
    assert (later.row_ts - now.row_ts == SECOND).all()
    assert (later.status == now.status).all()
    assert later.best_bid.tolist() == now.best_bid.tolist()
    timed = [place for place, name in enumerate(feature_names(PARAMETERS)) if name in ("delay_ms", "time_to_funding")]
    assert (np.delete(later.raw, timed, 1) == np.delete(now.raw, timed, 1)).all()
    delay = feature_names(PARAMETERS).index("delay_ms")
    heard = now.status == VALID
    assert heard.sum() > 50
    assert (later.raw[heard, delay] - now.raw[heard, delay] == 1_000).all()


def test_an_empty_tape_stays_empty() -> None:
    assert restamped(np.zeros(0, EVENT), BUSY, 0).size == 0
