"""A market maker of fixed rules along a tape, beside the same rules in hftbacktest's ROIVectorMarketDepthBacktest.

The sweep opens a compiled tape once, as hftbacktest opens its array once, and runs it again and again. A single shot
starts from files: our lake's partition, its own npz. What both were left with is printed, because a fast engine that
trades something else proves nothing; ours fills in parts and sees best bids and offers, hftbacktest does neither. A
long tape, the recording many times over, shows memory and time of a day of 60 million events.
"""

import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from backtest.columns import COLUMNS
from backtest.parameters import VenueParameters
from backtest.quoting import QuoteResult, QuoteRules, quote_along
from backtest.tape import compile_tape
from benchmarks.harness import Figure, medians_of, peak_mb, print_figures
from benchmarks.peer_backtest import open_peer, peer_quotes, peer_tape
from config.loading import load_settings
from market.clock import align, new_clock
from market.events import BBO, LEVEL, SNAPSHOT, Events
from market.instrument import Instrument
from market.kernel_cache import use_kernel_cache
from market.schema import events_to_frame
from market.simulator.parameters import SimulationParameters
from market.simulator.tape import SimulatedTape
from market.sources.formats import importer_for
from storage.captures import input_file
from storage.lake import Lake
from storage.recordings import local_recording
from storage.tapes import open_tape, write_tape

SYMBOL: Final = "binance-usdm-btcusdt"
RECORDING: Final = "binance/usdm/btcusdt_20240808.gz"
SYNTHETIC: Final = "synthetic-btcusd_perp"
SYNTHETIC_EVENTS: Final = 10_000_000
DAY_EVENTS: Final = 60_000_000
START_TS: Final = 1_723_161_600_000_000_000
STEP_NS: Final = 100_000_000
REPEATS: Final = 5
ENGINE: Final = "ROIVectorMarketDepthBacktest"
_QUOTE_LONG: Final = """
import sys
from market.kernel_cache import use_kernel_cache
use_kernel_cache()
from benchmarks.bench_backtest import quote_folder
print(quote_folder(sys.argv[1]))
"""


def main() -> None:
    """Measure and print."""
    settings = load_settings("dev")
    recorded, venue = recorded_events(), replace(settings.venue, crossed_book="fill")  # as hftbacktest fills
    usdm, coin = settings.instrument(SYMBOL), settings.instrument(SYNTHETIC)
    rules = QuoteRules(STEP_NS, half_spread_ticks=5, skew_ticks=5, qty=10, most_lots=100)
    trades = recorded[recorded["kind"] != BBO]
    figures = [
        sweep("USD-M BTC, depth and trades", trades, usdm, venue, rules, ">= 2.5x"),
        sweep("USD-M BTC, best bids and offers too", recorded, usdm, venue, rules, ">= 2.5x"),
        sweep("synthetic BTC", simulated(coin, SYNTHETIC_EVENTS), coin, venue, rules, ">= 2.5x"),
        single_shot(recorded, usdm, venue, rules),
        *long_tapes(recorded),
    ]
    print_figures(figures)


def recorded_events() -> Events:
    """The recording through decoder and clock."""
    settings = load_settings("dev")
    importer = importer_for("capture", settings.instrument(SYMBOL))
    events = np.concatenate(list(importer.batches([input_file(local_recording(RECORDING))])))
    align(new_clock(settings.clock), settings.clock, events)
    return events


def simulated(instrument: Instrument, count: int) -> Events:
    """So many events of a simulated market, from its start on."""
    batches, held = [], 0
    tape = SimulatedTape(SimulationParameters(), instrument, START_TS)
    while held < count:
        for batch in tape.batches(tape.now_ts + 60_000_000_000):
            batches.append(batch)
            held += batch.size
    events: Events = np.concatenate(batches)[:count]
    return events


def price_range(events: Events) -> tuple[int, int]:
    """Ticks that the peer's vector of levels has to cover: all but what lies furthest out."""
    prices = events["price"][np.isin(events["kind"], (LEVEL, SNAPSHOT))]
    low, high = np.percentile(prices, [0.5, 99.5])
    return int(low), int(high)


def sweep(
    name: str, events: Events, instrument: Instrument, venue: VenueParameters, rules: QuoteRules, bar: str
) -> Figure:
    """Events per second of both, over a tape that is open."""
    tape, theirs = compile_tape(events), peer_tape(events, instrument)
    quote, prices = peer_quotes(rules, instrument), price_range(events)
    opened = [open_peer(theirs, instrument, venue, ENGINE, prices) for _ in range(REPEATS + 1)]
    used: list[Any] = []
    done: list[QuoteResult] = []
    ours, peer = medians_of(
        lambda: done.append(quote_along(tape, instrument, venue, rules)),
        lambda: _run_peer(quote, opened, used),
        REPEATS,
    )
    tell(name, done[-1], used[-1], instrument)
    return Figure(f"market maker, {name}", events.size / ours / 1e6, events.size / peer / 1e6, "M events/s", bar)


def _run_peer(quote: Callable[[Any], int], opened: list[Any], used: list[Any]) -> None:
    used.append(opened.pop())
    quote(used[-1])


def tell(name: str, ours: QuoteResult, peer: Any, instrument: Instrument) -> None:
    """Print what both were left with."""
    state, ledger = peer.state_values(0), ours.ledger
    print(f"{name}: ours {ledger.fills} fills, position {ledger.position} lots, {ours.steps} steps, {ours.end_reason};")
    held = round(state.position / instrument.lot_size)
    print(f"  hftbacktest {int(state.num_trades)} fills, position {held} lots")


def single_shot(events: Events, instrument: Instrument, venue: VenueParameters, rules: QuoteRules) -> Figure:
    """Seconds from files to result, once each: read, compile, run; and the peer's reading of its npz."""
    quote, prices = peer_quotes(rules, instrument), price_range(events)
    with tempfile.TemporaryDirectory() as name:
        lake, path = Lake(Path(name) / "lake"), Path(name) / "peer.npz"
        lake.write("events", SYMBOL, "2024-08-08", events_to_frame(events), schema_sha="")
        np.savez_compressed(path, data=peer_tape(events, instrument))

        def ours() -> None:
            table = lake.scan("events", SYMBOL, unchecked=True).select(COLUMNS).collect()
            columns = {name: table[name].to_numpy() for name in COLUMNS}
            quote_along(compile_tape(columns), instrument, venue, rules)

        seconds, peer = medians_of(
            ours, lambda: quote(open_peer(str(path), instrument, venue, ENGINE, prices)), REPEATS
        )
    return Figure(
        "single shot from files", events.size / seconds / 1e6, events.size / peer / 1e6, "M events/s", ">= 1x"
    )


def long_tapes(events: Events) -> list[Figure]:
    """Peak memory of a tape against one of ten times as many events, and seconds of a day of 60 M."""
    with tempfile.TemporaryDirectory() as name:
        short, long = Path(name) / "short", Path(name) / "long"
        write_tape(repeated(events, DAY_EVENTS // 10), short)
        write_tape(repeated(events, DAY_EVENTS), long)
        peaks = [peak_mb([sys.executable, "-c", _QUOTE_LONG, str(folder)]) for folder in (short, long)]
        begin = perf_counter()
        print(quote_folder(str(long)))
        seconds = perf_counter() - begin
    return [
        Figure("seconds of a day of 60 M events", seconds, None, "s", "< 20"),
        Figure("peak memory, tape x 10", peaks[1], peaks[0], "MB", "< 10 %"),
    ]


def repeated(events: Events, count: int) -> Any:
    """The tape again and again, each time later than the last, until there are ``count`` events."""
    span = int(events["ingest_ts"][-1] - events["ingest_ts"][0]) + 1_000_000_000
    for turn in range(-(-count // events.size)):
        later = events.copy()
        later["ingest_ts"] += turn * span
        yield later


def quote_folder(folder: str) -> str:
    """Quote along a compiled tape on disk, and say what came of it."""
    settings = load_settings("dev")
    rules = QuoteRules(STEP_NS, half_spread_ticks=5, skew_ticks=5, qty=10, most_lots=100)
    tape = open_tape(Path(folder))
    done = quote_along(tape, settings.instrument(SYMBOL), settings.venue, rules)
    return f"{tape.venue[0].size:,} events: {done.ledger.fills} fills, {done.end_reason}"


if __name__ == "__main__":
    use_kernel_cache()
    main()
