"""What ``main.py benchmark recordings`` does: networks and baselines on recordings, walk-forward, with a verdict."""

import argparse
import time
from collections.abc import Sequence

from assets.epochs import Say
from assets.fitting import network_of
from assets.recorded_contest import Terms, contest
from assets.recorded_outcome import outcome_of
from assets.recorded_rows import recorded
from assets.recorded_slices import HORIZONS_MS, recorded_slices
from assets.recorded_verdict import report_of
from assets.report import Report
from config.settings import Settings
from market.errors import ConfigError
from modeling.forecast import Cell, ForecastShape
from modeling.parameters import sibling
from modeling.snapshot import NETWORKS


def recordings_report(settings: Settings, arguments: argparse.Namespace, say: Say) -> Report:
    """Scores of every kind, baseline and combination over all slices, and what each kind's ensemble can claim.

    Raises ConfigError if a kind is unknown, NotEnoughData if the recordings are too short or no network was fitted in
    time, DataError if one cannot be read.
    """
    terms, symbols = terms_of(arguments), tuple(arguments.symbols) or settings.data.symbols
    memory_rows = longest_memory(settings, terms.kinds)
    recordings, teachers = ([recorded(settings, name) for name in names] for names in (symbols, arguments.teach))
    pieces = recorded_slices(settings, recordings, teachers, memory_rows)
    contests = [contest(settings, piece, memory_rows, terms, say) for piece in pieces]
    return report_of(symbols, outcome_of(settings, contests, memory_rows))


def terms_of(arguments: argparse.Namespace) -> Terms:
    """The command line, read. Raises ConfigError if a kind is unknown or a number is not above 0."""
    kinds = tuple(arguments.kinds.split(","))
    if unknown := sorted(set(kinds) - set(NETWORKS)):
        raise ConfigError(f"--kinds names {', '.join(unknown)}; allowed: {', '.join(NETWORKS)}")
    if arguments.seeds < 1 or not arguments.budget_minutes > 0:
        raise ConfigError(f"--seeds={arguments.seeds} and --budget-minutes={arguments.budget_minutes} must be above 0")
    return Terms(kinds, arguments.seeds, time.monotonic() + 60 * arguments.budget_minutes)


def longest_memory(settings: Settings, kinds: Sequence[str]) -> int:
    """Rows that the kind of longest memory needs, so that all are asked about the same rows."""
    shape = ForecastShape(tuple(Cell(horizon, 0.0) for horizon in HORIZONS_MS))
    networks = [network_of(settings.features, sibling(settings.models.network, kind), shape) for kind in kinds]
    return max(network.receptive_rows for network in networks)
