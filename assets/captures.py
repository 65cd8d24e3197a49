"""Which capture holds a symbol's day, and how much of it the chain may see."""

from pathlib import Path

import numpy as np

from assets.partitions import Part
from config.settings import Settings
from market.errors import DataError
from market.events import EVENT, Events, empty_events
from market.sources.importing import Importer
from storage.captures import input_file
from storage.files import file_sha256
from storage.recordings import Progress, fetch, files_by_date


def capture_dates(settings: Settings, symbol: str) -> list[str]:
    """UTC dates for which a symbol has a capture, oldest first. Raises DataError if it has none."""
    dates = list(_captures(settings, symbol))
    if not dates:
        raise DataError(f"the source of {symbol}, {settings.data.sources[symbol]}, holds no daily file")
    return dates


def capture_path(settings: Settings, part: Part, progress: Progress = lambda done, total: None) -> Path:
    """The capture of a day, fetched where it is a recording that is not here yet.

    Raises DataError if the symbol has no capture of that day.
    """
    captures = _captures(settings, part.symbol)
    if part.key not in captures:
        raise DataError(f"{part.symbol} has no capture of {part.key}; it has {', '.join(captures)}")
    path = captures[part.key]
    if isinstance(settings.data.sources[part.symbol], str):
        return path
    return fetch(path.as_posix(), settings.paths.recordings, progress)


def import_day(settings: Settings, part: Part, importer: Importer) -> Events:
    """Events of a day's capture; of the newest day without its last ``hold_back_s`` seconds.

    Raises DataError naming the capture if too many of its lines are bad.
    """
    files = [input_file(capture_path(settings, part))]
    held_back = _held_back_ns(settings, part)
    until = importer.newest_ts(files) - held_back if held_back else None
    batches = [empty_events(0), *importer.batches(files, until)]
    importer.account.require(settings.data.max_bad_share)
    return np.concatenate(batches, dtype=EVENT)


def capture_inputs(settings: Settings, part: Part) -> list[object]:
    """What decides which lines of a day are seen: the file's hash, and how much is held back."""
    return [file_sha256(capture_path(settings, part)), _held_back_ns(settings, part)]


def _captures(settings: Settings, symbol: str) -> dict[str, Path]:
    source = settings.data.sources.get(symbol)
    if source is None:
        raise DataError(f"unknown symbol {symbol!r}; sources holds {', '.join(settings.data.sources)}")
    if not isinstance(source, str):
        return files_by_date(Path(name) for name in source)
    try:
        found = sorted(Path(source).iterdir())
    except OSError as failed:
        raise DataError(f"cannot read the source of {symbol}, the folder {source}: {failed.strerror}") from failed
    return files_by_date(path for path in found if not path.name.startswith("."))


def _held_back_ns(settings: Settings, part: Part) -> int:
    newest = capture_dates(settings, part.symbol)[-1]
    return round(settings.data.hold_back_s * 1e9) if part.key == newest else 0
