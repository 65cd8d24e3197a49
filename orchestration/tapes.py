"""The captures that a run needs, brought here before it starts; the demo has a synthetic tape where none can be had."""

import gzip
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Final

from config.settings import Settings
from market.errors import DataError, Unreachable
from market.simulator import synthetic_capture
from market.sources.capture import split_line
from storage.files import publish, temporary_beside
from storage.progress import progress_of
from storage.recordings import fetch, files_by_date

SYNTHETIC: Final = "synthetic-btcusd_perp"  # its name says on every page what it is
SEED: Final = 20240808
START_TS: Final = 1_723_161_256_000_000_000  # ns; 2024-08-08 23:54:16 UTC: the tape runs over midnight
SECONDS: Final = 647.0


def fetch_recordings(settings: Settings) -> None:
    """Bring every recording that the symbols need, with a bar on stderr for what has to be downloaded.

    Raises RecordingError or CorruptFile if one cannot be had.
    """
    for name in settings.data.recordings:
        fetch(name, settings.paths.recordings, progress_of(name))


def recorded_or_synthetic(settings: Settings, say: Callable[[str], None]) -> Settings:
    """The settings as they are where their recordings can be had, else those of a synthetic tape, said aloud.

    Raises DataError, one line that names the file, if a recording is unknown or not the promised bytes, or if the
    disk does not take it or the tape.
    """
    try:
        fetch_recordings(settings)
    except Unreachable as missing:
        say(f"no recording: {missing}")
        say("the demo runs on a SYNTHETIC tape: it shows that the chain works, and says nothing about any market")
        return _synthetic(settings)
    return settings


def _synthetic(settings: Settings) -> Settings:
    folder = settings.paths.var / "synthetic"
    write_days(synthetic_capture(settings.instrument(SYNTHETIC), SEED, START_TS, SECONDS), folder)
    sources = {**settings.data.sources, SYNTHETIC: str(folder)}
    return replace(settings, data=replace(settings.data, symbols=(SYNTHETIC,), sources=sources))


def write_days(lines: Iterable[bytes], folder: Path) -> dict[str, Path]:
    """Daily captures of a tape by their UTC dates; each file appears whole, and equal lines give equal bytes.

    Raises DataError naming the file that the disk does not take.
    """
    return files_by_date(_write_day(folder, day, of_day) for day, of_day in groupby(lines, key=_day))


def _write_day(folder: Path, day: str, lines: Iterator[bytes]) -> Path:
    path = folder / f"tape_{day}.gz"
    temporary = temporary_beside(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0) as file:
            file.writelines(lines)
        publish(temporary, path)
    except OSError as failed:  # no room, no right
        raise DataError(f"cannot write {path}: {failed.strerror}") from failed
    finally:
        if temporary.is_file():
            temporary.unlink()
    return path


def _day(line: bytes) -> str:
    stamp, _ = split_line(line)
    return f"{datetime.fromtimestamp(stamp // 1_000_000_000, UTC):%Y%m%d}"
