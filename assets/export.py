"""A day of the lake in the format of another program."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

from config.settings import Settings
from market.events import Events
from market.schema import frame_to_events
from market.sources.hftbacktest import ROW, Stamps, exported
from storage.lake import Lake
from storage.npz import write_array
from storage.progress import Weighed, unweighed


def export_day(
    settings: Settings, symbol: str, date: str, path: Path, stamps: Stamps, told: Weighed = unweighed
) -> int:
    """Write a day's aligned events as hftbacktest's ``npz``; returns the number of its rows.

    told : hears of both passes
    Raises ConfigError if the symbol is unknown, LakeError if the lake holds no checked partition of that day, DataError
    if the file cannot be written.
    """
    instrument = settings.instrument(symbol)
    lake, passes = Lake(settings.lake_root, settings.paths.lake_cache), count(1)

    def read() -> Iterator[Events]:
        total = lake.manifest("aligned_events", symbol, date).rows
        batches = lake.batches("aligned_events", symbol, [date])
        return map(frame_to_events, told(f"pass {next(passes)} of 2", batches, total, len))

    rows_in_all, rows = exported(read, instrument, stamps)
    write_array(path, ROW, rows_in_all, rows)
    return rows_in_all
