"""Inputs damaged step by step, guided by coverage: what reaches new code is damaged further."""

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Final

import numpy as np

ROOT: Final = Path(__file__).parents[1]
NUMBER: Final = re.compile(rb"-?\d+(?:\.\d+)?")
STRANGE: Final = (
    *(b"", b"null", b"true", b"[]", b"{}", b'""', b'"x"', b"-1", b"0", b"1e999", b"-0.0", b"NaN"),
    *(b"9223372036854775808", b"-9223372036854775809", b"1" * 400, b"\x00", b"\xff\xfe", b"[" * 200, b'{"a":' * 200),
)
Edge = tuple[str, int, int]  # file, line before, line


class Guided:
    """A search for inputs of ``run`` that reach new edges between lines of some files; the same for the same seed."""

    def __init__(self, run: Callable[[bytes], None], corpus: Iterable[bytes], files: Sequence[Path], seed: int) -> None:
        self.corpus = list(dict.fromkeys(corpus))
        self.edges: set[Edge] = set()
        self._run, self._files = run, {str(path) for path in files}
        self._draw = np.random.default_rng(seed)
        for data in self.corpus:
            self._reached(data)

    def search(self, tries: int) -> int:
        """Run that many damaged inputs; returns how many of them reached something new and are kept."""
        before = len(self.corpus)
        for _ in range(tries):
            data = self._damaged(self.corpus[self._draw.integers(len(self.corpus))])
            if self._reached(data):
                self.corpus.append(data)
        return len(self.corpus) - before

    def _reached(self, data: bytes) -> bool:
        """Whether an input reaches an edge for the first time; what ``run`` raises comes through, the input noted."""
        found: set[Edge] = set()
        sys.settrace(self._tracer(found))
        try:
            self._run(data)
        except BaseException as error:
            error.add_note(f"the input was {data!r}")
            raise
        finally:
            sys.settrace(None)
        new = found - self.edges
        self.edges |= new
        return bool(new)

    def _tracer(self, found: set[Edge]) -> Callable[..., Any]:
        def enter(frame: FrameType, _: str, __: Any) -> Any:
            file, last = frame.f_code.co_filename, frame.f_lineno
            if file not in self._files:
                return None

            def line(frame: FrameType, event: str, _: Any) -> Any:
                nonlocal last
                if event == "line":
                    found.add((file, last, frame.f_lineno))
                    last = frame.f_lineno
                return line

            return line

        return enter

    def _damaged(self, data: bytes) -> bytes:
        for _ in range(int(self._draw.integers(1, 3))):
            data = self._ways[int(self._draw.integers(len(self._ways)))](self, data)
        return data

    def _place(self, data: bytes) -> tuple[int, int]:
        first, last = sorted(int(place) for place in self._draw.integers(0, len(data) + 1, 2))
        return first, last

    def _flipped(self, data: bytes) -> bytes:
        if not data:
            return data
        place = int(self._draw.integers(len(data)))
        return data[:place] + bytes([data[place] ^ 1 << int(self._draw.integers(8))]) + data[place + 1 :]

    def _cut(self, data: bytes) -> bytes:
        first, last = self._place(data)
        return data[:first] + data[last:]

    def _truncated(self, data: bytes) -> bytes:
        return data[: self._place(data)[0]]

    def _doubled(self, data: bytes) -> bytes:
        first, last = self._place(data)
        return data[:last] + data[first : min(last, first + 200)] + data[last:]

    def _inserted(self, data: bytes) -> bytes:
        place = self._place(data)[0]
        return data[:place] + STRANGE[int(self._draw.integers(len(STRANGE)))] + data[place:]

    def _renumbered(self, data: bytes) -> bytes:
        numbers = list(NUMBER.finditer(data))
        if not numbers:
            return data
        found = numbers[int(self._draw.integers(len(numbers)))]
        return data[: found.start()] + STRANGE[int(self._draw.integers(len(STRANGE)))] + data[found.end() :]

    def _spliced(self, data: bytes) -> bytes:
        other = self.corpus[int(self._draw.integers(len(self.corpus)))]
        return data[: self._place(data)[0]] + other[self._place(other)[0] :]

    _ways: Final = (_flipped, _cut, _truncated, _doubled, _inserted, _renumbered, _renumbered, _spliced)
