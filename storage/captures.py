"""Capture files, opened: gzip or plain text, line by line, in constant memory."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from market.errors import CorruptFile


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
