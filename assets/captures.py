"""Which files hold a symbol's day, in which format, and how much of them the chain may see."""

import difflib
from collections.abc import Callable, Iterator
from pathlib import Path

from assets.partitions import Part
from config.settings import Settings
from config.sources import CAPTURE, FileSource
from market.errors import ConfigError, DataError
from market.events import Events
from market.sources.formats import FORMATS, MANY_FILES_A_DAY, importer_for
from market.sources.importing import Importer, InputFile
from storage.captures import input_file
from storage.files import file_sha256
from storage.progress import Reading
from storage.recordings import all_files_by_date, fetch, files_by_date

Say = Callable[[str], None]


def capture_dates(settings: Settings, symbol: str) -> list[str]:
    """UTC dates for which a symbol has files, oldest first.

    Raises DataError if it has none, ConfigError if there is no such format as they are said to be of.
    """
    dates = list(_days(settings, symbol))
    if not dates:
        raise DataError(f"the source of {symbol}, {settings.data.sources[symbol]}, holds no daily file")
    return dates


def day_importer(settings: Settings, symbol: str) -> Importer:
    """A fresh importer of the format that a symbol's files are of. Raises ConfigError if there is no such format."""
    return importer_for(_format(settings, symbol), settings.instrument(symbol))


def day_files(settings: Settings, part: Part) -> list[Path]:
    """The files of a day, fetched where they are recordings that are not here yet.

    Raises DataError if the symbol has no file of that day, or one that holds what another day's holds, ConfigError if
    there is no such format as they are said to be of.
    """
    days = _days(settings, part.symbol)
    if part.key not in days:
        raise DataError(f"{part.symbol} has no capture of {part.key}; it has {', '.join(days)}")
    if isinstance(settings.data.sources[part.symbol], tuple):
        return [fetch(path.as_posix(), settings.paths.recordings, lambda done, total: None) for path in days[part.key]]
    _require_distinct(part.key, days)
    return days[part.key]


def import_day(settings: Settings, part: Part, importer: Importer, say: Say) -> Iterator[Events]:
    """Events of a day, batch by batch; of the newest day without its last ``hold_back_s`` seconds.

    Raises DataError naming the file if one ends before its end, or if too many of the lines are bad.
    """
    paths = day_files(settings, part)
    until = _newest_visible(settings, part, importer, [input_file(path) for path in paths])
    reading = Reading({path: path.stat().st_size for path in paths}, say)
    yield from importer.batches([input_file(path, reading.of(path)) for path in paths], until)
    importer.account.require(settings.data.max_bad_share)
    reading.done(f"{importer.account.lines:,} lines, {importer.account.events:,} events")


def capture_inputs(settings: Settings, part: Part) -> list[object]:
    """What decides which lines of a day are seen: format, the files' hashes, and how much is held back."""
    shas = [file_sha256(path) for path in day_files(settings, part)]
    return [_format(settings, part.symbol), *shas, _held_back_ns(settings, part)]


def _format(settings: Settings, symbol: str) -> str:
    source = settings.data.sources.get(symbol)
    if not isinstance(source, FileSource):
        return CAPTURE
    if source.format not in FORMATS:
        nearest = difflib.get_close_matches(source.format, FORMATS, n=1)
        hint = f"did you mean {nearest[0]}? " if nearest else ""
        key = f"data.sources.{symbol}.format"
        raise ConfigError(f"{key}={source.format!r} is unknown; {hint}allowed: {', '.join(sorted(FORMATS))}")
    return source.format


def _days(settings: Settings, symbol: str) -> dict[str, list[Path]]:
    """Files by date, oldest first; a second file of a day is refused unless the format spreads days over files."""
    source = settings.data.sources.get(symbol)
    if source is None:
        raise DataError(f"unknown symbol {symbol!r}; sources holds {', '.join(settings.data.sources)}")
    format = _format(settings, symbol)
    files = _files(symbol, source.path if isinstance(source, FileSource) else source)
    if format in MANY_FILES_A_DAY:
        return all_files_by_date(files)
    return {date: [path] for date, path in files_by_date(files).items()}


def _files(symbol: str, path: str | tuple[str, ...]) -> list[Path]:
    if not isinstance(path, str):
        return [Path(name) for name in path]
    try:
        return [file for file in sorted(Path(path).iterdir()) if not file.name.startswith(".")]
    except OSError as failed:
        raise DataError(f"cannot read the source of {symbol}, the folder {path}: {failed.strerror}") from failed


def _require_distinct(date: str, days: dict[str, list[Path]]) -> None:
    """Raises DataError if a file of the date holds the very bytes of another day's file."""
    others = [path for day, paths in days.items() if day != date for path in paths]
    for path in days[date]:
        alike = [other for other in others if _size(other) == _size(path) and file_sha256(other) == file_sha256(path)]
        if alike:
            raise DataError(f"duplicate file: {path} and {alike[0]} hold the same bytes; they cannot be two days")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as failed:
        raise DataError(f"cannot read {path}: {failed.strerror}") from failed


def _held_back_ns(settings: Settings, part: Part) -> int:
    newest = capture_dates(settings, part.symbol)[-1]
    return round(settings.data.hold_back_s * 1e9) if part.key == newest else 0


def _newest_visible(settings: Settings, part: Part, importer: Importer, files: list[InputFile]) -> int | None:
    """ingest_ts of the newest line that the chain may see, ns; None where nothing is held back."""
    held_back = _held_back_ns(settings, part)
    return importer.newest_ts(files) - held_back if held_back else None
