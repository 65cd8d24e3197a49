"""What the assets are split by: days or walk-forward slices, each of one symbol."""

import re
import warnings
from datetime import date, timedelta
from typing import Final, NamedTuple

import dagster as dg

from market.errors import ConfigError

FIRST_DAY: Final = "2019-03-30"  # Tardis, the oldest tick archive that we read, begins here
WHOLE: Final = "all"  # key in the lake of what covers all days of a symbol
_SLICE_KEY: Final = re.compile(r"\d{8}T\d{6}Z-k\d+")  # Dagster accepts `|` in a key and breaks later

symbols = dg.DynamicPartitionsDefinition(name="symbol")
slices = dg.DynamicPartitionsDefinition(name="slice")
days = dg.DailyPartitionsDefinition(start_date=FIRST_DAY, end_offset=1)  # without the offset today has no partition
symbol_days = dg.MultiPartitionsDefinition({"date": days, "symbol": symbols})
symbol_slices = dg.MultiPartitionsDefinition({"slice": slices, "symbol": symbols})

with warnings.catch_warnings():
    warnings.simplefilter("ignore", dg.BetaWarning)  # of the mappings; the tests of the graph would notice a change
    _same_symbol = dg.DimensionPartitionMapping("symbol", dg.IdentityPartitionMapping())
    day_before = dg.MultiPartitionMapping(
        {
            "date": dg.DimensionPartitionMapping("date", dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)),
            "symbol": _same_symbol,
        }
    )
    day_and_after = dg.MultiPartitionMapping(
        {
            "date": dg.DimensionPartitionMapping("date", dg.TimeWindowPartitionMapping(start_offset=0, end_offset=1)),
            "symbol": _same_symbol,
        }
    )
    whole_symbol = dg.MultiToSingleDimensionPartitionMapping("symbol")


class Part(NamedTuple):
    """One partition: a symbol, and the day or slice (or ``all``) that keys it in the lake."""

    symbol: str
    key: str


def day_beside(part: Part, days_later: int) -> Part:
    """The partition of the same symbol some days later, or earlier.

    >>> day_beside(Part("coin", "2024-08-31"), 1).key
    '2024-09-01'
    """
    return part._replace(key=str(date.fromisoformat(part.key) + timedelta(days_later)))


def part_of(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> Part:
    """The partition that a step works on.

    Raises ConfigError if its slice is not named as ours are.
    """
    key = context.partition_key
    if not isinstance(key, dg.MultiPartitionKey):
        return Part(key, WHOLE)
    dimensions = key.keys_by_dimension
    return Part(dimensions["symbol"], dimensions["date"] if "date" in dimensions else valid_slice(dimensions["slice"]))


def day_key(part: Part) -> dg.MultiPartitionKey:
    """Dagster's key of a symbol's day."""
    return dg.MultiPartitionKey({"date": part.key, "symbol": part.symbol})


def slice_key(part: Part) -> dg.MultiPartitionKey:
    """Dagster's key of a symbol's slice. Raises ConfigError if the slice is not named as ours are."""
    return dg.MultiPartitionKey({"slice": valid_slice(part.key), "symbol": part.symbol})


def valid_slice(key: str) -> str:
    """The key itself. Raises ConfigError if it is not like ``20240808T235500Z-k0``."""
    if not _SLICE_KEY.fullmatch(key):
        raise ConfigError(f"slice={key!r} is not of the form 20240808T235500Z-k0")
    return key
