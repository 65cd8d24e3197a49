"""Rows, labels and tape of one walk-forward slice, read from the days that it spans."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple
from itertools import chain
from typing import NamedTuple

from assets.checks import day_start
from assets.features import leader_days, opening_state, require_catalogue
from assets.lake_rows import days_of, stored_rows, utc_date
from assets.partitions import WHOLE, Part
from assets.tables import content_shas, passed
from assets.train_parts import Train, train_source
from assets.walk_forward_slices import NS_PER_S, frame_slices
from assets.window_parts import LaterWindow
from backtest.compiled import Compiled, Rows
from backtest.compiled import opened as opened_at
from backtest.engine import Window
from backtest.latency import restamped
from backtest.mids import mid_path
from backtest.venue import SimulatedVenue
from config.settings import Settings
from features.batch import feature_rows, seen_by_rows
from market.book import Book
from market.errors import LakeError, NotEnoughData
from market.events import EVENT, Events
from market.latency import LatencyTable
from market.schema import frame_to_events
from market.units import NS_PER_MS
from modeling.training_parts import TrainingSource, kept, newest_rows
from modeling.training_rows import TrainingSet
from modeling.walk_forward import Slice
from storage.lake import Lake
from storage.spool import Spool

AFTER_WINDOW_NS = NS_PER_S  # of tape behind a backtest, so that its last row can still close


class SliceData(NamedTuple):
    """The windows of one slice; those after Train also hold the rows before them that fill a model's memory."""

    train: TrainingSource  # read in parts, more than memory holds
    taught: TrainingSet  # the newest rows of Train, which rules and learners are fitted on: all of them unless too many
    search: TrainingSource  # first part of Val: search and early stopping; in parts, as all below
    calibration: TrainingSource  # second part of Val: calibration and decision rules
    conformal: TrainingSource  # third part of Val: the scores that conformal sets and intervals begin with
    test: TrainingSource


def slice_of(lake: Lake, part: Part) -> Slice:
    """The windows of a slice. Raises LakeError if the symbol has no such slice."""
    for piece in frame_slices(lake.scan("walk_forward_slices", part.symbol, [WHOLE]).collect()):
        if piece.key == part.key:
            return piece
    raise LakeError(f"{part.symbol} has no slice {part.key}; materialize walk_forward_slices")


def slice_data(settings: Settings, lake: Lake, part: Part, context_rows: int) -> SliceData:
    """All windows of a slice. Its cells are those that Train alone finds tradeable, and can teach.

    context_rows : kept before each later window; the longest memory of any model

    Raises NotEnoughData if the traded cell is not among them, and LakeError if a day's features are of another
    catalogue than today's.
    """
    piece, symbol = slice_of(lake, part), part.symbol
    require_catalogue(settings, lake, symbol, days_of(lake, symbol, piece.train[0], piece.test[1]))
    train = train_source(Train(settings, lake, symbol, Window(*piece.train), context_rows))
    search, *later = (
        LaterWindow(settings, lake, symbol, Window(*span), train.shape.cells, context_rows).source()
        for span in (*piece.split, piece.test)
    )
    taught = newest_rows(train, settings.models.learners.most_rows)
    return SliceData(train, taught, kept(search), *later)


def upstream_shas(lake: Lake, part: Part) -> list[object]:
    """Content of every day that a slice reads, and its windows."""
    piece = slice_of(lake, part)
    days = days_of(lake, part.symbol, piece.train[0], piece.test[1])
    tables = ("aligned_events", "features", "labels")
    shas = [[content_shas(passed(lake, table, Part(part.symbol, day)))[:1] for table in tables] for day in days]
    return [list(astuple(piece)), shas]


def data_fingerprint(lake: Lake, part: Part) -> str:
    """Sha256 of the content that a slice's models are made from."""
    return hashlib.sha256(repr(upstream_shas(lake, part)).encode()).hexdigest()


def compiled_before(
    settings: Settings, lake: Lake, symbol: str, span: Window, warm_rows: int, table: LatencyTable | None = None
) -> Compiled:
    """A window and ``warm_rows`` before it: rows as the lake holds them, books as they stood, and the tape.

    table : from which each message's feed leg is drawn anew; rows are then made again, of what we would have known

    Raises NotEnoughData if the lake holds no day or no row of the window, LakeError if a day's features are of another
    catalogue than today's.
    """
    row_ns = settings.features.row_interval_ms * NS_PER_MS
    cut = settings.features_of(symbol).row_at_or_after(span.start - (warm_rows + 1) * row_ns + 1)
    days = _days_within(settings, lake, symbol, Window(cut, span.end))
    mids_end = span.end + max(settings.reports.markouts_ms) * NS_PER_MS
    read = Window(cut, max(mids_end, span.end + AFTER_WINDOW_NS))
    batches = _aligned(lake, symbol, days_of(lake, symbol, *read))
    first = next(batches)
    cut = max(cut, int(first["ingest_ts"][0]), day_start(days[0]))
    venue = venue_with_book(settings, symbol, opening_state(settings, lake, Part(symbol, days[0]))[:3])
    before = None if table is None else Spool(settings.paths.sweeps, EVENT)
    spool = Spool(settings.paths.sweeps, EVENT)
    after = _opened_with(venue, chain([first], batches), Window(cut, read.end), spool, before)
    opened, rows = venue.dump(), stored_rows(settings, lake, symbol, days, Window(cut + 1, span.end))
    if table is not None and before is not None:
        after = restamped(after, table, settings.venue.seed)
        rows = rows_made_anew(settings, lake, Part(symbol, days[0]), cut, (before.mapped(), after), rows)
    return Compiled(
        tape=_until(after, span.end + AFTER_WINDOW_NS),
        venue=opened,
        book=(opened["ladder"], opened["spill"], opened["head"]),
        rows=rows,
        mids=mid_path(venue.book, _until(after, mids_end)),
    )


def _days_within(settings: Settings, lake: Lake, symbol: str, span: Window) -> list[str]:
    """The days that a window reaches into, oldest first, of today's catalogue; raises as ``compiled_before`` does."""
    days = days_of(lake, symbol, *span)
    if not days:
        raise NotEnoughData(
            f"the lake holds no day of {symbol} between {utc_date(span.start)} and {utc_date(span.end)}"
        )
    require_catalogue(settings, lake, symbol, days)
    return days


def _aligned(lake: Lake, symbol: str, days: Sequence[str]) -> Iterator[Events]:
    """Aligned events of some days, a row group at a time."""
    frames = lake.batches("aligned_events", symbol, days)
    return (events for events in map(frame_to_events, frames) if events.size)


def _opened_with(
    venue: SimulatedVenue, batches: Iterable[Events], span: Window, tape: Spool, opening: Spool | None
) -> Events:
    """Show a venue what was received up to the start of ``span``; returns what was from there to its end, mapped.

    Memory holds a batch. opening : also takes what the venue was shown, where a feed leg is to be drawn anew
    """
    for events in batches:
        stamps = events["ingest_ts"]
        before = events[stamps <= span.start]
        venue.on_events(before)
        if opening is not None:
            opening.append(before)
        tape.append(events[(stamps > span.start) & (stamps <= span.end)])
        if stamps.min() > span.end:
            break
    return tape.mapped()


def _until(events: Events, end: int) -> Events:
    """Those received by an instant, a view where nothing received later stands among them."""
    within = events["ingest_ts"] <= end
    count = int(within.sum())
    return events[:count] if within[:count].all() else events[within]


def rows_made_anew(
    settings: Settings, lake: Lake, opening: Part, cut: int, tapes: tuple[Events, Events], stored: Rows
) -> Rows:
    """The rows at the instants of ``stored`` from another tape behind the same opening; their regimes are kept.

    opening : the first day; tapes : what was received on it up to ``cut`` (ns), and all that was received later
    """
    parameters, before, until = settings.features_of(opening.symbol), tapes[0], int(stored.row_ts[-1])
    days = days_of(lake, opening.symbol, day_start(opening.key), until)
    state, leader = opening_state(settings, lake, opening), leader_days(settings, lake, opening.symbol, days)
    seen, ahead = seen_by_rows(leader, before, state, parameters, cut)
    feature_rows(before, state, parameters, cut, seen)
    events = tapes[1][tapes[1]["ingest_ts"] <= until]
    made = feature_rows(events, state, parameters, until, seen_by_rows(ahead, events, state, parameters, until)[0])
    return Rows(made.row_ts, made.status, made.best_bid, made.best_ask, made.values, stored.regime[-made.row_ts.size :])


def venue_with_book(settings: Settings, symbol: str, book: Book) -> SimulatedVenue:
    """A venue without orders whose book is already open; the book is copied."""
    venue = SimulatedVenue(settings.instrument(symbol), settings.venue)
    return opened_at(venue, venue.dump() | dict(zip(("ladder", "spill", "head"), book, strict=True)))
