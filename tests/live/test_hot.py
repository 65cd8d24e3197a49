"""What readers outside the loop find of a runner's newest row and which symbols are worth it; how long desks take."""

from pathlib import Path

import numpy as np
import pytest

from features.catalogue import feature_names
from live.hot import HotAges, HotRows
from live.latencies import Latencies, in_words, journal_latencies, summary_of
from storage.hot_cache import Hottest, ProcessCache
from tests.builders_runner import HandClock, drive, floor_of, new_runner, quick_plan, synthetic_frames
from trading.records import DECISION

MS = 1_000_000


def test_the_newest_row_of_a_hot_symbol_is_found_with_its_age(tmp_path: Path) -> None:
    runner, cache = new_runner(tmp_path), ProcessCache()
    symbol = runner.plan.instrument.name
    runner.audience.append(HotRows(cache, Hottest((symbol,), 1), {symbol: lambda: runner.frames}, runner.meters))
    HotAges(cache, symbol, runner.stamps.now, runner.meters)
    assert b"hot_age_ms{" not in runner.meters.text()
    drive(runner, synthetic_frames(4.0))
    runner.close()
    row_ts = runner.desks[0].session.features.next_row_ts - 20 * MS
    hot = cache.get(symbol, row_ts + 30 * MS)
    assert hot is not None
    assert (hot.age_ms, hot.value["row_ts"]) == (30.0, row_ts)
    assert isinstance(runner.clock, HandClock)
    runner.clock.ns = row_ts + 30 * MS
    assert runner.meters.value("hot_age_ms") == 30.0
    decision = hot.value["decision"]
    assert set(decision) == set(DECISION.names or ())
    assert 0 < decision["best_bid"] < decision["best_ask"]
    assert len(hot.value["features"]) == len(feature_names(quick_plan().features))
    assert np.any(hot.value["features"])
    assert hot.value["catalogue_sha"] == runner.plan.catalogue_sha
    assert cache.get(symbol, row_ts + 201 * MS) is None


def test_of_two_symbols_the_busier_one_is_hot(tmp_path: Path) -> None:
    clock, cache = HandClock(), ProcessCache()
    floor = floor_of(tmp_path, ("busy", "calm"), clock)
    busy, calm = floor.runners
    messages = {"busy": lambda: busy.frames, "calm": lambda: calm.frames}
    listener = HotRows(cache, Hottest((), 1), messages, busy.meters)
    for runner in floor.runners:
        runner.audience.append(listener)
    for number, (ts, frame) in enumerate(synthetic_frames(4.0)):
        clock.ns = ts
        while floor.close_due():
            pass
        busy.on_frame(frame, ts)
        if number % 10 == 0:
            calm.on_frame(frame, ts)
    for runner in floor.runners:
        runner.close()
    now = busy.desks[0].session.features.next_row_ts
    assert cache.get("busy", now) is not None
    assert cache.get("calm", now) is None


def test_the_runner_and_its_journal_tell_the_same_latencies(tmp_path: Path) -> None:
    runner = new_runner(tmp_path)
    drive(runner, synthetic_frames(4.0))
    runner.close()
    for desk in runner.desks:
        written = journal_latencies(tmp_path / "journal", desk.place)
        assert written == runner.latencies[desk.place].summary()
        assert written["batch_to_decision_ms"]["count"] == desk.session.decided > 100


def test_percentiles_are_those_of_the_numbers() -> None:
    table = np.stack([np.arange(101) / 10, np.full(101, 7.0)], axis=1)
    found = summary_of(table)
    assert found["batch_to_decision_ms"] == {"count": 101, "p50": 5.0, "p95": 9.5, "p99": 9.9}
    assert found["ingest_lag_ms"] == {"count": 101, "p50": 7.0, "p95": 7.0, "p99": 7.0}
    words = "x, model: close to decision p50 5.000 ms, p95 9.500 ms, p99 9.900 ms; ingest lag p95 7.0 ms; 101 decisions"
    assert in_words("x", "model", found) == words


@pytest.mark.parametrize("count", [0, 1, 65_537])
def test_only_the_newest_decisions_count(count: int) -> None:
    latencies, record = Latencies(), np.zeros(1, DECISION)[0]
    for number in range(count):
        record["infer_ts"] = (1 if number else 1_000_000) * MS  # the first one is an outlier
        latencies.note(record)
    summary = latencies.summary()
    assert summary["batch_to_decision_ms"]["count"] == min(count, 65_536)
    if count > 65_536:
        assert summary["batch_to_decision_ms"]["p99"] == 1.0
    assert in_words("x", "model", summary).endswith("decisions" if count else "no decision")
