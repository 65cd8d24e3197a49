"""How long labels wait for their entry: a constant, or what the orders of the live journal met."""

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.journal_tables import DECISIONS_TABLE, EVENTS_TABLE, ORDERS_TABLE, REPORTS_TABLE
from assets.live_journal import live_table
from assets.partitions import WHOLE, Part
from assets.tables import content_shas, passed
from config.settings import Settings
from labeling.latencies import drawn_latency_ns
from market.errors import LakeError, NotEnoughData
from market.events import Events
from market.latency import LatencyTable, latency_table, message_rates, message_stamps
from market.orders import ACKED, ORDER_REJECTED
from market.schema import frame_to_events
from storage.lake import Lake
from trading.records import PLACE

ORDER: Final = ["desk", "order_id"]
LEGS: Final = ("feed_ns", "infer_ns", "entry_ns", "ack_ns")
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
    names = (DECISIONS_TABLE, ORDERS_TABLE, REPORTS_TABLE)
    legs = answered_legs(*(live_table(lake, symbol, journal, name) for name in names))
    if legs.height < settings.labels.latency_min_orders:
        least = settings.labels.latency_min_orders
        raise NotEnoughData(f"the journal of {symbol} has {legs.height} answered orders, {least} needed for latencies")
    stamps = message_stamps(frame_to_events(live_table(lake, symbol, journal, EVENTS_TABLE)))
    rates = message_rates(stamps, legs["sent_ts"].to_numpy())
    edges = np.unique(np.quantile(rates, np.arange(1, RATE_BUCKETS) / RATE_BUCKETS))
    row_ns = settings.features.row_interval_ms * 1_000_000  # each row meets an order of its own
    return latency_table(legs.select(LEGS).to_numpy(), rates, edges[edges > rates.min()], row_ns)


def answered_legs(decisions: pl.DataFrame, orders: pl.DataFrame, reports: pl.DataFrame) -> pl.DataFrame:
    """Columns sent_ts and LEGS, ns, of every order that the venue took on or refused, oldest first.

    The feed leg is the delay of the newest event at the decision; the entry leg ends, and the acknowledgement begins,
    at the venue's stamp of its first answer.
    """
    answered = reports.filter(pl.col("kind").is_in([ACKED, ORDER_REJECTED]))
    first = answered.group_by(ORDER).agg(pl.col("venue_ts", "visible_ts").sort_by("report_id").first())
    decided = decisions.select("desk", "decision_id", "row_ts", "infer_ts", "delay_ns")
    placed = orders.filter(pl.col("verb") == PLACE).select(*ORDER, "decision_id", "sent_ts")
    joined = placed.join(first, on=ORDER).join(decided, on=["desk", "decision_id"]).sort("sent_ts", *ORDER)
    return joined.select(
        "sent_ts",
        pl.col("delay_ns").alias("feed_ns"),
        (pl.col("infer_ts") - pl.col("row_ts")).alias("infer_ns"),
        (pl.col("venue_ts") - pl.col("sent_ts")).alias("entry_ns"),
        (pl.col("visible_ts") - pl.col("venue_ts")).alias("ack_ns"),
    )
