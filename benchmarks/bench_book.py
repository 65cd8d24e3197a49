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
from numpy.typing import NDArray

from benchmarks.harness import Figure, medians_of, peer_module, print_figures
from config.loading import load_settings
from market.book import apply_events, new_book
from market.clock import align, new_clock
from market.events import BBO, BUY, LEVEL, SNAPSHOT, TRADE, Events, aligned_ts
from market.instrument import Instrument
from market.sources.formats import importer_for
from storage.captures import input_file
from storage.recordings import local_recording

SYMBOL: Final = "binance-usdm-btcusdt"
RECORDING: Final = "binance/usdm/btcusdt_20240808.gz"
STEP_NS: Final = 100_000_000  # of the peer's clock
REPEATS: Final = 5
ORDER_LATENCY_NS: Final = 10_000_000  # the peer asks for one; no order is sent


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
    opened = [open_peer(tape, instrument) for _ in range(REPEATS + 1)]  # opening one is not measured
    ours, peer = medians_of(lambda: apply_events(new_book(), events), lambda: elapse(opened.pop()), REPEATS)
    name = f"bare book over a tape of {events.size:,} events, {name}; elapse loop"
    return Figure(name, events.size / ours / 1e6, events.size / peer / 1e6, "M events/s", ">= 3x")


def peer_tape(events: Events, instrument: Instrument) -> NDArray[Any]:
    """The events as the peer's array, each in the order of both of its clocks."""
    types, data = peer_module("hftbacktest.types"), peer_module("hftbacktest.data")
    kinds = np.zeros(16, np.uint64)
    kinds[[LEVEL, SNAPSHOT, TRADE, BBO]] = [
        types.DEPTH_EVENT, types.DEPTH_SNAPSHOT_EVENT, types.TRADE_EVENT, types.DEPTH_BBO_EVENT,
    ]  # fmt: skip
    sides = np.where(events["side"] == BUY, types.BUY_EVENT, types.SELL_EVENT).astype(np.uint64)
    tape = np.zeros(events.size, types.event_dtype)
    tape["ev"] = kinds[events["kind"]] | sides
    tape["exch_ts"], tape["local_ts"] = aligned_ts(events), events["ingest_ts"]
    tape["px"], tape["qty"] = events["price"] * instrument.tick_size, events["qty"] * instrument.lot_size
    orders = (np.argsort(tape[name], kind="stable") for name in ("exch_ts", "local_ts"))
    ordered: NDArray[Any] = data.correct_event_order(tape, *orders)
    return ordered


def open_peer(tape: NDArray[Any], instrument: Instrument) -> Any:
    """The peer's backtest at the start of its tape."""
    peer = peer_module("hftbacktest")
    asset = (
        peer.BacktestAsset()
        .data([tape])
        .linear_asset(instrument.multiplier)
        .constant_order_latency(ORDER_LATENCY_NS, ORDER_LATENCY_NS)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(0.0, 0.0)
        .tick_size(instrument.tick_size)
        .lot_size(instrument.lot_size)
        .last_trades_capacity(0)
    )
    return peer.HashMapMarketDepthBacktest([asset])


def _elapse() -> Callable[[Any], None]:
    @njit
    def elapse(backtest):
        while backtest.elapse(STEP_NS) == 0:
            pass

    return elapse


if __name__ == "__main__":
    main()
