"""What ``main.py backtest`` does: one bundle over one window of the lake, on the terms of the command line."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import polars as pl

from assets.backtest_terms import latency_asked, latency_text, numbers, stress, venue_on_terms, with_fees
from assets.live_deployment import bundle_of
from assets.registered_model import model_name
from assets.report import Report
from assets.resources import lake_of, registry_of
from assets.simulation import WARM_MARGIN_ROWS, came_of, labelled
from assets.slice_data import NS_PER_S, compiled_before, days_of
from assets.studies import Case, case_of, configured_grid, study_of
from backtest.compiled import Compiled
from backtest.engine import Window
from backtest.latency import TracedLatency
from backtest.parameters import VenueParameters
from backtest.report import Page, Study, figure_text, render
from backtest.runs import Run, grouped
from backtest.surface import Grid
from config.settings import Settings, config_sha
from features.catalogue import VALID, catalogue_content
from market.errors import BundleError, ConfigError, NotEnoughData, RegistryError
from market.events import GAP
from market.latency import LatencyTable
from modeling.streaming import forecaster_from
from storage.bundle import MANIFEST, Bundle, bundle_sha, read_bundle
from storage.files import replace_file
from storage.lake import Lake
from storage.registry import CHALLENGER, CHAMPION
from trading.parameters import PolicyKind

POLICIES: Final[tuple[PolicyKind, ...]] = ("take", "quote", "probe")  # execute works a parent order, and needs one
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_END_OF_TIME: Final = (datetime(2262, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(seconds=1) * NS_PER_S
_MOST_DIGITS: Final = 40  # of an instant that is worth reading before it is refused
_AXES: Final = ("fee", "latency", "size")
_FEWEST_DIGITS: Final = 6  # of a sha that names a bundle
_HEADLINE: Final = (
    ("net_bp", "net, bp of turnover"),
    ("net", "net profit, which is"),
    ("trading", "  trading"),
    ("funding", "  + funding received"),
    ("fees", "  - fees"),
    ("net_quote", "  net in quote currency"),
    ("valued_at", "  valued at"),
    ("breakeven_fee_bp", "break-even fee a leg, bp"),
    ("round_trips", "round trips"),
    ("hit_rate", "hit rate"),
    ("average_r_bp", "average R, bp"),
    ("max_drawdown", "largest drawdown"),
    ("volume", "turnover"),
    ("cost_pct", "cost, % of turnover"),
    ("information_ratio", "information ratio, one minute"),
    ("fills", "fills"),
    ("decisions", "decisions"),
    ("orders_refused_share", "orders refused, share"),
    ("cancels_late_share", "cancels too late, share"),
    ("cancels_refused_share", "cancels refused, share"),
    ("cancels_unanswered_share", "cancels unanswered, share"),
)


class Asked(NamedTuple):
    """The command line, read."""

    settings: Settings
    venue: VenueParameters  # the configured one with the fees, the queue model and the latency asked for
    stress: float  # times the configured latencies
    latency: LatencyTable | TracedLatency | None  # what legs come from; None: the constants
    symbol: str
    policy: PolicyKind
    window: Window
    grid: Grid | None
    jobs: int
    page: Path | None


class Opened(NamedTuple):
    """A command line of one symbol, ready to run."""

    asked: Asked
    case: Case
    facts: dict[str, str]


def backtest_report(settings: Settings, arguments: argparse.Namespace) -> Report:
    """Run the backtest; write its page where one is asked for.

    Raises TickloopError, one line, if the command line or the lake does not allow it.
    """
    asked, case, facts = open_asked(settings, lake_of(settings), arguments)
    run = case.run(asked.policy)
    wanted = asked.grid or (configured_grid(settings) if asked.page else None)
    study = study_of(asked.settings, case, run, wanted, asked.jobs)
    notes = notes_on(case.stretch, asked.window, run)
    if asked.page:
        page = Page(f"{asked.symbol}, {facts['window']}", tuple(notes), facts, None, [study])
        replace_file(asked.page, render(page, [run], asked.settings.instrument(asked.symbol)).encode())
    return Report(text_of(run, study, facts, notes), plain_of(run, study, facts, notes))


def open_asked(settings: Settings, lake: Lake, arguments: argparse.Namespace) -> Opened:
    """What one symbol's command line asks for, ready to run. Raises TickloopError if it, or the lake, forbids it."""
    asked = read_arguments(settings, lake, arguments)
    require_days(lake, asked.symbol, asked.window)
    with TemporaryDirectory() as folder:
        found = find_bundle(settings, asked.symbol, arguments.bundle, Path(folder))
        bundle, sha = read_bundle(found, catalogue_content(settings.features_of(asked.symbol))), bundle_sha(found)
    return Opened(asked, open_case(asked, lake, bundle), facts_of(asked, bundle, sha))


def read_arguments(settings: Settings, lake: Lake, arguments: argparse.Namespace) -> Asked:
    """What the command line asks for.

    Raises ConfigError, naming the argument, if it makes no sense, and DataError if nothing is known of what it names.
    """
    instrument = settings.instrument(arguments.symbol)
    window = Window(instant("from", arguments.start), instant("to", arguments.end))
    if window.start >= window.end:
        raise ConfigError(f"from={arguments.start} is not before to={arguments.end}: the window is empty")
    if arguments.policy not in POLICIES:
        raise ConfigError(f"policy={arguments.policy!r} is not one of {', '.join(POLICIES)}")
    if arguments.jobs < 1:
        raise ConfigError(f"jobs={arguments.jobs} must be at least 1")
    venue = venue_on_terms(settings.venue, arguments.latency, arguments.queue)
    return Asked(
        settings,
        with_fees(venue, arguments.fees, instrument, window),
        stress(arguments.latency),
        latency_asked(settings, lake, arguments.symbol, arguments.latency, window),
        arguments.symbol,
        arguments.policy,
        window,
        read_grid(arguments.sweep) if arguments.sweep else None,
        arguments.jobs,
        arguments.report,
    )


def instant(name: str, text: str) -> int:
    """Nanoseconds UTC of an ISO 8601 time (UTC unless it says otherwise), or of nanoseconds in digits.

    Raises ConfigError if it is neither, or not of the years 1970 to 2261, which 64 bits of nanoseconds hold.

    >>> instant("from", "2024-08-08T00:00:01")
    1723075201000000000
    """
    digits = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    ts = int(text) if digits else _ns_of(name, text)
    if not 0 <= ts < _END_OF_TIME:
        raise ConfigError(f"{name}={text!r} is not within 1970 to 2261")
    return ts


def _ns_of(name: str, text: str) -> int:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{name}={text!r} is no ISO 8601 time and no ns since 1970") from error
    whole = found.replace(tzinfo=found.tzinfo or UTC)
    return (whole.replace(microsecond=0) - _EPOCH) // timedelta(seconds=1) * NS_PER_S + whole.microsecond * 1_000


def read_grid(words: Sequence[str]) -> Grid:
    """The grid of ``fee=0,2 latency=1,4 size=1,3``, commas or blanks between the axes; one that is left out stays at 1.

    Raises ConfigError if an axis is not known, named twice or holds no number.
    """
    axes: dict[str, list[float]] = {"fee": [], "latency": [1.0], "size": [1.0]}
    named: set[str] = set()
    for name, values in re.findall(r"([^=,\s]+)=([^=]*?)(?:[,\s]+(?=[^=,\s]+=)|$)", " ".join(words)):
        if name not in _AXES:
            raise ConfigError(f"sweep names {name!r}; its axes are {', '.join(_AXES)}")
        if name in named:
            raise ConfigError(f"sweep={' '.join(words)!r} names {name} twice; all its values go behind one {name}=")
        named.add(name)
        axes[name] = sorted(set(numbers(f"sweep {name}", values)))
    if not axes["fee"]:
        raise ConfigError(f"sweep={' '.join(words)!r} names no fee, as fee=0,2,4 does")
    if axes["latency"][0] < 0 or axes["size"][0] <= 0:
        raise ConfigError(f"sweep={' '.join(words)!r}: latency must be at least 0, size above 0")
    return Grid(*axes.values())


def find_bundle(settings: Settings, symbol: str, named: str, folder: Path) -> Path:
    """The bundle that is named: its folder, the alias of a registered version, or the first digits of its sha.

    folder : where a registered version is brought that lies nowhere on this machine
    Raises BundleError or RegistryError if there is none.
    """
    if (Path(named) / MANIFEST).is_file():
        return Path(named)
    known = registry_of(settings)
    version = known.aliased(model_name(settings, symbol), named) if named in (CHAMPION, CHALLENGER) else None
    if version is None and named in (CHAMPION, CHALLENGER):
        raise RegistryError(f"{model_name(settings, symbol)} has no {named}")
    sha = version.bundle_sha if version else named
    places = (settings.paths.bundles, settings.paths.live_bundles(symbol))
    manifests = [path for place in places for path in sorted(place.rglob(MANIFEST))]
    if len(sha) >= _FEWEST_DIGITS:
        for path in manifests:
            if bundle_sha(path.parent).startswith(sha):
                return path.parent
    if version:
        return bundle_of(known, version, folder)
    raise BundleError(f"no bundle {named!r}: no folder, no {CHAMPION} or {CHALLENGER}, no sha of one below {places[0]}")


def require_days(lake: Lake, symbol: str, window: Window) -> None:
    """Raise NotEnoughData if a day is missing between the first and the last that the lake holds of a window."""
    held = days_of(lake, symbol, *window)
    if not held:
        raise NotEnoughData(f"the lake holds no day of {symbol} in this window; it has {_span(lake, symbol)}")
    first, last = (datetime.fromisoformat(day) for day in (held[0], held[-1]))
    whole = [str((first + timedelta(days)).date()) for days in range((last - first).days + 1)]
    if missing := sorted(set(whole) - set(held)):
        raise NotEnoughData(f"the tape of {symbol} has a gap: the lake holds no {', '.join(missing)}")


def _span(lake: Lake, symbol: str) -> str:
    days = lake.dates("features", symbol)
    return f"{days[0]} to {days[-1]}" if days else "none"


def open_case(asked: Asked, lake: Lake, bundle: Bundle) -> Case:
    """The bundle's model at the window's start, warmed up."""
    rows = forecaster_from(bundle.model).receptive_rows + WARM_MARGIN_ROWS
    redrawn = asked.latency if isinstance(asked.latency, LatencyTable) else None
    stretch = compiled_before(asked.settings, lake, asked.symbol, asked.window, rows, redrawn)
    if int(stretch.rows.row_ts[-1]) < asked.window.start:
        raise NotEnoughData(f"the lake holds no row of {asked.symbol} in this window, only rows before it")
    case = case_of(asked.settings, asked.symbol, bundle.model, asked.policy, asked.window, stretch)
    came = came_of(asked.settings, lake, asked.symbol, asked.window)
    return on_terms(case._replace(desk=labelled(case.desk, came)), asked)


def on_terms(case: Case, asked: Asked) -> Case:
    """The same case at the fees, queue model and latencies of the command line."""
    terms = case.desk.terms
    infer_ns = round(terms.infer_latency_ns * asked.stress)
    terms = terms._replace(venue=asked.venue, infer_latency_ns=infer_ns, latency=asked.latency)
    return case._replace(desk=replace(case.desk, terms=terms))


def notes_on(stretch: Compiled, window: Window, run: Run) -> list[str]:
    """What to know before believing a figure: gaps, rows on which nothing could be decided, an early end."""
    tape, rows = stretch.tape, stretch.rows
    gaps = tape[(tape["kind"] == GAP) & (tape["ingest_ts"] >= window.start) & (tape["ingest_ts"] < window.end)]
    inside = rows.row_ts >= window.start
    invalid = int((rows.status[inside] != VALID).sum())
    notes = []
    if gaps.size:
        notes.append(f"the tape has {gaps.size} gaps in this window: the book is closed until the next snapshot")
    if invalid:
        notes.append(f"{invalid:,} of {int(inside.sum()):,} rows are not valid: nothing is decided on them")
    if run.result.decisions.size and int(run.result.decisions["row_ts"][-1]) + NS_PER_S < window.end:
        notes.append(f"{run.performance.end_reason}: the lake's rows end {_utc(int(rows.row_ts[-1]))}")
    return notes


def facts_of(asked: Asked, bundle: Bundle, sha: str) -> dict[str, str]:
    """By what the run can be found and made again."""
    venue = asked.venue
    return {
        "symbol": asked.symbol,
        "window": f"{_utc(asked.window.start)} to {_utc(asked.window.end)}",
        "policy": asked.policy,
        "fees": "maker {:g} bp, taker {:g} bp a leg".format(*(1e4 * fee for fee in venue.fees)),
        "latency": latency_text(asked.latency, venue, asked.stress),
        "queue model": venue.queue_model,
        "bundle sha": sha,
        "bundle made under config sha": bundle.config_sha,
        "config sha": config_sha(asked.settings),
    }


def plain_of(run: Run, study: Study, facts: dict[str, str], notes: list[str]) -> dict[str, Any]:
    """Every figure, JSON-able."""
    return {
        "facts": facts,
        "notes": notes,
        "figures": run.performance.as_dict(),
        "groups": grouped([run]).drop("run").to_dicts(),
        "markouts": run.markouts.to_dicts(),
        "implementability": asdict(run.implementability),
        **{name: frame.to_dicts() for name, frame in study.tables.items()},
    }


def text_of(run: Run, study: Study, facts: dict[str, str], notes: list[str]) -> str:
    """A short table."""
    figures, survived = run.performance.as_dict(), run.implementability
    lines = [f"{name:<30}{value}" for name, value in facts.items()]
    lines += [f"note: {note}" for note in notes]
    lines += ["", f"{'money in':<30}{figures['currency']}"]
    lines += [f"{label:<30}{figure_text(figures[name])}" for name, label in _HEADLINE]
    lines += [f"{'  95 % interval':<30}{_interval(figures, 'breakeven')}"]
    lines += [f"{'signalled quantity had':<30}{figure_text(survived.quantity_share)}"]
    lines += [f"{'profit at mid that fills kept':<30}{figure_text(survived.profit_share)}", ""]
    for kind in run.markouts.partition_by("kind", maintain_order=True):
        found = (f"{ms / 1e3:g} s {figure_text(bp)}" for ms, bp in kind.select("horizon_ms", "markout_bp").rows())
        lines.append(f"{'markout bp, ' + kind['kind'][0]:<30}{'  '.join(found)}")
    for name, frame in study.tables.items():
        lines += ["", name.replace("_", " "), *_frame_lines(frame)]
    return "\n".join(lines)


def _interval(figures: dict[str, Any], name: str) -> str:
    low, high = figures[f"{name}_low_bp"], figures[f"{name}_high_bp"]
    return "insufficient" if low is None else f"{figure_text(low)} to {figure_text(high)}"


def _frame_lines(frame: pl.DataFrame) -> list[str]:
    cells = [frame.columns, *([figure_text(value) for value in row] for row in frame.iter_rows())]
    widths = [max(len(row[place]) for row in cells) for place in range(frame.width)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]


def _utc(ts: int) -> str:
    return f"{datetime.fromtimestamp(ts // NS_PER_S, UTC):%Y-%m-%dT%H:%M:%S}Z"
