"""Instruments, recorded events and hand-made frames for the tests of every room."""

from collections.abc import Iterable
from contextlib import nullcontext
from functools import cache
from typing import Any, Final

import numpy as np

from market.clock import align, new_clock
from market.events import EVENT, LAST, Events, empty_events
from market.instrument import Instrument
from market.parameters import ClockParameters
from market.simulator import synthetic_capture
from market.sources import decoder_for
from market.sources.capture import split_line
from market.sources.decoder import Decoder
from market.sources.importing import Account, InputFile, LineImporter
from storage.captures import capture_lines
from tests.builders import recording

CLOCK: Final = ClockParameters(
    window_s=60.0,
    halflife_s=10.0,
    base_feed_latency_ms=0.0,
    step_threshold_ms=50.0,
    step_minimum_s=2.0,
    step_patience_s=5.0,
    slope_window_s=300.0,
)

COINM_BTC: Final = Instrument(
    "binance-coinm-btcusd_perp", "binance-coinm", "btcusd_perp", "inverse", 0.1, 1.0, 100.0, "BTC", "USD"
)
COINM_ETH: Final = Instrument(
    "binance-coinm-ethusd_perp", "binance-coinm", "ethusd_perp", "inverse", 0.01, 1.0, 10.0, "ETH", "USD"
)
USDM_BTC: Final = Instrument(
    "binance-usdm-btcusdt", "binance-usdm", "btcusdt", "linear", 0.1, 0.001, 1.0, "BTC", "USDT"
)
USDM_ETH: Final = Instrument(
    "binance-usdm-ethusdt", "binance-usdm", "ethusdt", "linear", 0.01, 0.001, 1.0, "ETH", "USDT"
)
# old orders rest on spot with quantities finer than today's lots
SPOT_BTC: Final = Instrument("binance-spot-btcusdt", "binance-spot", "btcusdt", "spot", 0.01, 1e-8, 1.0, "BTC", "USDT")
SPOT_ETH: Final = Instrument("binance-spot-ethusdt", "binance-spot", "ethusdt", "spot", 0.01, 1e-8, 1.0, "ETH", "USDT")

RUNS: Final[dict[str, tuple[Instrument, tuple[str, ...]]]] = {
    "binance-coinm-btcusd_perp": (
        COINM_BTC,
        ("binance/coinm/btcusd_perp_20240808.gz", "binance/coinm/btcusd_perp_20240809.gz"),
    ),
    "binance-coinm-ethusd_perp": (
        COINM_ETH,
        ("binance/coinm/ethusd_perp_20240808.gz", "binance/coinm/ethusd_perp_20240809.gz"),
    ),
    "binance-usdm-btcusdt": (USDM_BTC, ("binance/usdm/btcusdt_20240808.gz",)),
    "binance-usdm-ethusdt": (USDM_ETH, ("binance/usdm/ethusdt_20240808.gz",)),
    "binance-spot-btcusdt": (SPOT_BTC, ("binance/spot/btcusdt_20240808.gz", "binance/spot/btcusdt_20240809.gz")),
    "binance-spot-ethusdt": (SPOT_ETH, ("binance/spot/ethusdt_20240808.gz", "binance/spot/ethusdt_20240809.gz")),
    "binance-usdm-btcusdt-2023": (USDM_BTC, ("binance/usdm/btcusdt_20230404.gz", "binance/usdm/btcusdt_20230405.gz")),
}
RUNS_2024: Final = tuple(name for name in RUNS if not name.endswith("2023"))


def recorded_events(run: str = "binance-coinm-btcusd_perp", first_messages: int | None = None) -> Events:
    """Decoded and aligned events of a run, a fresh copy; of its first messages alone, where a count is given."""
    events, _ = _imported(run)
    if first_messages is None:
        return events.copy()
    ends = np.flatnonzero(events["flags"] & LAST)[:first_messages]
    return events[: ends[-1] + 1].copy()


def synthetic_events(seconds: float, seed: int = 0, instrument: Instrument = COINM_BTC) -> Events:
    """Decoded and aligned events of the simulator, from 2024-08-09 00:00 UTC on."""
    lines = synthetic_capture(instrument, seed, 1_723_161_600_000_000_000, seconds)
    events, _ = import_capture(lines, decoder_for(instrument), 0.0)
    align(new_clock(CLOCK), CLOCK, events)
    return events


def lines_file(lines: Iterable[bytes], name: str = "tape") -> InputFile:
    """A file of these lines, as they are, to import."""
    opened: Any = nullcontext(lines)
    return InputFile(name, lambda: opened)


def import_capture(lines: Iterable[bytes], decoder: Decoder, max_bad_share: float) -> tuple[Events, Account]:
    """All events of a capture at once, and what the import met."""
    importer = LineImporter(decoder, split_line)
    batches = [empty_events(0), *importer.batches([lines_file(lines)])]
    importer.account.require(max_bad_share)
    return np.concatenate(batches, dtype=EVENT), importer.account


def import_reports(run: str) -> tuple[Account, ...]:
    """What importing each file of a run met; every file has its own decoder, restored from the one before."""
    return _imported(run)[1]


@cache
def _imported(run: str) -> tuple[Events, tuple[Account, ...]]:
    instrument, names = RUNS[run]
    clock, state, days, reports = new_clock(CLOCK), None, [], []
    for name in names:
        decoder = decoder_for(instrument)
        if state is not None:
            decoder.restore(state)
        events, report = import_capture(capture_lines(recording(name)), decoder, 0.0)
        align(clock, CLOCK, events)
        state = decoder.state()
        days.append(events)
        reports.append(report)
    return np.concatenate(days, dtype=EVENT), tuple(reports)
