"""What the fills of the journal cost, beside what their decisions had assumed."""

from collections.abc import Iterator
from typing import Any, Final

import dagster as dg
import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.checks import Verdict
from assets.journal_tables import DECISIONS_TABLE, EVENTS_TABLE, ORDERS_TABLE, REPORTS_TABLE
from assets.live_journal import live_table
from assets.partitions import WHOLE, Part
from assets.tables import Table, blocking, content_shas, inputs_sha, judge, passed, publish
from backtest.parameters import VenueParameters
from config.settings import Settings
from labeling.venue_order import venue_tape
from market.book import BEST_ASK, BEST_BID, apply_events, is_open, new_book
from market.errors import JournalError
from market.events import Events
from market.instrument import Instrument
from market.orders import FILL
from market.schema import frame_to_events
from monitoring.paid_cost import LIQUIDITY, Fills, cost_verdict, fill_costs, summarise
from storage.lake import Lake
from trading.records import PLACE

ORDER: Final = ("desk", "order_id")
DAY_NS: Final = 86_400 * 1_000_000_000


@dg.asset(deps=["live_journal"], group_name="monitoring", kinds={"parquet"})
def paid_cost(settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult:
    """One line a fill: the cost that its decision assumed, what was paid to the mid, the fee of the tier in force."""
    part = Part(settings.live.symbol, WHOLE)
    journal = lake.scan("live_journal", *part[:1], [WHOLE]).collect()
    instrument = settings.instrument(part.symbol)
    names = (EVENTS_TABLE, DECISIONS_TABLE, ORDERS_TABLE, REPORTS_TABLE)
    events, decisions, orders, reports = (live_table(lake, part.symbol, journal, name) for name in names)
    joined = fills_with_decisions(reports, orders, decisions)
    costs = costs_of(joined, frame_to_events(events), instrument, settings.venue)
    summary = summarise(costs)
    upstream = content_shas(passed(lake, "live_journal", part))[:1]
    inputs = inputs_sha("paid_cost", [settings.venue, instrument], upstream, ["market", "monitoring"])
    pages = {"summary": dg.MetadataValue.md(summary_page(summary))}
    return publish(lake, "paid_cost", part, Table(costs, cost_facts(summary), pages=pages), inputs)


@dg.multi_asset_check(
    specs=blocking("paid_cost", every_fill_costed="The table has every fill of the journal once, with a finite cost.")
)
def paid_cost_hold(settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]) -> Iterator[dg.AssetCheckResult]:
    """The table has every fill of the journal once, with a finite cost."""
    part = Part(settings.live.symbol, WHOLE)
    costs = lake.scan("paid_cost", part.symbol, [part.key], unchecked=True).collect()
    fills = int(lake.scan("live_journal", part.symbol, [WHOLE]).collect()["fills"].sum())
    whole = costs.height == fills and bool(costs["paid_bp"].is_finite().all())
    yield from judge(lake, "paid_cost", part, [Verdict("every_fill_costed", whole, {"fills": fills})])


def fills_with_decisions(reports: pl.DataFrame, orders: pl.DataFrame, decisions: pl.DataFrame) -> pl.DataFrame:
    """Every fill beside its order's arrival at the venue and the decision that sent it, in the order reported.

    Raises JournalError if a fill's order was never sent, or sent twice.
    """
    fills = reports.filter(pl.col("kind") == FILL).select(*ORDER, "side", "maker", "price", "qty")
    arrivals = reports.group_by(ORDER).agg(pl.col("venue_ts").min().alias("arrival_ts"))
    placed = orders.filter(pl.col("verb") == PLACE).select(*ORDER, "decision_id")
    decided = decisions.select("desk", "decision_id", "infer_ts", "best_bid", "best_ask", "cost_bp")
    joined = fills.join(arrivals, on=ORDER, how="left").join(placed, on=ORDER, how="left", maintain_order="left")
    joined = joined.join(decided, on=["desk", "decision_id"], how="left", maintain_order="left")
    if joined.height != fills.height or joined["infer_ts"].null_count():
        orphans = joined["infer_ts"].null_count()
        raise JournalError(f"{fills.height} fills meet {joined.height} sent orders, {orphans} of them no decision")
    return joined


def costs_of(joined: pl.DataFrame, events: Events, instrument: Instrument, venue: VenueParameters) -> pl.DataFrame:
    """Costs of joined fills, behind the desk that had them; no row without a fill."""
    maker = joined["maker"].to_numpy() == 1
    price, lots = joined["price"].to_numpy().astype(np.float64), joined["qty"].to_numpy()
    each = instrument.lot_value * (1.0 if instrument.inverse else instrument.tick_size * price)
    fills = Fills(
        decided_ts=joined["infer_ts"].to_numpy(),
        side=joined["side"].to_numpy().astype(np.int64),
        maker=maker,
        price=price,
        decision_mid=(joined["best_bid"] + joined["best_ask"]).to_numpy() / 2,
        arrival_mid=mids_at(events, joined["arrival_ts"].to_numpy()),
        quote_value=lots * each,
        round_trip_bp=joined["cost_bp"].to_numpy(),
        fee=fees_of(venue, instrument, joined["infer_ts"].to_numpy(), maker),
    )
    return fill_costs(fills, instrument.inverse).insert_column(0, joined["desk"])


def fees_of(
    venue: VenueParameters, instrument: Instrument, decided_ts: NDArray[np.int64], maker: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Fee of each fill, a fraction of its notional, by the day on which it was decided on.

    Raises DataError if the fee table has no entry for one of the days.
    """
    fees, days = np.empty(maker.size), decided_ts // DAY_NS
    for day in np.unique(days).tolist():
        on = days == day
        of_makers, of_takers = venue.charged(instrument.venue, day * DAY_NS, day * DAY_NS).fees
        fees[on] = np.where(maker[on], of_makers, of_takers)
    return fees


def mids_at(events: Events, instants: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mid of the venue's book in force at each instant (ns UTC, in any order), ticks; NaN while it is closed."""
    tape = venue_tape(events)
    ends = np.searchsorted(tape.times, instants, side="right")
    book, done, mids = new_book(), 0, np.full(instants.size, np.nan)
    for place in np.argsort(ends, kind="stable"):
        apply_events(book, tape.events[tape.order[done : ends[place]]])
        done = ends[place]
        if is_open(book):
            mids[place] = (book[2][BEST_BID] + book[2][BEST_ASK]) / 2
    return mids


def cost_facts(summary: pl.DataFrame) -> dict[str, Any]:
    """The costs of takers and makers in brief; a sensor reads the verdicts."""
    facts: dict[str, Any] = {f"{liquidity}: verdict": cost_verdict(summary, liquidity) for liquidity in LIQUIDITY}
    for row in summary.filter(pl.col("by") == "all").iter_rows(named=True):
        for name in (
            "fills",
            "assumed_bp",
            "paid_bp",
            "slippage_bp",
            "assumed_fee_bp",
            "arrival_bp",
            "excess_bp",
            "low_bp",
            "high_bp",
        ):
            facts[f"{row['liquidity']}: {name}"] = "insufficient" if row[name] != row[name] else row[name]
    return facts


def summary_page(summary: pl.DataFrame) -> str:
    """The summary as Markdown, or that there is nothing to sum up."""
    if summary.is_empty():
        return "No fills yet."
    with pl.Config(tbl_formatting="ASCII_MARKDOWN", tbl_hide_dataframe_shape=True, tbl_rows=-1, float_precision=3):
        return str(summary)
