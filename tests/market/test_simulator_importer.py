"""Days simulated by configuration: they join over midnight, stop in time, and refuse what makes no market."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from market.errors import DataError
from market.events import SNAPSHOT, Events
from market.simulator.facts import autocorrelation, stylised_facts, touch_path
from market.simulator.importer import SimulationImporter
from market.sources.formats import importer_for
from market.sources.importing import InputFile
from tests.builders_market import COINM_BTC, recorded_events

LATE = {"date": "2024-08-08", "from_s": 86_395, "parameters": {"seed": 4}}
EARLY = {"date": "2024-08-09", "seconds": 5, "parameters": {"seed": 4}}
MIDNIGHT = int(datetime(2024, 8, 9, tzinfo=UTC).timestamp()) * 1_000_000_000


def simulation(values: object, name: str = "sim_20240808.json") -> InputFile:
    return InputFile(name, lambda: io.BytesIO(json.dumps(values).encode()))


def imported(importer: SimulationImporter, *values: object, until: int | None = None) -> Events:
    return np.concatenate(list(importer.batches([simulation(value) for value in values], until)))


def test_two_days_join_as_one_tape_and_each_holds_its_own_date():
    whole = imported(SimulationImporter(COINM_BTC), LATE, EARLY)
    first, second = SimulationImporter(COINM_BTC), SimulationImporter(COINM_BTC)
    late = imported(first, LATE)
    second.restore(json.loads(json.dumps(first.state())))
    early = imported(second, EARLY)
    assert np.concatenate([late, early]).tobytes() == whole.tobytes()
    assert late["ingest_ts"].max() < MIDNIGHT <= early["ingest_ts"].min()
    assert not (early["kind"] == SNAPSHOT).any()


def test_a_day_without_the_one_before_begins_with_a_snapshot():
    importer = importer_for("simulation", COINM_BTC)
    events = np.concatenate(list(importer.batches([simulation(EARLY)])))
    assert events["kind"][0] == SNAPSHOT
    assert importer.account.events == events.size
    assert importer.account.counts["snapshot"] == 1
    assert importer.account.bad == 0


def test_it_stops_at_until_and_nothing_is_newer_than_it_says():
    importer, until = SimulationImporter(COINM_BTC), MIDNIGHT + 2_000_000_000
    whole = imported(SimulationImporter(COINM_BTC), EARLY)
    assert imported(importer, EARLY, until=until).tobytes() == whole[whole["ingest_ts"] <= until].tobytes()
    assert whole["ingest_ts"].max() <= importer.newest_ts([simulation(EARLY)]) == MIDNIGHT + 5_000_000_000 - 1
    assert importer.newest_ts([]) == 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "a simulation is a mapping with a date"),
        ({"seconds": 5}, "a simulation is a mapping with a date"),
        ({"date": "2024-08-09", "second": 5}, "second is not one of"),
        ({"date": "2024-08-09", "seconds": "5"}, "seconds='5' is of the wrong type"),
        ({"date": "2024-08-09", "from_s": 86_000, "seconds": 500}, "must lie within one day"),
        ({"date": "9 August"}, "Invalid isoformat"),
        ({"date": "2024-08-09", "parameters": {"mode": "magic"}}, "mode='magic'"),
    ],
)
def test_a_file_that_says_no_simulation_is_refused_by_name(values, message):
    with pytest.raises(DataError, match=f"sim_20240808.json: .*{message}"):
        imported(SimulationImporter(COINM_BTC), values)


def test_half_a_file_is_refused_by_name():
    with pytest.raises(DataError, match="half.json"):
        list(SimulationImporter(COINM_BTC).batches([InputFile("half.json", lambda: io.BytesIO(b'{"date": "2024-'))]))


def test_a_day_that_does_not_follow_is_refused():
    importer = SimulationImporter(COINM_BTC)
    imported(importer, LATE)
    with pytest.raises(DataError, match="must begin where the one before ended"):
        imported(importer, {**EARLY, "from_s": 1})
    other = SimulationImporter(COINM_BTC)
    other.restore(importer.state())
    with pytest.raises(DataError, match="simulated with other parameters"):
        imported(other, {**EARLY, "parameters": {"seed": 5}})


def test_autocorrelation_of_a_persistent_series_is_high():
    walk = np.cumsum(np.random.default_rng(0).standard_normal(5_000))
    assert autocorrelation(walk, 1) > 0.99
    assert autocorrelation(np.ones(10), 1) == 0.0


def test_the_page_tells_the_facts_that_are_measured():
    recorded = recorded_events()
    facts = stylised_facts(recorded)
    assert 0.95 < facts["time at a spread of one tick (share)"] < 1.0
    touch = touch_path(recorded)
    assert (touch[:, 2] > touch[:, 1]).all()
    page = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")
    assert all(f"| {name} |" in page for name in facts)
