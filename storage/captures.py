"""Files of market data, opened: gzip, zstd or plain, decompressed on the way, in constant memory."""

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, cast

import pyarrow as pa

from market.errors import CorruptFile
from market.sources.importing import InputFile

BytesRead = Callable[[int], None]  # hears how many bytes of the file, as it lies on the disk, have been read
_BUFFER: Final = 1 << 18  # bytes
_STEP: Final = 1 << 12  # bytes of text: a fault is placed to that many
_UNPACK: Final[dict[str, Callable[[io.BufferedReader], io.BufferedIOBase]]] = {
    ".gz": lambda raw: gzip.GzipFile(fileobj=raw),
    ".zst": lambda raw: cast(io.BufferedIOBase, pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd")),
}
_FAULTS: Final = (EOFError, OSError, zlib.error)  # of a file that is truncated or damaged


def input_file(path: Path, on_bytes: BytesRead = lambda count: None) -> InputFile:
    """A file to import, unpacked by its suffix (``.gz``, ``.zst``); reading it tells ``on_bytes`` how far it is.

    Opening or reading raises CorruptFile, naming the file, if it is missing, truncated or damaged; also after which
    line and byte of its text, where it has some.
    """
    return InputFile(str(path), lambda: _open(path, on_bytes))


def capture_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, newline included. Raises as ``input_file`` does."""
    with input_file(path).open() as stream:
        yield from stream


class _Whole(io.RawIOBase):
    """Decompressed bytes of a file; an end before its end is an error that names it."""

    def __init__(self, path: Path, on_bytes: BytesRead) -> None:
        self._path, self._on_bytes = path, on_bytes
        try:
            self._raw = path.open("rb")
        except OSError as error:
            raise _unreadable(path, error) from error
        self._unpacked = _unpacked(path, self._raw)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._unpacked is self._raw

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._raw.seek(offset, whence)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            count = self._unpacked.readinto(buffer)
        except _FAULTS as error:
            raise _unreadable(self._path, error, _place(self._path)) from error
        self._on_bytes(self._raw.tell())
        return int(count)

    def close(self) -> None:
        if not self.closed:
            self._unpacked.close()
            self._raw.close()
        super().close()


def _open(path: Path, on_bytes: BytesRead) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(_Whole(path, on_bytes), _BUFFER))


def _unpacked(path: Path, raw: io.BufferedReader) -> io.BufferedIOBase:
    return _UNPACK[path.suffix](raw) if path.suffix in _UNPACK else raw


def _unreadable(path: Path, error: Exception, place: str = "") -> CorruptFile:
    return CorruptFile(f"capture {path} cannot be read to its end{place}: {error}")


def _place(path: Path) -> str:
    """How much text stands in front of the fault of a file; nothing where none does. Reads the file once more."""
    lines = size = 0
    with path.open("rb") as raw, suppress(*_FAULTS):
        unpacked = _unpacked(path, raw)
        while text := unpacked.read1(_STEP):
            lines, size = lines + text.count(b"\n"), size + len(text)
    return f", after line {lines} ({size} bytes of text)" if size else ""
