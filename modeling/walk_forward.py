"""Train, validation and test windows that only move forward in time, purged from each other."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import NamedTuple

from market.errors import ConfigError, LeakageError

Window = tuple[int, int]  # half-open [start, end), ns UTC


class ValParts(NamedTuple):
    """What is learned on Val one behind the other, each part purged from the one before it."""

    search: Window  # search and early stopping
    calibration: Window  # calibration, decision rules, weights of a mixture
    conformal: Window  # the scores that conformal sets and intervals begin with


@dataclass(frozen=True, slots=True)
class Slice:
    """Half-open windows [start, end) in ns UTC; a purge gap separates each pair.

    Raises LeakageError if a window is empty, one begins before the one before it has ended, or no gap is between them.
    How long the gap has to be depends on the labels: see ``assert_purged``.
    """

    key: str  # start of Train and the slice's number: "20240808T235500Z-k0"
    train: Window
    val: Window
    test: Window
    parts: ValParts | None = None  # of Val; None until it is split

    def __post_init__(self) -> None:
        if self.parts is not None and (self.parts.search[0] < self.val[0] or self.val[1] < self.parts.conformal[1]):
            raise LeakageError(f"slice {self.key}: the parts of val reach beyond it")
        _require_order(self.key, self.windows)
        _require_order(self.key, self.learned_on)

    @property
    def windows(self) -> tuple[tuple[str, Window], ...]:
        """The three windows with their names, in the order of time."""
        return ("train", self.train), ("val", self.val), ("test", self.test)

    @property
    def learned_on(self) -> tuple[tuple[str, Window], ...]:
        """The same with the parts of Val in its place, once it is split: no two of these may share a label."""
        if self.parts is None:
            return self.windows
        return ("train", self.train), *self.parts._asdict().items(), ("test", self.test)

    @property
    def split(self) -> ValParts:
        """The parts of Val. Raises LeakageError if it was never split."""
        if self.parts is None:
            raise LeakageError(f"slice {self.key}: val is not split into parts")
        return self.parts


def _require_order(key: str, windows: tuple[tuple[str, Window], ...]) -> None:
    for name, (start, end) in windows:
        if start >= end:
            raise LeakageError(f"slice {key}: {name} of [{start}, {end}) ns is empty or runs backwards")
    for (earlier, (_, end)), (later, (start, _)) in pairwise(windows):
        if start <= end:
            raise LeakageError(f"slice {key}: {later} begins {end - start} ns before {earlier} is purged")


def walk_forward(start: int, end: int, train: int, val: int, test: int, purge: int) -> Iterator[Slice]:
    """Yield slices within [start, end), each one ``test`` later than the last; all in ns.

    Raises ConfigError if a length or the purge is not above 0.
    """
    if min(train, val, test, purge) <= 0:
        raise ConfigError(f"train={train}, val={val}, test={test} and purge={purge} ns must be above 0")
    number = 0
    while start + train + purge + val + purge + test <= end:
        val_start = start + train + purge
        test_start = val_start + val + purge
        key = f"{_stamp(start)}-k{number}"
        yield Slice(key, (start, start + train), (val_start, val_start + val), (test_start, test_start + test))
        start += test
        number += 1


def _stamp(ts: int) -> str:
    return datetime.fromtimestamp(ts // 1_000_000_000, UTC).strftime("%Y%m%dT%H%M%SZ")


def split_validation(val: Window, search_share: float, calibration_share: float, purge: int) -> ValParts:
    """The parts of Val in the order of time.

    search_share : of Val; calibration_share : of what follows the search; all without the purges, which are in ns
    Raises ConfigError if a purge leaves one of them empty.

    >>> split_validation((0, 110), 0.5, 0.5, 10)
    ValParts(search=(0, 50), calibration=(60, 80), conformal=(90, 110))
    """
    if purge <= 0:
        raise ConfigError(f"purge={purge} ns between the parts of val must be above 0")
    search, rest = _split(val, search_share, purge)
    calibration, conformal = _split(rest, calibration_share, purge)
    parts = ValParts(search, calibration, conformal)
    if any(start >= end for start, end in parts):
        lengths = ", ".join(f"{name} {(end - start) / 1e9:g} s" for name, (start, end) in parts._asdict().items())
        raise ConfigError(
            f"val of {(val[1] - val[0]) / 1e9:g} s cannot be split in three with purges of {purge / 1e9:g} s: {lengths}"
        )
    return parts


def _split(span: Window, share: float, purge: int) -> tuple[Window, Window]:
    start, end = span
    cut = start + round((end - start - purge) * share)
    return (start, cut), (cut + purge, end)


def assert_purged(piece: Slice, longest_horizon_ns: int, latency_ns: int, clock_error_ns: int) -> None:
    """Raise LeakageError unless a label of each window, and of each part of Val, ends before the next one begins."""
    needed = longest_horizon_ns + latency_ns + clock_error_ns
    for (earlier, (_, end)), (later, (start, _)) in pairwise(piece.learned_on):
        gap = start - end
        if gap < needed:
            raise LeakageError(
                f"slice {piece.key}: {gap} ns between {earlier} and {later}, labels reach {needed} ns "
                f"(horizon {longest_horizon_ns}, latency {latency_ns}, clock error {clock_error_ns})"
            )
