"""Labels of a simulated day, one thread, beside Polars' as-of join of the mids alone, on one thread too.

Ours, all of it counted from events in memory to columns: 4 M rows, 5 horizons, both legs walked through the book, gross
returns at both anchors, spread, slippage, funding, both round trips, status, and the classes at 5 budgets; the tape of
12 M events is put into the venue's order, and its book replayed. The peer is given the mid after every message for
free, and does six joins (t, and each t + h) and five returns: the gross part of one anchor.

Seconds are the processor's, of one thread each. Polars' allocator keeps what was freed; the first figure lets NumPy's
do likewise, the second has NumPy ask the system for each column anew, which zeroes it, and on a virtual machine may
have to fetch it from the host first.
"""

import ctypes
import os
import sys
import time
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ["POLARS_MAX_THREADS"] = "1"  # read once, by the import
os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"

from dataclasses import replace

import numpy as np
import polars as pl

from benchmarks.harness import Figure, medians_of, print_figures
from config.loading import load_settings
from labeling.parameters import LabelParameters
from labeling.replay import OK
from labeling.targets import classes_by_budget, label_rows
from labeling.venue_order import venue_tape
from market.clock import align, new_clock
from market.events import Events
from market.instrument import Instrument
from market.kernel_cache import use_kernel_cache
from market.simulator.facts import touch_path
from market.simulator.parameters import FeedParameters, FlowParameters, SimulationParameters
from market.simulator.tape import SimulatedTape

START_TS: Final = 1_723_161_600_000_000_000
ROWS: Final = 4_000_000
ROW_NS: Final = 20_000_000
LONGEST_S: Final = 61
HORIZONS_MS: Final = (250, 1_000, 5_000, 30_000, 60_000)
BUDGETS_BP: Final = (0.0, 2.0, 3.4, 4.0, 10.0)
PERPETUAL: Final = Instrument(
    "synthetic-btcusd_perp", "binance-coinm", "btcusd_perp", "inverse", 0.1, 1.0, 100.0, "BTC", "USD"
)
MARKET: Final = SimulationParameters(  # as busy as makes ten million events a day
    flow=FlowParameters(orders_per_s=110.0, moves_per_s=4.0), feed=FeedParameters(depth_interval_ms=20.0)
)
REPEATS: Final = 3
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4  # glibc's mallopt


def main() -> None:
    """Measure and print."""
    settings = load_settings("dev")
    parameters = replace(settings.labels, horizons_ms=HORIZONS_MS, fee_budgets_bp=BUDGETS_BP)
    events = simulated_day(ROWS * ROW_NS + LONGEST_S * 1_000_000_000)
    align(new_clock(settings.clock), settings.clock, events)
    rows = START_TS + ROW_NS * np.arange(1, ROWS + 1)
    mids = mids_of(events)
    require_agreement(events[: events.size // 50], mids, rows[: ROWS // 60], parameters)
    keep_freed_memory()
    kept = measured("memory kept by both", "<= 5x", (events, rows), parameters, mids)
    return_freed_memory()
    print_figures([kept, measured("memory kept by the peer alone", None, (events, rows), parameters, mids)])


def measured(
    how: str, bar: str | None, market: tuple[Events, np.ndarray], parameters: LabelParameters, mids: pl.DataFrame
) -> Figure:
    """Both in turn, in seconds of the processor."""
    events, rows = market
    ours, peer = medians_of(
        lambda: labels(events, rows, parameters), lambda: gross(mids, rows), REPEATS, time.process_time
    )
    name = f"{ROWS:,} rows, {events.size:,} events, 5 horizons, 5 budgets; Polars, gross mids alone; {how}"
    return Figure(name, ours, peer, "s", bar)


def keep_freed_memory() -> None:
    """Have the C allocator, which NumPy's arrays come from, keep what is freed, as that of Polars does."""
    libc = ctypes.CDLL(None)
    libc.mallopt(MMAP_MAX, 0)
    libc.mallopt(TRIM_THRESHOLD, 2**31 - 1)


def return_freed_memory() -> None:
    """Have it map each large array anew, and unmap what is freed, as it does unless asked."""
    libc = ctypes.CDLL(None)
    libc.mallopt(MMAP_MAX, 65_536)
    libc.mallopt(MMAP_THRESHOLD, 128 * 1_024)
    libc.mallopt(TRIM_THRESHOLD, 128 * 1_024)


def simulated_day(span_ns: int) -> Events:
    """A tape of so many ns."""
    return np.concatenate(list(SimulatedTape(MARKET, PERPETUAL, START_TS).batches(START_TS + span_ns)))


def mids_of(events: Events) -> pl.DataFrame:
    """Mid in ticks after each message, in the order and at the times of the venue's book."""
    tape = venue_tape(events)
    ordered = events[tape.order]
    ordered["ingest_ts"] = tape.times
    touch = touch_path(ordered)
    return pl.DataFrame({"ts": touch[:, 0], "mid": touch[:, 1:].sum(axis=1) / 2}).set_sorted("ts")


def labels(events: Events, rows: np.ndarray, parameters: LabelParameters) -> tuple[pl.DataFrame, list[np.ndarray]]:
    """Labels of all rows, and their classes at every horizon and budget."""
    table = label_rows(events, rows, parameters, PERPETUAL, None)
    return table, [
        classes_by_budget(table, horizon, parameters.fee_budgets_bp, parameters.margin_bp, PERPETUAL.contract)
        for horizon in parameters.horizons_ms
    ]


def gross(mids: pl.DataFrame, rows: np.ndarray) -> pl.DataFrame:
    """Gross returns from the mid at t to the mids at t + h, by as-of joins."""
    asked = pl.DataFrame({"ts": rows}).set_sorted("ts")
    now = asked.join_asof(mids, on="ts")["mid"]
    columns = {}
    for horizon in HORIZONS_MS:
        later = asked.select((pl.col("ts") + horizon * 1_000_000).set_sorted()).join_asof(mids, on="ts")["mid"]
        columns[f"gross_{horizon}"] = 1.0 - now / later
    return pl.DataFrame(columns)


def require_agreement(events: Events, mids: pl.DataFrame, rows: np.ndarray, parameters: LabelParameters) -> None:
    """Raise SystemExit unless both find the same gross returns on the first rows."""
    table, theirs = label_rows(events, rows, parameters, PERPETUAL, None), gross(mids, rows)
    for horizon in HORIZONS_MS:
        known = (table[f"status_{horizon}"] == OK).to_numpy()
        pair = (table[f"gross_{horizon}"].to_numpy()[known], theirs[f"gross_{horizon}"].to_numpy()[known])
        if not known.any() or not np.allclose(*pair, rtol=1e-5, atol=1e-11):
            raise SystemExit(f"gross returns of {horizon} ms differ, or none is known")


if __name__ == "__main__":
    use_kernel_cache()
    main()
