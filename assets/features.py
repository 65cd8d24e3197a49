"""Feature rows of a day, cut on the UTC grid by the same compiled step that runs live."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

import dagster as dg
import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.captures import capture_dates
from assets.checks import DAY_NS, day_start
from assets.feature_checks import Sample, Varied, causality, parity
from assets.feature_pages import picture_grid, sampled, shift_table
from assets.partitions import Part, day_before, day_beside, part_of, symbol_days
from assets.raw_ticks import state_before
from assets.tables import Closing, blocking, content_shas, inputs_sha, judge, passed, publish_frames
from config.settings import Settings
from features.batch import Rows, row_batches, rows_to_frame
from features.catalogue import CATALOGUE_VERSION, STATUS_NAMES, VALID, catalogue_sha
from features.layout import ALONE, LeaderRows
from features.layout import State as FeatureState
from features.regimes import RegimeState, new_regime, regimes, spells
from features.step import new_state
from features.stream import dump_state, load_state
from market.errors import DataError, LakeError
from market.events import Events, empty_events
from market.schema import frame_to_events
from storage.lake import Lake, State

SAMPLE_EVENTS: Final = 100_000  # that the causality and parity checks compute anew
REGIME: Final = "regime"  # column of features.regimes.REGIME_NAMES
FIRST_FEATURE: Final = 4  # column before which it stands


def features_inputs(settings: Settings, lake: Lake, part: Part) -> str:
    """Sha of what a day's features are made from."""
    parameters = settings.features_of(part.symbol)
    events = content_shas(passed(lake, "aligned_events", part))
    before = content_shas(passed(lake, "features", day_beside(part, -1)))
    leader = [content_shas(passed(lake, "features", beside))[:1] for beside in leaders(settings, part)]
    upstream = [events[:1], before[1:], leader, runs_to_midnight(settings, part)]
    return inputs_sha("features", [catalogue_sha(parameters), settings.regimes], upstream, ["market", "features"])


@dg.asset(
    partitions_def=symbol_days,
    deps=["aligned_events", dg.AssetDep("features", partition_mapping=day_before)],
    group_name="data",
    kinds={"parquet"},
)
def features(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]
) -> dg.MaterializeResult:
    """Raw and normalised features of one day; book, windows, scales and regime go on from the day before."""
    part = part_of(context)
    day = FeatureDay(settings, lake, part)
    batches = map(frame_to_events, lake.batches("aligned_events", part.symbol, [part.key]))
    frames = day.frames(batches, leader_days(settings, lake, part.symbol, [part.key]))
    return publish_frames(lake, "features", part, frames, day.close, features_inputs(settings, lake, part))


@dg.multi_asset_check(
    specs=blocking(
        "features",
        finite="Every feature of every row is a finite number, and some row is valid.",
        varied="No feature is constant while its stream speaks, and at most 1 % of the rows are null after warm-up.",
        causality="Rows stay the same when events and leader rows after them are poisoned.",
        parity="The live stream, row by row, makes the rows of the batch, bit for bit.",
    )
)
def features_hold(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]
) -> Iterator[dg.AssetCheckResult]:
    """No row knows its future, no feature is stuck, and the live stream makes the same rows bit for bit."""
    part, parameters = part_of(context), settings.features_of(part_of(context).symbol)
    varied = Varied(parameters)
    for frame in lake.batches("features", part.symbol, [part.key], unchecked=True):
        varied.add(frame)
    leader = leader_days(settings, lake, part.symbol, [part.key])
    sample = Sample(first_events(lake, part, SAMPLE_EVENTS), dump_state(opening_state(settings, lake, part)), leader)
    stored = lake.scan("features", part.symbol, [part.key], unchecked=True)
    verdicts = [varied.finite(), varied.varied(), causality(sample, parameters), parity(stored, sample, parameters)]
    yield from judge(lake, "features", part, verdicts)


class FeatureDay:
    """The state of one day's features, moved on batch by batch, and what is told of the day at its end."""

    def __init__(self, settings: Settings, lake: Lake, part: Part) -> None:
        before = state_before(lake, "features", part)
        self.parameters, self.cold_start = settings.features_of(part.symbol), before is None
        self._lake, self._part, self._end = lake, part, last_instant(settings, lake, part)
        self._state = opening_state(settings, lake, part)
        self._regime = opening_regime(settings, before, part)
        self._statuses, self._regimes = list[NDArray[np.uint8]](), list[NDArray[np.int8]]()
        self._samples = list[pl.DataFrame]()

    def frames(self, batches: Iterator[Events], leader: LeaderRows) -> Iterator[pl.DataFrame]:
        """The day's table in parts, empty ones among them."""
        for rows in row_batches(batches, self._state, self.parameters, self._end, leader):
            frame = self._with_regime(rows).filter(pl.col("row_ts") >= day_start(self._part.key))
            self._statuses.append(frame["status"].to_numpy())
            self._regimes.append(frame[REGIME].to_numpy())
            self._samples.append(sampled(frame))
            yield frame

    def close(self) -> Closing:
        """Facts, pictures and the state that the next day goes on from."""
        shas = {"catalogue_version": CATALOGUE_VERSION, "catalogue_sha": catalogue_sha(self.parameters)}
        facts = {"cold_start": self.cold_start, **self._shares(), **shas}
        samples, before = pl.concat(self._samples), yesterday(self._lake, self._part)
        pages = {
            "pictures": picture_grid(samples, self.parameters),
            "shift": shift_table(samples, before, self.parameters),
        }
        shown = {name: dg.MetadataValue.md(page) for name, page in pages.items()}
        return Closing(facts, {**dump_state(self._state), **dump_regime(self._regime)}, shown)

    def _with_regime(self, rows: Rows) -> pl.DataFrame:
        mid2 = np.where(rows.status == VALID, rows.best_bid + rows.best_ask, 0)
        codes = pl.Series(REGIME, regimes(self._regime, rows.row_ts, mid2))
        return rows_to_frame(rows, self.parameters).insert_column(FIRST_FEATURE, codes)

    def _shares(self) -> dict[str, float]:
        """Share of the rows with each status, and of the named rows with each regime and how long one lasts."""
        statuses, codes = np.concatenate(self._statuses), np.concatenate(self._regimes)
        shares = {
            f"share: {name}": float(np.count_nonzero(statuses == code)) / max(1, statuses.size)
            for code, name in STATUS_NAMES.items()
        }
        for name, (share, seconds) in spells(codes, self.parameters.row_interval_ms).items():
            shares |= {f"regime: {name}": share, f"regime: {name}, mean s": seconds}
        return shares


def first_events(lake: Lake, part: Part, most: int) -> Events:
    """The first aligned events of a day."""
    return frame_to_events(lake.scan("aligned_events", part.symbol, [part.key]).head(most).collect())


def aligned_day(lake: Lake, part: Part, *beyond: Events) -> Events:
    """Aligned events of a day and those ``beyond`` it, one after the other; read piece by piece, so that a day lies in
    memory once: 64 bytes an event."""
    size = lake.manifest("aligned_events", *part).rows + sum(piece.size for piece in beyond)
    events, filled = empty_events(size), 0
    pieces = map(frame_to_events, lake.batches("aligned_events", part.symbol, [part.key]))
    for piece in chain(pieces, beyond):
        events[filled : filled + piece.size].view(np.int64)[:] = piece.view(np.int64)  # numpy copies records by field
        filled += piece.size
    return events


def opening_state(settings: Settings, lake: Lake, part: Part) -> FeatureState:
    """What a day's features start from: the closing state of the day before, or nothing."""
    before = state_before(lake, "features", part)
    return load_state(dict(before)) if before else new_state(settings.features_of(part.symbol))


def opening_regime(settings: Settings, before: State | None, part: Part) -> RegimeState:
    """What a day's regimes start from: ``before``, the closing state of the day before, or nothing.

    Raises DataError if that day was made under other regime settings.
    """
    fresh = new_regime(settings.regimes)
    if not before:
        return fresh
    saved = load_regime(before)
    same_sizes = [array.shape for array in saved] == [array.shape for array in fresh]
    if not same_sizes or not np.array_equal(saved.settings, fresh.settings):
        day = day_beside(part, -1)
        raise DataError(f"features/{day.symbol}/{day.key} was made under other regimes.* settings; build it again")
    return saved


def require_catalogue(settings: Settings, lake: Lake, symbol: str, days: Sequence[str]) -> None:
    """Raise LakeError at the first day of features that was made under another catalogue or other settings of it."""
    ours = catalogue_sha(settings.features_of(symbol))
    for day in days:
        if lake.manifest("features", symbol, day).metadata.get("catalogue_sha") != ours:
            raise LakeError(
                f"features/{symbol}/{day} is of another feature catalogue; build features of that day again"
            )


def leaders(settings: Settings, part: Part) -> list[Part]:
    """The same day of the symbol's leader, if it has one."""
    leader = settings.features_of(part.symbol).leader
    return [part._replace(symbol=leader)] if leader else []


def leader_days(settings: Settings, lake: Lake, symbol: str, days: Sequence[str]) -> LeaderRows:
    """What a symbol sees of its leader on some days; nothing where it has none.

    Raises LakeError if a day of the leader is missing, did not pass its checks or is of another catalogue.
    """
    leader = settings.features_of(symbol).leader
    if not leader:
        return ALONE
    require_catalogue(settings, lake, leader, days)
    columns = ["row_ts", "status", "best_bid", "best_ask", "raw_queue_imbalance"]
    frame = lake.scan("features", leader, days).select(columns).collect()
    row_ts, status, bid, ask, imbalance = (frame[column].to_numpy() for column in columns)
    return row_ts, np.where(status == VALID, bid + ask, 0), imbalance.astype(np.float64)


def yesterday(lake: Lake, part: Part) -> pl.DataFrame | None:
    """One row a second of the day before; None where the lake has no such day that passed."""
    before = day_beside(part, -1)
    if passed(lake, "features", before) is None:
        return None
    return sampled(lake.scan("features", before.symbol, [before.key])).collect()


def runs_to_midnight(settings: Settings, part: Part) -> bool:
    """Whether the day is followed by another; else its rows end with its last event."""
    return day_beside(part, 1).key in capture_dates(settings, part.symbol)


def last_instant(settings: Settings, lake: Lake, part: Part) -> int:
    """Up to when rows of a day close, ns."""
    end, last = day_start(part.key) + DAY_NS - 1, lake.manifest("aligned_events", *part).last_ts
    return end if runs_to_midnight(settings, part) or not last else last


def dump_regime(state: RegimeState) -> State:
    """A regime's state as the lake keeps it."""
    return {f"{REGIME}_{name}": array for name, array in state._asdict().items()}


def load_regime(arrays: State) -> RegimeState:
    """The state that ``dump_regime`` was given."""
    return RegimeState(*(np.array(arrays[f"{REGIME}_{name}"]) for name in RegimeState._fields))
