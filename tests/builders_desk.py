"""A desk that keeps an order resting on each side of the simulator's market: what it saw, sent and was told."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from backtest.answers import answers_of
from backtest.latency import LatencyModel
from backtest.parameters import VenueModelParameters, VenueParameters
from backtest.queue_fit import DeskTape
from backtest.venue import SimulatedVenue
from market.book import ASK, BID
from market.events import BUY, SELL, Events
from market.orders import POST_ONLY, REPORT
from tests.builders_market import COINM_BTC
from trading.records import CANCEL, DECISION, INTENT, PLACE

FIT: Final = VenueModelParameters(
    use="configured",
    latency_stress=1.0,
    journal_h=24.0,
    min_orders=50,
    min_cancels=40,
    min_fills=20,
    rate_buckets=4,
    queue_powers=(1.0, 2.0, 4.0),
    resamples=100,
    seed=1,
)
INFER_NS: Final = 700_000
ROW_NS: Final = 100_000_000


def resting_desk(
    events: Events, parameters: VenueParameters, latency: LatencyModel | None = None, life_rows: int = 8
) -> DeskTape:
    """Each row (100 ms) joins the touch on one side and cancels what it sent ``life_rows`` before."""
    venue = SimulatedVenue(COINM_BTC, parameters, latency)
    decisions, intents, reports = [], [], [np.zeros(0, REPORT)]
    for number, (row_ts, heard) in enumerate(_rows(events)):
        venue.on_events(heard)
        reports.append(venue.reports(row_ts))
        touch = venue.book[2][BID if number % 2 else ASK]
        sent = []
        if touch:
            sent.append((PLACE, number, BUY if number % 2 else SELL, int(touch)))
        if number >= life_rows:
            sent.append((CANCEL, number - life_rows, 0, 0))
        decisions.append(_decision(number, row_ts, heard))
        for verb, order_id, side, price in sent:
            intents.append((number, order_id, row_ts + INFER_NS, verb, side, POST_ONLY, 0, price, 2))
            if verb == PLACE:
                venue.place(order_id, side, price, 2, POST_ONLY, row_ts + INFER_NS)
            else:
                venue.cancel(order_id, row_ts + INFER_NS)
    reports.append(venue.reports(2**62))
    told, made, sent_all = np.concatenate(reports), np.concatenate(decisions), np.array(intents, INTENT)
    return DeskTape(events, sent_all, answers_of(made, sent_all, told), told)


def _rows(events: Events) -> Iterator[tuple[int, Events]]:
    stamps = np.maximum.accumulate(events["ingest_ts"])
    first = int(stamps[0]) // ROW_NS * ROW_NS
    ends = np.arange(first + ROW_NS, int(stamps[-1]), ROW_NS)
    cuts = np.searchsorted(stamps, ends, side="right")
    yield from zip(ends.tolist(), np.split(events, cuts)[:-1], strict=True)


def _decision(number: int, row_ts: int, heard: Events) -> NDArray[np.void]:
    record = np.zeros(1, DECISION)
    record["decision_id"], record["row_ts"], record["infer_ts"] = number, row_ts, row_ts + INFER_NS
    if heard.size:
        record["delay_ns"], record["ingest_ts"] = heard["delay_ns"][-1], heard["ingest_ts"].max()
    return record
