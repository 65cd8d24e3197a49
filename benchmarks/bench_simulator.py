"""How fast markets are simulated: events a second in ticks, months of buckets and weeks of rows in seconds."""

from datetime import date
from time import perf_counter
from typing import Final

import numpy as np

from benchmarks.harness import Figure, median_of, print_figures
from market.events import LAST
from market.instrument import Instrument
from market.simulator import synthetic_capture
from market.simulator.fast import fast_buckets, fast_rows
from market.simulator.parameters import SimulationParameters
from market.simulator.tape import SimulatedTape

START_TS: Final = 1_723_161_600_000_000_000
PERPETUAL: Final = Instrument(
    "synthetic-btcusd_perp", "binance-coinm", "btcusd_perp", "inverse", 0.1, 1.0, 100.0, "BTC", "USD"
)
PARAMETERS: Final = SimulationParameters()
TICK_S: Final = 600


def main() -> None:
    """Print every figure."""
    print_figures(figures())


def figures() -> list[Figure]:
    """Tick mode beside the small interpreted market, and the fast form; no bar is set."""
    messages, events = _tape(TICK_S)
    seconds = median_of(lambda: _tape(TICK_S), 3)
    return [
        Figure("tick mode, beside the small interpreted market", messages / seconds, _interpreted_rate(), "messages/s"),
        Figure("tick mode", events / seconds / 1e6, None, "M events/s"),
        Figure("a simulated day in ticks", seconds * 86_400 / TICK_S, None, "s"),
        Figure("a day's events", events * 86_400 / TICK_S / 1e6, None, "M"),
        Figure("91 days of one-minute buckets", _seconds_of_buckets(), None, "s"),
        Figure("7 days of one-second rows", _seconds_of_rows(), None, "s"),
    ]


def _tape(seconds: float) -> tuple[int, int]:
    """Messages and events of so long a tape."""
    messages = events = 0
    for batch in SimulatedTape(PARAMETERS, PERPETUAL, START_TS).batches(START_TS + round(seconds * 1e9)):
        messages += int(np.count_nonzero(batch["flags"] & LAST))
        events += batch.size
    return messages, events


def _interpreted_rate() -> float:
    """Messages a second of the small market that tests use; those are lines of a capture already."""
    begin = perf_counter()
    lines = sum(1 for _ in synthetic_capture(PERPETUAL, 0, START_TS, 10.0))
    return lines / (perf_counter() - begin)


def _seconds_of_buckets() -> float:
    seeds = iter(np.arange(100, 200).tolist())  # a new market each time: nothing is kept from the one before
    return median_of(lambda: fast_buckets(SimulationParameters(next(seeds)), date(2024, 1, 1), date(2024, 3, 31)), 3)


def _seconds_of_rows() -> float:
    seeds = iter(np.arange(200, 300).tolist())
    return median_of(
        lambda: sum(
            frame.height for frame in fast_rows(SimulationParameters(next(seeds)), date(2024, 1, 1), date(2024, 1, 7))
        ),
        3,
    )


if __name__ == "__main__":
    main()
