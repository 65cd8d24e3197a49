"""How long labels wait for their entry: a constant, or what the orders of the live journal met."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from assets.partitions import WHOLE, Part
from assets.tables import content_shas, passed
from assets.venue_models import desk_tapes
from backtest.answers import ANSWER, legs_of_answers
from config.settings import Settings
from labeling.latencies import drawn_latency_ns
from market.errors import LakeError, NotEnoughData
from market.events import Events
from market.latency import LatencyTable, latency_table, message_rates, message_stamps
from storage.lake import Lake
from trading.records import PLACE

RATE_BUCKETS: Final = 4  # parts that the journal's orders are cut into by message rate


def row_latencies(
    settings: Settings, lake: Lake, symbol: str, tape: Events, row_ts: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """From each row to its entry, ns; None where the settings ask for the constant.

    tape : of the rows, from which each knows the message rate of the second before it
    Raises LakeError if the symbol has no journal, NotEnoughData if that has too few answered orders, BacktestError if a
    leg is below 0.
    """
    if settings.labels.latency == "constant":
        return None
    table = journal_latencies(settings, lake, symbol)
    return drawn_latency_ns(table, settings.labels.latency_seed, row_ts, message_rates(message_stamps(tape), row_ts))


def latency_inputs(settings: Settings, lake: Lake, symbol: str) -> list[str | None]:
    """Content of the journal that labels are drawn from; nothing where they are not."""
    if settings.labels.latency == "constant":
        return []
    return content_shas(passed(lake, "live_journal", Part(symbol, WHOLE)))[:1]


def journal_latencies(settings: Settings, lake: Lake, symbol: str) -> LatencyTable:
    """Legs of every answered order of a symbol's present journal, by message rate; raises as ``row_latencies``."""
    if passed(lake, "live_journal", Part(symbol, WHOLE)) is None:
        raise LakeError(f"labels.latency=journal, but the lake holds no journal of {symbol}; use constant, or trade it")
    journal = lake.scan("live_journal", symbol, [WHOLE]).collect()
    tapes = desk_tapes(lake, symbol, journal)
    answers = np.concatenate([np.zeros(0, ANSWER), *(answered_orders(tape.answers) for tape in tapes)])
    if answers.size < settings.labels.latency_min_orders:
        least = settings.labels.latency_min_orders
        raise NotEnoughData(f"the journal of {symbol} has {answers.size} answered orders, {least} needed for latencies")
    answers = answers[np.argsort(answers["sent_ts"], kind="stable")]
    rates = message_rates(message_stamps(tapes[0].events), answers["sent_ts"])
    edges = np.unique(np.quantile(rates, np.arange(1, RATE_BUCKETS) / RATE_BUCKETS))
    row_ns = settings.features.row_interval_ms * 1_000_000  # each row meets an order of its own
    return latency_table(legs_of_answers(answers), rates, edges[edges > rates.min()], row_ns)


def answered_orders(answers: NDArray[np.void]) -> NDArray[np.void]:
    """The answers to orders that the venue took on or refused; those to cancels, and silence, are left out."""
    return answers[(answers["verb"] == PLACE) & (answers["kind"] != 0)]
