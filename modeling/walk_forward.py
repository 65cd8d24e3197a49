"""Train, validation and test windows that only move forward in time, purged from each other."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from market.errors import ConfigError, LeakageError

Window = tuple[int, int]  # half-open [start, end), ns UTC


class Slice(NamedTuple):
    """Half-open windows [start, end) in ns UTC; a purge gap separates each pair."""

    key: str  # start of Train and the slice's number: "20240808T235500Z-k0"
    train: Window
    val: Window
    test: Window


def walk_forward(start: int, end: int, train: int, val: int, test: int, purge: int) -> Iterator[Slice]:
    """Yield slices within [start, end), each one ``test`` later than the last; all in ns.

    Raises ConfigError if a length is not above 0, or the purge is negative.
    """
    if min(train, val, test) <= 0 or purge < 0:
        raise ConfigError(f"train={train}, val={val} and test={test} ns must be above 0, purge={purge} not below")
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


def split_validation(val: Window, search_share: float, purge: int) -> tuple[Window, Window]:
    """The part of Val that search and early stopping see, and after a purge the part that calibration learns from.

    Raises ConfigError if the purge leaves one of them empty.
    """
    start, end = val
    cut = start + round((end - start - purge) * search_share)
    if not start < cut < cut + purge < end:
        raise ConfigError(f"val of {end - start} ns cannot be split with a purge of {purge} ns between its parts")
    return (start, cut), (cut + purge, end)


def assert_purged(piece: Slice, longest_horizon_ns: int, latency_ns: int, clock_error_ns: int) -> None:
    """Raise LeakageError unless a label of each window ends before the next window begins."""
    needed = longest_horizon_ns + latency_ns + clock_error_ns
    for earlier, later, names in ((piece.train, piece.val, "train and val"), (piece.val, piece.test, "val and test")):
        gap = later[0] - earlier[1]
        if gap < needed:
            raise LeakageError(
                f"slice {piece.key}: {gap} ns between {names}, labels reach {needed} ns "
                f"(horizon {longest_horizon_ns}, latency {latency_ns}, clock error {clock_error_ns})"
            )
