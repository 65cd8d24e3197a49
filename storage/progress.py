"""How far a download, an import or a long count has come, for the person who waits for it."""

import math
import select
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TextIO, TypeVar

from storage.download import Progress

WIDTH: Final = 30  # characters of the bar
EVERY_S: Final = 5.0  # between two lines about one import or count
CLEAR: Final = "\r\x1b[K"  # what a terminal takes to empty its line
Item = TypeVar("Item")
Clock = Callable[[], float]  # seconds


class Told(Protocol):
    """Hands things on, one by one, and may tell of them."""

    def __call__(self, items: Iterable[Item], count: int) -> Iterable[Item]:
        """The same things in the same order, of which there are ``count``."""


def untold(items: Iterable[Item], count: int) -> Iterable[Item]:
    """The things, without a word."""
    return items


class Weighed(Protocol):
    """Hands the things of some work on, one by one, and may tell what share of it is done."""

    def __call__(
        self, what: str, items: Iterable[Item], total: int, size_of: Callable[[Item], int] = ...
    ) -> Iterable[Item]:
        """The same things in the same order, whose sizes sum to ``total``."""


def alike(item: object) -> int:
    """The size of things that all count the same: 1."""
    return 1


def unweighed(what: str, items: Iterable[Item], total: int, size_of: Callable[[Item], int] = alike) -> Iterable[Item]:
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
    >>> remaining(12, 10, 30.0)  # there is more than was counted at first
    ', about 0 s to go'
    >>> remaining(0, 10, 30.0)
    ''
    """
    return f", about {max(0.0, seconds / done * (count - done)):.0f} s to go" if done else ""


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


class Pace:
    """A line for the person at a terminal, one every few seconds; elsewhere none."""

    def __init__(self, stream: TextIO | None = None, every_s: float = EVERY_S, clock: Clock = time.monotonic) -> None:
        self._stream, self._every_s, self._clock = stream or sys.stderr, every_s, clock
        self.shows = self._stream.isatty()
        self._begun = self._said = clock()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return self._clock() - self._begun

    def due(self) -> bool:
        """Whether it is time for a line; if so the next one is due a few seconds later."""
        if not self.shows or (now := self._clock()) - self._said < self._every_s:
            return False
        self._said = now
        return True

    def write(self, line: str) -> None:
        """A line of its own, in place of what stands on the last one."""
        self._stream.write(f"{CLEAR}{line}\n")
        self._stream.flush()

    def say(self, line: str) -> None:
        """The line, if one is due."""
        if self.due():
            self.write(line)


class Counting:
    """Says every few seconds how many of some things are done, and how long the rest takes, on a terminal."""

    def __init__(
        self, what: str, stream: TextIO | None = None, every_s: float = EVERY_S, clock: Clock = time.monotonic
    ) -> None:
        self._what, self._pace = what, partial(Pace, stream, every_s, clock)

    def __call__(self, items: Iterable[Item], count: int) -> Iterator[Item]:
        """The things, one by one."""
        pace = self._pace()
        for done, item in enumerate(items):
            if done and pace.due():
                pace.write(f"{done} of {count} {self._what}{remaining(done, count, pace.seconds)}")
            yield item


class Weighing:
    """Says every few seconds what share of some work is done, and how long the rest takes, on a terminal."""

    def __init__(self, stream: TextIO | None = None, every_s: float = EVERY_S, clock: Clock = time.monotonic) -> None:
        self._pace = partial(Pace, stream, every_s, clock)

    def __call__(
        self, what: str, items: Iterable[Item], total: int, size_of: Callable[[Item], int] = alike
    ) -> Iterator[Item]:
        """The things, one by one, whose sizes sum to ``total``, or to more where a file grows while it is read."""
        pace, done = self._pace(), 0
        if not pace.shows:
            yield from items
            return
        for item in items:
            if done and pace.due():
                share = min(1.0, done / max(total, 1))
                pace.write(f"{what}: {100 * share:.0f} %{remaining(done, total, pace.seconds)}")
            yield item
            done += size_of(item)


class LastLine:
    """The last line of a terminal, shown anew in its place; elsewhere nothing is written."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr

    def show(self, line: str) -> None:
        """Write over what stands there, as far as the terminal is wide; nothing while the terminal takes nothing."""
        if self._stream.isatty() and _takes_at_once(self._stream):
            self._stream.write(f"{CLEAR}{line[: shutil.get_terminal_size().columns - 1]}")
            self._stream.flush()

    def clear(self) -> None:
        """Leave nothing there."""
        self.show("")


def _takes_at_once(stream: TextIO) -> bool:
    """Whether a write would not wait, as it does where a person has stopped the terminal's output."""
    try:
        stream.fileno()
    except OSError:  # it is held in memory
        return True
    return bool(select.select([], [stream], [], 0)[1])
