"""What monitors are held against: the slice that the registered model was trained on, and the newest one there is."""

import polars as pl

from assets.partitions import WHOLE, Part
from assets.walk_forward_slices import frame_slices
from market.errors import LakeError
from storage.lake import Lake


def champion_slice(lake: Lake, symbol: str) -> Part:
    """The slice that the registered model of a symbol was trained on. Raises LakeError if there is none."""
    registered = lake.scan("registered_model", WHOLE, [WHOLE]).filter(pl.col("symbol") == symbol).collect()
    if registered.is_empty():
        raise LakeError(f"no model of {symbol} is registered: there is nothing to hold it against")
    return Part(symbol, registered["slice"][0])


def newest_slice(lake: Lake, symbol: str) -> str:
    """Key of the last walk-forward slice of a symbol."""
    return frame_slices(lake.scan("walk_forward_slices", symbol, [WHOLE]).collect())[-1].key
