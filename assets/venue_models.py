"""Models of the venue as the runner's own journal shows it, and which of them a backtest trades against."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import dagster as dg
import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.journal_tables import DECISIONS_TABLE, EVENTS_TABLE, ORDERS_TABLE, REPORTS_TABLE
from assets.live_journal import live_table
from assets.partitions import WHOLE
from backtest.answers import answers_of
from backtest.fits import fit_venue, fitted_parameters, sources_of
from backtest.parameters import VenueParameters
from backtest.queue_fit import DeskTape
from backtest.surface import Desk
from config.settings import Settings
from market.latency import LatencyTable, stressed
from market.orders import REPORT
from market.schema import frame_to_events
from storage.lake import Lake
from storage.venue_models import StoredFit, VenueModels
from trading.records import DECISION, INTENT

NS_PER_H = 3_600_000_000_000


class VenueInForce(NamedTuple):
    """The venue that backtests of a symbol trade against."""

    parameters: VenueParameters
    stress: float  # how many times as long its legs are, all of them
    table: LatencyTable | None  # to bootstrap latencies from, stressed; None: the parameters' constants
    version: int  # of the fitted models, 0 if none is used
    sha256: str  # of that version, empty if none is used
    sources: Mapping[str, str]  # part of the venue -> "fitted", or "configured" and why


@dg.asset(deps=["live_journal"], group_name="live", kinds={"json"})
def venue_models(settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult:
    """A new version of latency, refusals, cancel failures and queue, each with interval, or with what it lacks."""
    symbol, models = settings.live.symbol, settings.venue_models
    journal = newest_hours(lake.scan("live_journal", symbol, [WHOLE]).collect(), models.journal_h)
    fit = fit_venue(desk_tapes(lake, symbol, journal), settings.instrument(symbol), settings.venue, models)
    store = VenueModels(settings.paths.venue_models)
    stored = store.publish(symbol, fit, fingerprint(journal), datetime.now(UTC))
    return dg.MaterializeResult(metadata=facts_of(stored, journal))


def venue_in_force(settings: Settings, symbol: str) -> VenueInForce:
    """The configured venue, with what the newest fitted version knows of it where ``venue_models.use`` is "fitted".

    Raises CorruptFile if that version is not as it was written.
    """
    configured, models = settings.venue, settings.venue_models
    stored = VenueModels(settings.paths.venue_models).newest(symbol) if models.use == "fitted" else None
    if stored is None:
        why = "no journal of this symbol was fitted" if models.use == "fitted" else "venue_models.use says so"
        constants = stressed_constants(configured, models.latency_stress)
        return VenueInForce(constants, models.latency_stress, None, 0, "", {"all": f"configured: {why}"})
    table = stored.fit.latency
    return VenueInForce(
        stressed_constants(fitted_parameters(configured, stored.fit), models.latency_stress),
        models.latency_stress,
        stressed(table, models.latency_stress) if table else None,
        stored.version,
        stored.sha256,
        sources_of(stored.fit),
    )


def traded_against(desk: Desk, venue: VenueInForce) -> Desk:
    """The same desk at the venue in force, which charges what the desk's does."""
    infer_ns = round(desk.terms.infer_latency_ns * venue.stress)
    charging = venue.parameters.charged(desk.terms.instrument.venue, *desk.terms.window)
    terms = desk.terms._replace(venue=charging, infer_latency_ns=infer_ns, latency=venue.table)
    return replace(desk, terms=terms)


def newest_hours(journal: pl.DataFrame, hours: float) -> pl.DataFrame:
    """The segments that reach into the last hours of a journal."""
    newest = journal["last_ts"].max()
    return journal.filter(pl.col("last_ts") >= newest - round(hours * NS_PER_H))


def fingerprint(journal: pl.DataFrame) -> str:
    """Sha256 over the segments' keys, which hold the hashes of their bytes."""
    return hashlib.sha256("\n".join(journal["segment"]).encode()).hexdigest()


def desk_tapes(lake: Lake, symbol: str, journal: pl.DataFrame) -> list[DeskTape]:
    """What each desk of the journal saw, sent and was told."""
    names = (EVENTS_TABLE, DECISIONS_TABLE, ORDERS_TABLE, REPORTS_TABLE)
    events, decisions, intents, reports = (live_table(lake, symbol, journal, name) for name in names)
    return tapes_of(frame_to_events(events), decisions, intents, reports)


def tapes_of(
    events: NDArray[np.void], decisions: pl.DataFrame, intents: pl.DataFrame, reports: pl.DataFrame
) -> list[DeskTape]:
    """The journal's tables, desk by desk."""
    tapes = []
    for desk in decisions["desk"].unique().sort():
        own = pl.col("desk") == desk
        made, sent = _records(decisions.filter(own), DECISION), _records(intents.filter(own), INTENT)
        told = _records(reports.filter(own), REPORT)
        tapes.append(DeskTape(events, sent, answers_of(made, sent, told), told))
    return tapes


def facts_of(stored: StoredFit, journal: pl.DataFrame) -> dict[str, Any]:
    """A version in figures, for the UI."""
    fit = stored.fit
    quantiles = {
        f"{leg.removesuffix('_ns')}_{name}_ms": [round(bound / 1e6, 3) for bound in found]
        for leg, of_leg in fit.leg_quantiles.items()
        for name, found in of_leg.items()
    }
    rates = {name: [share.hits, share.of, *share.interval] for name, share in fit.rates._asdict().items()}
    return {
        "version": stored.version,
        "sha256": stored.sha256,
        "segments": journal.height,
        "rows": len(fit.latency.feed_ns) if fit.latency else 0,
        "left_out": fit.left_out,
        "sources": sources_of(fit),
        "leg quantiles, 90 % interval": quantiles,
        "rates: hits, trials, 95 % interval": rates,
        "queue": fit.queue._asdict() if fit.queue else {},
    }


def stressed_constants(venue: VenueParameters, factor: float) -> VenueParameters:
    """The venue with both constant legs so many times as long."""
    legs = {"order_latency_ms": venue.order_latency_ms * factor, "ack_latency_ms": venue.ack_latency_ms * factor}
    return replace(venue, **legs)


def _records(frame: pl.DataFrame, dtype: np.dtype[np.void]) -> NDArray[np.void]:
    names: Sequence[str] = dtype.names or ()
    rows = np.zeros(frame.height, dtype)
    for name in names:
        rows[name] = frame[name].to_numpy()
    return rows
