"""How far a download, an import or a long count has come, for the person who waits for it."""

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol, TextIO, TypeVar

from storage.download import Progress

WIDTH: Final = 30  # characters of the bar
EVERY_S: Final = 5.0  # between two lines about one import or count
CLEAR: Final = "\r\x1b[K"  # what a terminal takes to empty its line
Item = TypeVar("Item")


class Told(Protocol):
    """Hands things on, one by one, and may tell of them."""

    def __call__(self, items: Iterable[Item], count: int) -> Iterable[Item]:
        """The same things in the same order, of which there are ``count``."""


def untold(items: Iterable[Item], count: int) -> Iterable[Item]:
    """The things, without a word."""
    return items


def bar(have: int, total: int) -> str:
    """A bar with the share in percent and the size in MB.

    >>> bar(1_000_000, 4_000_000)
    '[#######.......................]  25 % of 4.0 MB'
    """
    share = min(1.0, have / max(total, 1))
    filled = int(share * WIDTH)
    return f"[{'#' * filled}{'.' * (WIDTH - filled)}] {100 * share:3.0f} % of {total / 1e6:.1f} MB"


def remaining(done: int, count: int, seconds: float) -> str:
    """About how long the rest takes, as the end of a line, once something is done.

    >>> remaining(2, 10, 30.0)
    ', about 120 s to go'
    >>> remaining(0, 10, 30.0)
    ''
    """
    return f", about {seconds / done * (count - done):.0f} s to go" if done else ""


def progress_of(name: str) -> Progress:
    """What prints the bar of ``name`` to stderr, in place, and ends its line when all has come."""

    def show(have: int, total: int) -> None:
        sys.stderr.write(f"\r{name} {bar(have, total)}{chr(10) if have >= total else ''}")
        sys.stderr.flush()

    return show


class Reading:
    """Says now and then how much of some files has been read: every few seconds on a terminal, else only at the end."""

    def __init__(self, sizes: Mapping[Path, int], say: Callable[[str], None], every_s: float | None = None) -> None:
        self._sizes, self._say = sizes, say
        self._every_s = every_s if every_s is not None else EVERY_S if sys.stdout.isatty() else math.inf
        self._have = dict.fromkeys(sizes, 0)
        self._begun = self._said = time.monotonic()

    def of(self, path: Path) -> Callable[[int], None]:
        """What hears how many bytes of a file have been read."""

        def count(have: int) -> None:
            self._have[path] = have
            now = time.monotonic()
            if now - self._said >= self._every_s:
                self._said = now
                self._say(f"reading {bar(sum(self._have.values()), sum(self._sizes.values()))}")

        return count

    def done(self, result: str) -> None:
        """Say what came of it."""
        names = ", ".join(path.name for path in self._sizes)
        seconds = time.monotonic() - self._begun
        self._say(f"read {names}, {sum(self._sizes.values()) / 1e6:.1f} MB, in {seconds:.1f} s: {result}")


class Counting:
    """Says every few seconds how many of some things are done, and how long the rest takes, on a terminal."""

    def __init__(self, what: str, stream: TextIO | None = None, every_s: float = EVERY_S) -> None:
        self._what, self._stream, self._every_s = what, stream or sys.stderr, every_s

    def __call__(self, items: Iterable[Item], count: int) -> Iterator[Item]:
        """The things, one by one."""
        begun = said = time.monotonic()
        for done, item in enumerate(items):
            if done and self._stream.isatty() and time.monotonic() - said >= self._every_s:
                said = time.monotonic()
                left = remaining(done, count, said - begun)
                self._stream.write(f"{CLEAR}{done} of {count} {self._what}{left}\n")
            yield item
