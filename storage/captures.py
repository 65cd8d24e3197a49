"""Capture files, opened: gzip or plain text, line by line, in constant memory."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from market.errors import CorruptFile, DataError
from market.events import Events
from market.sources.decoder import Decoder
from market.sources.importing import ImportReport, import_capture


def capture_lines(path: Path) -> Iterator[bytes]:
    """The lines of a capture, newline included; ``.gz`` is unpacked on the way.

    Raises CorruptFile, naming the file, if it is missing, truncated or no gzip.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            yield from file
    except (EOFError, OSError, zlib.error) as error:
        raise CorruptFile(f"capture {path} cannot be read to its end: {error}") from error


def import_file(path: Path, decoder: Decoder, max_bad_share: float) -> tuple[Events, ImportReport]:
    """Events of one capture file, delays not yet filled in, and what the import met.

    Raises CorruptFile for a broken file, and DataError naming the file for one with too many bad lines.
    """
    try:
        return import_capture(capture_lines(path), decoder, max_bad_share)
    except CorruptFile:
        raise
    except DataError as error:
        raise DataError(f"capture {path}: {error}") from error
