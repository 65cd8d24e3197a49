"""hftbacktest as the oracle where it is right: single orders of one lot, its exchange without partial fills.

Each order lives alone: sent at a random instant of a recording, at or near the touch, and cancelled some seconds
later. Both must end it the same way at the same nanosecond. Left out is what is not alike by intent: best bids and
offers, which the peer passes over; orders of more lots, which it fills whole whatever was printed; and a book that
crosses without a print, where ours is set to fill as its does. Its log model is not ours: it takes logarithms of
coins, ours of lots.
"""

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from backtest.parameters import QueueModel, VenueParameters
from benchmarks.bench_backtest import SYMBOL, recorded_events
from benchmarks.harness import Figure, print_figures
from benchmarks.oracle import END_NAMES, compare
from config.loading import load_settings
from market.events import BBO
from market.kernel_cache import use_kernel_cache

ORDERS: Final = 5_000  # under each queue model
MODELS: Final[tuple[QueueModel, ...]] = ("risk_averse", "power")


def main() -> None:
    """Compare and print."""
    settings = load_settings("dev")
    events = recorded_events()
    events = events[events["kind"] != BBO]  # the peer passes over them
    venue = replace(settings.venue, crossed_book="fill")
    told = {model: compare(events, settings.instrument(SYMBOL), asked(venue, model), ORDERS) for model in MODELS}
    for model, ends in told.items():
        print(f"{model}: " + ", ".join(f"{count} {end}" for end, count in ends.most_common()), flush=True)
    print_figures(
        [Figure(f"orders that end unlike, {model}", unlike(ends), None, "", "< 1") for model, ends in told.items()]
    )


def asked(venue: VenueParameters, model: QueueModel) -> VenueParameters:
    """The venue with a queue model of the peer's."""
    return replace(venue, queue_model=model, queue_power=3.0)


def unlike(ends: Counter[str]) -> int:
    """Orders that ended differently, or at another nanosecond."""
    return sum(count for end, count in ends.items() if end not in END_NAMES)


if __name__ == "__main__":
    use_kernel_cache()
    main()
