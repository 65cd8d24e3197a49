"""Captures with a fault go through the real data job, and the check that is there to stop the fault stops it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from assets.partitions import Part, day_key, symbols
from config.loading import load_settings
from config.settings import Paths, Settings
from market.simulator import synthetic_capture
from market.sources.capture import capture_line, split_line
from orchestration.definitions import build_definitions
from orchestration.running import failure_line
from orchestration.tapes import SYNTHETIC, write_days
from storage.lake import FAILED, PASSED, Lake

MIDNIGHT = 1_723_161_600_000_000_000  # ns, 2024-08-09 UTC
PART = Part(SYNTHETIC, "2024-08-09")
S, MS = 1_000_000_000, 1_000_000

Line = tuple[int, dict[str, Any]]  # ingest_ts in ns, message
Fault = Callable[[list[Line]], list[Line]]


@cache
def clean_tape() -> tuple[bytes, ...]:
    """A simulated feed of 66 s, a few seconds longer than a cold clock takes to settle."""
    return tuple(synthetic_capture(load_settings("dev").instrument(SYNTHETIC), 7, MIDNIGHT, 66))


def lines(seconds: int) -> list[Line]:
    """The first seconds of the clean tape."""
    stamped = (split_line(line) for line in clean_tape())
    return [(stamp, json.loads(frame)) for stamp, frame in stamped if stamp < MIDNIGHT + seconds * S]


def stream_of(line: Line) -> str:
    return str(line[1].get("stream", "")).partition("@")[2]


def of_stream(tape: list[Line], name: str) -> list[int]:
    return [place for place, line in enumerate(tape) if stream_of(line).startswith(name)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    dev = load_settings("dev")
    data = replace(dev.data, symbols=(SYNTHETIC,), sources={SYNTHETIC: str(tmp_path / "tape")}, hold_back_s=0)
    return replace(dev, paths=Paths(tmp_path / "var"), data=data)


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        ephemeral.add_dynamic_partitions(symbols.name, [SYNTHETIC])
        yield ephemeral


def run_data(settings: Settings, instance: dg.DagsterInstance, tape: list[Line]) -> dg.ExecuteInProcessResult:
    """The data job up to aligned events, on a capture of these lines."""
    written = (capture_line(stamp, json.dumps(message).encode()) for stamp, message in tape)
    write_days(written, Path(str(settings.data.sources[SYNTHETIC])))
    return build_definitions(settings).resolve_job_def("data").execute_in_process(
        instance=instance,
        partition_key=day_key(PART),
        asset_selection=[dg.AssetKey("raw_ticks"), dg.AssetKey("aligned_events")],
        raise_on_error=False,
    )  # fmt: skip


def refused_by(settings: Settings, instance: dg.DagsterInstance, tape: list[Line]) -> tuple[str, str]:
    """The dataset and the names of the checks that stopped a tape; the manifest says so too, and nothing follows it."""
    result = run_data(settings, instance, tape)
    refused = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert not result.success
    assert refused
    dataset, lake = refused[0].asset_key.to_user_string(), Lake(settings.paths.lake)
    assert lake.manifest(dataset, *PART).verdict == FAILED
    assert dataset == "aligned_events" or not lake.holds("aligned_events", *PART)
    assert all(any(isinstance(v, dg.MarkdownMetadataValue) for v in check.metadata.values()) for check in refused)
    line = failure_line("data", result)
    assert len(line) < 1_000
    assert "svg" not in line
    return dataset, " ".join(sorted(check.check_name for check in refused))


def without_a_depth_message(tape: list[Line]) -> list[Line]:
    """A sequence break that no snapshot mends."""
    depth = of_stream(tape, "depth")
    del tape[depth[len(depth) // 2]]
    return tape


def with_trades_twice(tape: list[Line]) -> list[Line]:
    twice = set(of_stream(tape, "trade")[100:110])
    return [line for place, line in enumerate(tape) for _ in range(2 if place in twice else 1)]


def with_a_part_sent_again(tape: list[Line]) -> list[Line]:
    """Best bids and offers of half a second come again a second later, as after a reconnection."""
    touches = of_stream(tape, "bookTicker")[1000:1100]
    late = tape[touches[-1]][0] + S
    rest = next(place for place, line in enumerate(tape) if line[0] > late)
    return tape[:rest] + [(late, tape[place][1]) for place in touches] + tape[rest:]


def with_a_bid_above_the_asks(tape: list[Line]) -> list[Line]:
    """A bid that crosses the book and stays, on a feed whose best bids and offers do not clear it away."""
    kept = [line for line in tape if not stream_of(line).startswith("bookTicker")]
    [crossing, *_] = of_stream(kept, "depth")[200:]
    bids = kept[crossing][1]["data"]["b"]
    bids.append(["99999.0", "1"])
    return kept


def with_the_clock_set_back(tape: list[Line]) -> list[Line]:
    half = len(tape) // 2
    return tape[:half] + [(stamp - 200 * MS, message) for stamp, message in tape[half:]]


def with_a_renamed_stream(tape: list[Line]) -> list[Line]:
    for place in of_stream(tape, "bookTicker"):
        tape[place][1]["stream"] = tape[place][1]["stream"].replace("@bookTicker", "@bbo")
    return tape


def with_best_prices_half_a_second_late(tape: list[Line]) -> list[Line]:
    """One best bid and offer in four comes half a second after its time."""
    late = set(of_stream(tape, "bookTicker")[::4])
    delayed = [(stamp + 500 * MS * (place in late), message) for place, (stamp, message) in enumerate(tape)]
    return sorted(delayed, key=lambda line: line[0])


def with_a_stall_at_the_end(tape: list[Line]) -> list[Line]:
    """From the 62nd second on everything is 200 ms late: too short for a step of the clock, too long to trust it."""
    return [(stamp + 200 * MS * (stamp > MIDNIGHT + 62 * S), message) for stamp, message in tape]


FAULTS: list[tuple[Fault, str, str]] = [
    (without_a_depth_message, "raw_ticks", "gap_ratio"),
    (with_a_part_sent_again, "raw_ticks", "duplicates"),
    (with_the_clock_set_back, "raw_ticks", "ordered"),
    (with_a_renamed_stream, "raw_ticks", "unparsed_share"),
    (with_a_bid_above_the_asks, "aligned_events", "crossed_share"),
    (with_best_prices_half_a_second_late, "aligned_events", "ingest_lag_p95"),
    (with_a_stall_at_the_end, "aligned_events", "clock_quality"),
]


def test_a_clean_capture_passes_every_check(settings: Settings, instance: dg.DagsterInstance) -> None:
    result = run_data(settings, instance, lines(66))
    assert [check.check_name for check in result.get_asset_check_evaluations() if not check.passed] == []
    assert result.success
    lake = Lake(settings.paths.lake)
    assert [lake.manifest(name, *PART).verdict for name in ("raw_ticks", "aligned_events")] == [PASSED, PASSED]


def test_trades_that_are_told_twice_are_told_once(settings: Settings, instance: dg.DagsterInstance) -> None:
    lake = Lake(settings.paths.lake)

    def imported(tape: list[Line]) -> pl.DataFrame:
        assert run_data(settings, instance, tape).success
        return (
            lake.scan("raw_ticks", PART.symbol, [PART.key])
            .collect()
            .select("kind", "side", "price", "qty", "update_id")
        )

    once = imported(lines(16))
    facts = lake.manifest("raw_ticks", *PART).metadata
    assert imported(with_trades_twice(lines(16))).equals(once)
    assert lake.manifest("raw_ticks", *PART).metadata["doubled"] == facts["doubled"] + 10


@pytest.mark.parametrize(("fault", "dataset", "check"), FAULTS, ids=[fault.__name__ for fault, _, _ in FAULTS])
def test_a_fault_is_stopped_by_its_check_alone(
    settings: Settings, instance: dg.DagsterInstance, fault: Fault, dataset: str, check: str
) -> None:
    seconds = 66 if fault is with_a_stall_at_the_end else 16
    assert refused_by(settings, instance, fault(lines(seconds))) == (dataset, check)
