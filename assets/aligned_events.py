"""Raw ticks with the venue's clock found: how late each message was, and when the venue matched it on our clock."""

from collections.abc import Iterator

import dagster as dg
import numpy as np

from assets.checks import feeds_clock, lag_p95, negative_delays
from assets.partitions import Part, day_before, day_beside, part_of, symbol_days
from assets.raw_ticks import state_before
from assets.tables import Table, blocking, content_shas, inputs_sha, judge, passed, publish
from config.settings import Settings
from market.clock import ClockState, align, new_clock
from market.events import Events
from market.schema import events_to_frame, frame_to_events
from storage.lake import Lake, State


def aligned_events_inputs(settings: Settings, lake: Lake, part: Part) -> str:
    """Sha of what a day's aligned events are made from."""
    raw = content_shas(passed(lake, "raw_ticks", part))
    before = content_shas(passed(lake, "aligned_events", day_beside(part, -1)))
    return inputs_sha("aligned_events", [settings.clock], [raw[:1], before[1:]], ["market"])


@dg.asset(
    partitions_def=symbol_days,
    deps=["raw_ticks", dg.AssetDep("aligned_events", partition_mapping=day_before)],
    group_name="data",
    kinds={"parquet"},
)
def aligned_events(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]
) -> dg.MaterializeResult:
    """Events of one day with delay, offset and clock error; the clock goes on from the day before."""
    part = part_of(context)
    events = frame_to_events(lake.scan("raw_ticks", part.symbol, [part.key]).collect())
    opening = state_before(lake, "aligned_events", part)
    clock = load_clock(opening) if opening else new_clock(settings.clock)
    align(clock, settings.clock, events)
    facts = {"cold_start": opening is None} | delay_facts(events)
    table = Table(events_to_frame(events), facts, dump_clock(clock))
    return publish(lake, "aligned_events", part, table, aligned_events_inputs(settings, lake, part))


@dg.multi_asset_check(specs=blocking("aligned_events", "ingest_lag_p95", "negative_delays"))
def aligned_events_hold(
    context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake]
) -> Iterator[dg.AssetCheckResult]:
    """Messages are not late, and none arrives before it was sent."""
    part = part_of(context)
    cold_start = lake.manifest("aligned_events", *part).metadata["cold_start"]
    events = frame_to_events(lake.scan("aligned_events", part.symbol, [part.key], unchecked=True).collect())
    yield from judge(lake, "aligned_events", part, [lag_p95(events), negative_delays(events, cold_start)])


def delay_facts(events: Events) -> dict[str, float]:
    """Median and tail of the delays, and the clock offset that the day ended with, ms."""
    stamped = events[feeds_clock(events)]
    if not stamped.size:
        return {}
    median, p95, p999 = np.percentile(stamped["delay_ns"], [50, 95, 99.9]) / 1e6
    return {
        "delay_p50_ms": float(median),
        "delay_p95_ms": float(p95),
        "delay_p999_ms": float(p999),
        "offset_ms": float(stamped["offset_ns"][-1]) / 1e6,
        "clock_error_ms": float(stamped["clock_error_us"][-1]) / 1e3,
    }


def dump_clock(clock: ClockState) -> State:
    """A clock's state as the lake keeps it."""
    return {f"clock_{place}": array for place, array in enumerate(clock)}


def load_clock(arrays: State) -> ClockState:
    """The clock that ``dump_clock`` was given."""
    integers, floats, minima, slopes = (arrays[f"clock_{place}"].copy() for place in range(4))
    return integers, floats, minima, slopes
