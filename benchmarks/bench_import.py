"""Importing a capture: messages per second beside hftbacktest's own converter, and what a longer tape costs in memory.

Ours reads the capture, writes raw ticks to a lake, reads them back, aligns them and writes the aligned events; the peer
reads the same capture and saves its array. Both in one process, in turn.
"""

import contextlib
import gzip
import io
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.harness import Figure, medians_of, peak_mb, peer_module, print_figures
from config.loading import load_settings
from config.settings import Settings
from market.clock import align, new_clock
from market.events import Events
from market.kernel_cache import use_kernel_cache
from market.schema import EVENT_COLUMNS, events_to_frame, frame_to_events, schema_sha
from market.sources.formats import importer_for
from storage.captures import capture_lines, input_file
from storage.lake import Lake
from storage.recordings import local_recording

SYMBOL: Final = "binance-usdm-btcusdt"
RECORDING: Final = "binance/usdm/btcusdt_20240808.gz"
TIMES: Final = 20  # how much longer the long tape is
_NUMBER: Final = re.compile(rb'(^|"(?:T|E|U|u|pu|t)":)(\d+)')


def main() -> None:
    """Measure and print."""
    capture = local_recording(RECORDING)
    with tempfile.TemporaryDirectory() as folder:
        print_figures([*speed(capture, Path(folder)), memory(capture, Path(folder))])


def speed(capture: Path, folder: Path) -> list[Figure]:
    """Messages per second to the lake, beside the converter that keeps what we keep, and the one that keeps less."""
    messages = sum(1 for _ in capture_lines(capture))
    figures = []
    for kept, options in (("with best bid and offer", "t"), ("its default, without", "")):
        ours, peer = medians_of(
            partial(to_lake, capture, folder / "lake"), partial(convert, capture, folder, options), 3
        )
        name = f"capture to aligned events in the lake; converter {kept}"
        figures.append(Figure(name, messages / ours / 1e3, messages / peer / 1e3, "k messages/s", ">= 3x"))
    return figures


def memory(capture: Path, folder: Path) -> Figure:
    """Peak memory of importing a tape of twenty times the length, beside that of the tape itself."""
    long = folder / "long_20240808.gz"
    write_long(capture, long)
    short_mb, long_mb = (
        peak_mb([sys.executable, __file__, str(path), str(folder / path.stem)]) for path in (capture, long)
    )
    return Figure(f"peak memory of an import, tape x {TIMES}", long_mb, short_mb, "MB", "< 10 %")


def to_lake(capture: Path, root: Path) -> None:
    """Import one day as the assets do."""
    settings, lake = load_settings("dev"), Lake(root)
    importer = importer_for("capture", settings.instrument(SYMBOL))
    _store(lake, "raw_ticks", importer.batches([input_file(capture)]))
    lake.set_verdict("raw_ticks", SYMBOL, "2024-08-08", True, {})
    _store(lake, "aligned_events", aligned(settings, lake))


def aligned(settings: Settings, lake: Lake) -> Iterator[Events]:
    """Raw ticks from the lake, aligned."""
    clock = new_clock(settings.clock)
    for frame in lake.batches("raw_ticks", SYMBOL, ["2024-08-08"]):
        events = frame_to_events(frame)
        align(clock, settings.clock, events)
        yield events


def convert(capture: Path, folder: Path, options: str) -> None:
    """hftbacktest's converter, with its array saved; what it prints is not ours."""
    module = peer_module("hftbacktest.data.utils.binancefutures")
    with contextlib.redirect_stdout(io.StringIO()):
        module.convert(str(capture), str(folder / "peer.npz"), opt=options, buffer_size=5_000_000)


def write_long(capture: Path, path: Path) -> None:
    """The capture over and over as one unbroken tape: stamps and ids of each turn go on from the turn before."""
    lines = list(capture_lines(capture))
    first, last = (int(lines[place].partition(b" ")[0]) for place in (0, -1))
    span_ms = (last - first) // 1_000_000 + 1
    depths = [line for line in lines if b"@depth" in line[:60]]
    ids = _field(depths[-1], b"u") - _field(depths[0], b"pu")
    streamed = [line for line in lines if b'"stream"' in line[:40]]
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.writelines(lines)
        for turn in range(1, TIMES):
            moved = _moved_by(turn * span_ms, turn * ids)
            file.writelines(_NUMBER.sub(moved, line) for line in streamed)


def _moved_by(ms: int, ids: int) -> Callable[[re.Match[bytes]], bytes]:
    steps = {b"": ms * 1_000_000, b'"T":': ms, b'"E":': ms}
    return lambda number: b"%s%d" % (number[1], int(number[2]) + steps.get(number[1], ids))


def _field(line: bytes, name: bytes) -> int:
    found = re.search(rb'"%s":(\d+)' % name, line)
    assert found is not None
    return int(found[1])


def _store(lake: Lake, dataset: str, batches: Iterator[Events]) -> None:
    with lake.writing(dataset, SYMBOL, "2024-08-08", schema_sha=schema_sha(EVENT_COLUMNS)) as partition:
        for events in batches:
            partition.append(events_to_frame(events))
        partition.commit()


if __name__ == "__main__":
    use_kernel_cache()
    if len(sys.argv) == 3:
        to_lake(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        main()
