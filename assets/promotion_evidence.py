"""What the gates read of a candidate: its backtest and its search, its rivals on the same minutes, speed and parity."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.backtests import MINUTES
from assets.bundles import NETWORK, bundle_folder, slice_model
from assets.checks import DAY_NS
from assets.fitting import longest_memory_rows, step_us
from assets.live_deployment import bundle_of
from assets.parity import parity_verdict
from assets.partitions import Part
from assets.search_verdict import whole_ledger
from assets.simulation import WARM_MARGIN_ROWS, desk_of
from assets.slice_data import compiled_before, slice_of
from assets.studies import case_of
from assets.venue_models import traded_against, venue_in_force
from backtest.compiled import Compiled, forecasts_on
from backtest.engine import Window
from backtest.gates import FAILED, INSUFFICIENT, PASSED, Evidence, GateVerdict, HeldOut, Searched
from backtest.performance import minute_profits
from backtest.runs import Run
from backtest.statistics import trial_table
from backtest.surface import run_desk
from config.settings import Settings
from features.catalogue import catalogue_content
from features.regimes import REGIME_NAMES, UNKNOWN
from market.errors import BundleError
from modeling.snapshot import MEDIAN_BAND, ModelSnapshot
from modeling.streaming import forecaster_from
from storage.bundle import read_bundle
from storage.lake import Lake
from storage.promotions import Promotion
from storage.registry import CHAMPION, Registry, Version

Floats = NDArray[np.float64]
CANDIDATE: Final = "model"  # its run in the slice's backtests
BAND: Final = "median band"
NOT_TRADING: Final = "not trading"
_MINUTE_MS: Final = 60_000
_PARITY: Final[Mapping[str, GateVerdict]] = {"passed": PASSED, "failed": FAILED}


class Candidate(NamedTuple):
    """A registered version, the slice that made it, and the champion that it would replace, if there is one."""

    version: Version
    part: Part
    champion: Version | None
    lost: str = ""  # the champion, in words, where the ledger names one that the registry does not hold


def candidate_of(registry: Registry, version: Version, part: Part) -> Candidate:
    """A version beside whoever was champion last, itself and the rejected apart."""
    line = reigning(registry, version)
    if line is None:
        return Candidate(version, part, None)
    champion = registry.holding(version.model, line.bundle_sha)
    lost = "" if champion else f"champion {line.bundle_sha[:12]} (the registry does not hold it)"
    return Candidate(version, part, champion, lost)


def reigning(registry: Registry, version: Version) -> Promotion | None:
    """The newest line that makes another bundle champion; it stays the rival once the candidate has replaced it."""
    lines = [one for one in registry.ledger.standing(version.model) if one.alias == CHAMPION]
    others = [one for one in lines if one.bundle_sha != version.bundle_sha]
    return others[-1] if others else None


def evidence_of(settings: Settings, lake: Lake, registry: Registry, candidate: Candidate) -> Evidence:
    """All that the gates look at; what costs a backtest is left out where Test is too short for it to count."""
    part, symbol = candidate.part, candidate.part.symbol
    piece = slice_of(lake, part)
    days, needed = (piece.test[1] - piece.test[0]) / DAY_NS, settings.registry.evidence_days
    figures = lake.manifest("backtests", *part).metadata["figures"][CANDIDATE]
    rivals = rival_models(settings, lake, registry, candidate) if days >= needed else None
    timed, budget = bundle_speed(settings, part)
    return Evidence(
        days=days,
        needed_days=needed,
        holding=settings.trading.horizon_ms / _MINUTE_MS,
        searched=None if rivals is None else searched(settings, lake, part, rivals),
        test=None if rivals is None else held_out(settings, lake, part, rivals),
        round_trips=figures["round_trips"],
        decisions=figures["decisions"],
        long_share=long_share(lake.scan("backtests", symbol, [part.key]).filter(run=CANDIDATE).collect()),
        surface=figures["surface"],
        fee_bp=float(settings.trading.budget_bp),
        step_us=timed,
        budget_us=budget,
        parity=parity_of(settings, lake, symbol, candidate.version.bundle_sha),
    )


def rival_models(
    settings: Settings, lake: Lake, registry: Registry, candidate: Candidate
) -> dict[str, ModelSnapshot | None]:
    """Who trades against the candidate; None where the champion is lost or cannot be run on today's features."""
    found: dict[str, ModelSnapshot | None] = {BAND: slice_model(settings, lake, candidate.part, MEDIAN_BAND)}
    if candidate.champion is not None:
        name = champion_name(candidate.champion)
        try:
            found[name] = _registered_model(settings, registry, candidate.part.symbol, candidate.champion)
        except BundleError as error:
            found[f"{name} ({error})"] = None  # which the gates call insufficient data, by this name
    return found | ({candidate.lost: None} if candidate.lost else {})


def champion_name(champion: Version) -> str:
    """Of a champion among the rivals.

    >>> champion_name(Version("tickloop-coin", "3", "", "", ""))
    'champion, version 3'
    """
    return f"champion, version {champion.version}"


def searched(settings: Settings, lake: Lake, part: Part, rivals: Mapping[str, ModelSnapshot | None]) -> Searched:
    """Every trial of the slice, and what the rivals earn on the first part of Val on the trials' own terms."""
    ledger = trial_table(whole_ledger(settings.paths.trials / part.symbol / part.key))
    span = Window(*slice_of(lake, part).split.search)
    stretch = _stretch(settings, lake, part.symbol, span, rivals)

    def run(model: ModelSnapshot) -> Run:
        forecaster = forecaster_from(model)
        desk = desk_of(settings, part.symbol, forecaster.shape, "take", span)
        return run_desk("rival", desk, stretch, forecasts_on(stretch, forecaster))

    series = {name: _series(ledger.minutes, model and run(model)) for name, model in rivals.items()}
    return Searched(ledger, {NOT_TRADING: np.zeros(ledger.minutes.size), **series})


def held_out(settings: Settings, lake: Lake, part: Part, rivals: Mapping[str, ModelSnapshot | None]) -> HeldOut:
    """The candidate and its rivals on Test, minute by minute, on the terms of the slice's backtests."""
    table = lake.scan(MINUTES, part.symbol, [part.key]).filter(run=CANDIDATE).sort("minute").collect()
    span, venue = Window(*slice_of(lake, part).test), venue_in_force(settings, part.symbol)
    stretch = _stretch(settings, lake, part.symbol, span, rivals)

    def run(model: ModelSnapshot) -> Run:
        case = case_of(settings, part.symbol, model, "take", span, stretch)
        return case._replace(desk=traded_against(case.desk, venue)).run("rival")

    minutes, known = table["minute"].to_numpy(), [code for code in REGIME_NAMES if code != UNKNOWN]
    places = {code: place for place, code in enumerate(known)}
    return HeldOut(
        candidate=table["net"].to_numpy(),
        regimes=np.array([places.get(code, -1) for code in table["regime"]], np.int64),
        names=[REGIME_NAMES[code] for code in known],
        rivals={NOT_TRADING: np.zeros(minutes.size)}
        | {name: _series(minutes, model and run(model)) for name, model in rivals.items()},
    )


def bundle_speed(settings: Settings, part: Part) -> tuple[float, float]:
    """Median of one streaming step of a slice's network here and now, and what its bundle allows, microseconds."""
    folder = bundle_folder(settings, part, NETWORK)
    bundle = read_bundle(folder, catalogue_content(settings.features_of(part.symbol)))
    return step_us(bundle.model), bundle.latency_budget_us


def long_share(fills: pl.DataFrame) -> float | None:
    """Share of the lots that opened or grew a position which were bought; None without a fill."""
    opened = pl.when(pl.col("position") * pl.col("side") > 0).then(pl.min_horizontal(pl.col("position").abs(), "qty"))
    lots = fills.select("side", opened=opened.otherwise(0))
    total = lots["opened"].sum()
    return float(lots.filter(pl.col("side") > 0)["opened"].sum() / total) if total else None


def parity_of(
    settings: Settings, lake: Lake, symbol: str, bundle_sha: str, now_ns: Callable[[], int] = time.time_ns
) -> tuple[GateVerdict, str]:
    """What the newest parity of a symbol's journal says of a model."""
    now = now_ns()
    found = parity_verdict(lake, symbol, bundle_sha, now - round(settings.parity.recent_days * DAY_NS), now)
    return _PARITY.get(found.verdict, INSUFFICIENT), found.why


def _registered_model(settings: Settings, registry: Registry, symbol: str, version: Version) -> ModelSnapshot:
    with TemporaryDirectory() as folder:
        bundle = bundle_of(registry, version, Path(folder))
        return read_bundle(bundle, catalogue_content(settings.features_of(symbol))).model


def _stretch(
    settings: Settings, lake: Lake, symbol: str, span: Window, rivals: Mapping[str, ModelSnapshot | None]
) -> Compiled:
    memories = [forecaster_from(model).receptive_rows for model in rivals.values() if model is not None]
    rows = max(longest_memory_rows(settings), *memories) + WARM_MARGIN_ROWS
    return compiled_before(settings, lake, symbol, span, rows)


def _series(minutes: NDArray[np.int64], run: Run | None) -> Floats:
    """A run's profits at some minutes; not a number where it has none of them, or there is no run."""
    found = np.full(minutes.size, np.nan)
    if run is None:
        return found
    profits = minute_profits(run.result.decisions["row_ts"], run.result.decisions["equity"])
    own = dict(profits.rows())
    return np.array([own.get(int(minute), np.nan) for minute in minutes])
