"""Feature rows of a day, cut on the UTC grid by the same compiled step that runs live."""

from collections.abc import Iterator

import dagster as dg
import numpy as np
import polars as pl

from assets.captures import capture_dates
from assets.checks import DAY_NS, Verdict, alike, day_start
from assets.partitions import Part, day_before, day_beside, part_of, symbol_days
from assets.raw_ticks import state_before
from assets.tables import Table, blocking, content_shas, inputs_sha, judge, passed, publish
from config.settings import Settings
from features.batch import Rows, feature_rows, rows_to_frame
from features.catalogue import CATALOGUE_VERSION, STATUS_NAMES, VALID, catalogue_sha
from features.layout import State as FeatureState
from features.parameters import FeatureParameters
from features.step import new_state
from features.stream import FeatureStream, dump_state, load_state
from labeling.leakage import features_ignore_future
from market.events import Events
from market.schema import frame_to_events
from storage.lake import Lake

SAMPLE_EVENTS = 100_000  # that the causality and parity checks compute anew
CAUSAL_INSTANTS = 3  # at which the future is poisoned


def features_inputs(settings: Settings, lake: Lake, part: Part) -> str:
    """Sha of what a day's features are made from."""
    events = content_shas(passed(lake, "aligned_events", part))
    before = content_shas(passed(lake, "features", day_beside(part, -1)))
    upstream = [events[:1], before[1:], runs_to_midnight(settings, part)]
    return inputs_sha("features", [catalogue_sha(settings.features)], upstream, ["market", "features"])


@dg.asset(
    partitions_def=symbol_days,
    deps=["aligned_events", dg.AssetDep("features", partition_mapping=day_before)],
    group_name="data",
    kinds={"parquet"},
)
def features(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]
) -> dg.MaterializeResult:
    """Raw and normalised features of one day; book, windows and scales go on from the day before."""
    part = part_of(context)
    events = aligned_day(lake, part)
    cold_start = state_before(lake, "features", part) is None
    state = opening_state(settings, lake, part)
    rows = feature_rows(events, state, settings.features, last_instant(settings, part, events))
    frame = rows_to_frame(rows, settings.features).filter(pl.col("row_ts") >= day_start(part.key))
    facts = {"cold_start": cold_start, **row_facts(rows), "catalogue_version": CATALOGUE_VERSION}
    facts["catalogue_sha"] = catalogue_sha(settings.features)
    return publish(
        lake, "features", part, Table(frame, facts, dump_state(state)), features_inputs(settings, lake, part)
    )


@dg.multi_asset_check(specs=blocking("features", "finite", "causality", "parity"))
def features_hold(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]
) -> Iterator[dg.AssetCheckResult]:
    """No row knows its future, and the live stream makes the same rows bit for bit."""
    part = part_of(context)
    frame = lake.scan("features", part.symbol, [part.key], unchecked=True).collect()
    sample = aligned_day(lake, part)[:SAMPLE_EVENTS]
    verdicts = [
        finite(frame),
        causality(sample, opening_state(settings, lake, part), settings.features),
        parity(frame, sample, opening_state(settings, lake, part), settings.features),
    ]
    yield from judge(lake, "features", part, verdicts)


def aligned_day(lake: Lake, part: Part) -> Events:
    """Aligned events of a day."""
    return frame_to_events(lake.scan("aligned_events", part.symbol, [part.key]).collect())


def opening_state(settings: Settings, lake: Lake, part: Part) -> FeatureState:
    """What a day's features start from: the closing state of the day before, or nothing."""
    before = state_before(lake, "features", part)
    return load_state(dict(before)) if before else new_state(settings.features)


def runs_to_midnight(settings: Settings, part: Part) -> bool:
    """Whether the day is followed by another; else its rows end with its last event."""
    return day_beside(part, 1).key in capture_dates(settings, part.symbol)


def last_instant(settings: Settings, part: Part, events: Events) -> int:
    """Up to when rows of a day close, ns."""
    end = day_start(part.key) + DAY_NS - 1
    return end if runs_to_midnight(settings, part) or not events.size else int(events["ingest_ts"][-1])


def row_facts(rows: Rows) -> dict[str, float]:
    """Share of the rows with each status."""
    total = max(1, rows.status.size)
    shares = {name: float(np.count_nonzero(rows.status == code)) / total for code, name in STATUS_NAMES.items()}
    return {f"share: {name}": share for name, share in shares.items()}


def finite(frame: pl.DataFrame) -> Verdict:
    """Every feature of every row is a finite number, and some row is valid."""
    numbers = frame.select(pl.col(pl.Float32))
    broken = [name for name in numbers.columns if not np.isfinite(numbers[name].to_numpy()).all()]
    valid = int((frame["status"] == VALID).sum())
    return Verdict("finite", not broken and valid > 0, {"valid_rows": valid, "not_finite": ", ".join(broken)})


def causality(sample: Events, opening: FeatureState, parameters: FeatureParameters) -> Verdict:
    """Rows stay the same, bit for bit, when what came after them is poisoned or cut off."""
    end, arrays = int(sample["ingest_ts"][-1]), dump_state(opening)
    instants = np.quantile(sample["ingest_ts"], np.linspace(0.3, 0.9, CAUSAL_INSTANTS)).astype(np.int64)

    def rows_of(events: Events, until: int) -> tuple[np.ndarray, np.ndarray]:
        rows = feature_rows(events, load_state(arrays), parameters, end)
        known = rows.row_ts <= until
        return rows.row_ts[known], np.hstack([rows.raw[known], rows.values[known]])

    report = features_ignore_future(rows_of, sample, (int(instant) for instant in instants))
    return Verdict("causality", report.clean, {"rows_compared": report.checked, "first_leak": report.first_ts or 0})


def parity(frame: pl.DataFrame, sample: Events, opening: FeatureState, parameters: FeatureParameters) -> Verdict:
    """The stream, fed row by row, makes the rows that the day's batch made."""
    streamed = rows_to_frame(stream_rows(sample, FeatureStream(parameters, opening)), parameters)
    stored = frame.filter(pl.col("row_ts").is_between(streamed["row_ts"].min(), streamed["row_ts"].max()))
    return alike("parity", stored, streamed.filter(pl.col("row_ts") >= frame["row_ts"].min()))


def stream_rows(events: Events, stream: FeatureStream) -> Rows:
    """Rows of all whole row intervals that ``events`` cover, made one at a time."""
    rows, start, stamps = [], 0, events["ingest_ts"]
    row_ns = stream.parameters.row_interval_ms * 1_000_000
    row_ts = stream.next_row_ts or -(-int(stamps[0]) // row_ns) * row_ns
    while row_ts < stamps[-1]:
        end = int(np.searchsorted(stamps, row_ts, side="right"))
        stream.push(events[start:end])
        rows.append(stream.close(row_ts))
        start, row_ts = end, row_ts + row_ns
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    dtypes = (np.int64, np.uint8, np.int64, np.int64, np.float32, np.float32)
    return Rows(*(column.astype(dtype) for column, dtype in zip(columns, dtypes, strict=True)))
