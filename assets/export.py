"""A day of the lake in the format of another program."""

from pathlib import Path

from config.settings import Settings
from market.schema import frame_to_events
from market.sources.hftbacktest import ROW, Stamps, exported
from storage.lake import Lake
from storage.npz import write_array


def export_day(settings: Settings, symbol: str, date: str, path: Path, stamps: Stamps) -> int:
    """Write a day's aligned events as hftbacktest's ``npz``; returns the number of its rows.

    Raises ConfigError if the symbol is unknown, LakeError if the lake holds no checked partition of that day, DataError
    if the file cannot be written.
    """
    instrument = settings.instrument(symbol)
    lake = Lake(settings.lake_root, settings.paths.lake_cache)
    count, rows = exported(
        lambda: (frame_to_events(frame) for frame in lake.batches("aligned_events", symbol, [date])), instrument, stamps
    )
    write_array(path, ROW, count, rows)
    return count
