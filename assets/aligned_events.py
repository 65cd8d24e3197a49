"""Raw ticks with the venue's clock found: how late each message was, and when the venue matched it on our clock."""

from collections.abc import Iterator

import dagster as dg
import numpy as np

from assets.book_checks import CrossedShare, dump_book, load_book
from assets.checks import feeds_clock, run_checks
from assets.clock_checks import ClockQuality, IngestLag, NegativeDelays
from assets.partitions import Part, day_before, day_beside, part_of, symbol_days
from assets.raw_ticks import state_before
from assets.tables import Closing, blocking, content_shas, inputs_sha, judge, passed, publish_batches
from assets.time_slots import DelayHistogram
from config.settings import Settings
from market.book import apply_events
from market.clock import ClockState, align, new_clock
from market.events import Events
from market.parameters import ClockParameters
from market.schema import frame_to_events
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
    """Events of one day with delay, offset and clock error; clock and book go on from the day before."""
    part = part_of(context)
    opening = state_before(lake, "aligned_events", part)
    day = AlignedDay(settings.clock, opening, part.key)
    batches = day.aligned(map(frame_to_events, lake.batches("raw_ticks", part.symbol, [part.key])))
    inputs = aligned_events_inputs(settings, lake, part)

    def close() -> Closing:
        return Closing({"cold_start": opening is None, **day.facts()}, dump_clock(day.clock) | dump_book(day.book))

    return publish_batches(lake, "aligned_events", part, batches, close, inputs)


@dg.multi_asset_check(
    specs=blocking(
        "aligned_events",
        ingest_lag_p95="95 in 100 messages arrive within 300 ms of their venue time.",
        negative_delays="No message arrives before it was sent; a cold clock has a minute to settle.",
        clock_quality="The clock is hardly ever unsure by more than 50 ms, and its offset rarely jumps by that much.",
        crossed_share="After hardly any message does the open book show a bid at or above an ask.",
    )
)
def aligned_events_hold(
    context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake]
) -> Iterator[dg.AssetCheckResult]:
    """Messages are not late, none arrives before it was sent, the clock is sure, and the book is not crossed."""
    part = part_of(context)
    opening = state_before(lake, "aligned_events", part)
    checks = (
        IngestLag(part.key),
        NegativeDelays(part.key, opening is None),
        ClockQuality(part.key, opening is None),
        CrossedShare(load_book(opening)),
    )
    batches = map(frame_to_events, lake.batches("aligned_events", part.symbol, [part.key], unchecked=True))
    yield from judge(lake, "aligned_events", part, run_checks(batches, checks))


class AlignedDay:
    """Clock and book of one day, moved on batch by batch, and the delays met on the way."""

    def __init__(self, parameters: ClockParameters, opening: State | None, date: str) -> None:
        self.clock = load_clock(opening) if opening else new_clock(parameters)
        self.book = load_book(opening)
        self._parameters = parameters
        self._delays = DelayHistogram(date)
        self._closing: dict[str, float] = {}

    def aligned(self, batches: Iterator[Events]) -> Iterator[Events]:
        """The batches, aligned in place."""
        for events in batches:
            align(self.clock, self._parameters, events)
            apply_events(self.book, events)
            stamped = events[feeds_clock(events)]
            self._delays.add(stamped)
            if stamped.size:
                offset_ns, error_us = stamped["offset_ns"][-1], stamped["clock_error_us"][-1]
                self._closing = {"offset_ms": float(offset_ns) / 1e6, "clock_error_ms": float(error_us) / 1e3}
            yield events

    def facts(self) -> dict[str, float]:
        """Median and tail of the delays, and the clock offset and error that the day ended with, ms."""
        if not self._closing:
            return {}
        tails = {"delay_p50_ms": 50.0, "delay_p95_ms": 95.0, "delay_p999_ms": 99.9}
        return {name: self._delays.percentile_ms(percent) for name, percent in tails.items()} | self._closing


def dump_clock(clock: ClockState) -> dict[str, np.ndarray]:
    """A clock's state as the lake keeps it."""
    return {f"clock_{place}": array for place, array in enumerate(clock)}


def load_clock(arrays: State) -> ClockState:
    """The clock that ``dump_clock`` was given."""
    integers, floats, minima, slopes = (arrays[f"clock_{place}"].copy() for place in range(4))
    return integers, floats, minima, slopes
