"""One pass of the bare book over the USD-M BTC tape beside hftbacktest's plain elapse loop over the same events.

Its loop keeps two books, the venue's and ours, and passes over best bids and offers; ours keeps one, and moves its
touch by them. Figures of both tapes, with and without them.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from numba import njit

from benchmarks.harness import Figure, medians_of, print_figures
from benchmarks.peer_backtest import open_peer, peer_tape
from config.loading import load_settings
from market.book import apply_events, new_book
from market.clock import align, new_clock
from market.events import BBO, Events
from market.instrument import Instrument
from market.sources.formats import importer_for
from storage.captures import input_file
from storage.recordings import local_recording

SYMBOL: Final = "binance-usdm-btcusdt"
RECORDING: Final = "binance/usdm/btcusdt_20240808.gz"
STEP_NS: Final = 100_000_000  # of the peer's clock
REPEATS: Final = 5
ENGINE: Final = "HashMapMarketDepthBacktest"


def main() -> None:
    """Measure and print."""
    settings = load_settings("dev")
    instrument = settings.instrument(SYMBOL)
    importer = importer_for("capture", instrument)
    events = np.concatenate(list(importer.batches([input_file(local_recording(RECORDING))])))
    align(new_clock(settings.clock), settings.clock, events)
    tapes = {"best bids and offers too": events, "depth and trades": events[events["kind"] != BBO]}
    print_figures([figure(name, tape, instrument) for name, tape in tapes.items()])


def figure(name: str, events: Events, instrument: Instrument) -> Figure:
    """Events per second of both, over one tape."""
    tape, elapse = peer_tape(events, instrument), _elapse()
    opened = [
        open_peer(tape, instrument, load_settings("dev").venue, ENGINE, (0, 0)) for _ in range(REPEATS + 1)
    ]  # opening one is not measured
    ours, peer = medians_of(lambda: apply_events(new_book(), events), lambda: elapse(opened.pop()), REPEATS)
    name = f"bare book over a tape of {events.size:,} events, {name}; elapse loop"
    return Figure(name, events.size / ours / 1e6, events.size / peer / 1e6, "M events/s", ">= 3x")


def _elapse() -> Callable[[Any], None]:
    @njit
    def elapse(backtest):
        while backtest.elapse(STEP_NS) == 0:
            pass

    return elapse


if __name__ == "__main__":
    main()
