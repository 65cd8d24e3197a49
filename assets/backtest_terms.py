"""On what terms ``main.py backtest`` trades: fees, latency and queue model as the command line words them."""

from dataclasses import replace
from typing import Any, Final

import numpy as np

from assets.journal_tables import DECISIONS_TABLE, ORDERS_TABLE, REPORTS_TABLE
from assets.live_journal import live_table
from assets.partitions import WHOLE
from assets.venue_models import tapes_of
from backtest.engine import Window
from backtest.latency import TracedLatency
from backtest.parameters import QUEUE_MODELS, VenueParameters
from config.settings import Settings
from market.errors import ConfigError, DataError
from market.events import empty_events
from market.instrument import Instrument
from market.latency import LatencyTable, stressed
from storage.lake import Lake
from storage.venue_models import VenueModels

BOOTSTRAP: Final = "bootstrap"  # legs drawn from the newest table that was fitted from the symbol's journal
TRACE: Final = "trace"  # legs as the symbol's journal recorded them
_STRESSED: Final = ("stress", BOOTSTRAP, TRACE)


def venue_on_terms(venue: VenueParameters, latency: str, queue: str | None) -> VenueParameters:
    """The configured venue with the latency and the queue model of the command line.

    Raises ConfigError if one of them is not known.
    """
    factor = stress(latency)
    changes: dict[str, Any] = {key: getattr(venue, key) * factor for key in ("order_latency_ms", "ack_latency_ms")}
    return replace(venue, **changes | (queue_terms(queue) if queue is not None else {}))


def with_fees(venue: VenueParameters, fees: str | None, instrument: Instrument, window: Window) -> VenueParameters:
    """The venue at the fees asked for, ``MAKER,TAKER`` in bp a leg or a tier of its schedule; None: as configured.

    window : its days say which schedule is in force
    Raises ConfigError for numbers that are no fees, DataError if the schedule has no such tier on those days, or it
    changes between them.
    """
    if fees is None:
        asked = venue
    elif any(sign in fees for sign in ",.") or fees.lstrip("+-").isdigit():
        maker, taker = (fee * 1e-4 for fee in numbers("fees", fees, 2))
        asked = replace(venue, fee_tier="", maker_fee=maker, taker_fee=taker)
    else:
        asked = replace(venue, fee_tier=fees.lower(), maker_fee=None, taker_fee=None)
    return asked.charged(instrument.venue, *window)


def stress(latency: str) -> float:
    """How many times as long the legs are: K of ``stress:K``, ``bootstrap:K`` and ``trace:K``, else 1.

    Raises ConfigError for anything else, and for a K below 0.
    """
    if latency in ("constant", BOOTSTRAP, TRACE):
        return 1.0
    kind, _, factor = latency.partition(":")
    if kind in _STRESSED and factor:
        times = numbers("latency stress", factor, 1)[0]
        if times < 0:
            raise ConfigError(f"latency={latency!r}: a latency is stressed by 0 or more")
        return times
    raise ConfigError(
        f"latency={latency!r} is not constant, stress:K, {BOOTSTRAP} or {TRACE}, these with :K or without"
    )


def queue_terms(queue: str) -> dict[str, Any]:
    """The venue's settings of a queue model: its name, or ``power:N``. Raises ConfigError for one that is not known."""
    name, _, power = queue.partition(":")
    if name not in QUEUE_MODELS or (power and name != "power"):
        raise ConfigError(f"queue={queue!r} is not one of {', '.join(QUEUE_MODELS)}")
    return {"queue_model": name} | ({"queue_power": numbers("queue power", power, 1)[0]} if power else {})


def numbers(name: str, text: str, count: int = 0) -> list[float]:
    """Finite numbers between commas. Raises ConfigError unless they are ``count`` of them, or at least one."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"{name}={text!r} must be numbers between commas") from error
    if not np.isfinite(found).all() or (count and len(found) != count):
        raise ConfigError(f"{name}={text!r} must be {count or 'finite'} numbers between commas")
    return found


def latency_asked(
    settings: Settings, lake: Lake, symbol: str, latency: str, window: Window
) -> LatencyTable | TracedLatency | None:
    """What legs come from, stressed as asked; None where they are the configured constants.

    Raises DataError if no table was fitted for the symbol, or its journal holds no order of the window.
    """
    kind = latency.partition(":")[0]
    if kind == BOOTSTRAP:
        return stressed(_fitted_table(settings, symbol, latency), stress(latency))
    if kind == TRACE:
        return _traced(lake, symbol, window).stressed(stress(latency))
    return None


def latency_text(latency: LatencyTable | TracedLatency | None, venue: VenueParameters, factor: float) -> str:
    """Where legs come from, for people."""
    if latency is None:
        return f"orders {venue.order_latency_ms:g} ms, answers {venue.ack_latency_ms:g} ms"
    if isinstance(latency, TracedLatency):
        return f"as {latency.size:,} answered orders of the journal met them, {factor:g} times as long"
    return f"drawn from {len(latency.feed_ns):,} answered orders, {factor:g} times as long"


def _fitted_table(settings: Settings, symbol: str, latency: str) -> LatencyTable:
    stored = VenueModels(settings.paths.venue_models).newest(symbol)
    if stored is None or stored.fit.latency is None:
        why = stored.fit.lacking["latency"] if stored else "no journal of it was fitted; run the job live"
        raise DataError(f"latency={latency}, but {symbol} has no latency table: {why}")
    return stored.fit.latency


def _traced(lake: Lake, symbol: str, window: Window) -> TracedLatency:
    """The legs of the desk that had most answers."""
    if not lake.holds("live_journal", symbol, WHOLE):
        raise DataError(f"latency={TRACE}, but the lake holds no journal of {symbol}; run the job live")
    journal = lake.scan("live_journal", symbol, [WHOLE]).collect()
    tables = [live_table(lake, symbol, journal, name) for name in (DECISIONS_TABLE, ORDERS_TABLE, REPORTS_TABLE)]
    desks = [TracedLatency(tape.answers) for tape in tapes_of(empty_events(0), *tables)]
    traced = max(desks, key=lambda desk: desk.size, default=None)
    if traced is None or not traced.speaks_of(window.start, window.end):
        when = f"between {traced.first_ts} and {traced.last_ts} ns" if traced is not None and traced.size else "never"
        raise DataError(
            f"latency={TRACE}, but no answered order of {symbol}'s journal left within "
            f"[{window.start}, {window.end}) ns: they left {when}"
        )
    return traced
