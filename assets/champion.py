"""What monitors are held against: the slice that the champion was trained on, and the newest one there is."""

import polars as pl

from assets.partitions import WHOLE, Part
from assets.registered_model import model_name
from assets.resources import registry_of
from assets.walk_forward_slices import frame_slices
from config.settings import Settings
from market.errors import LakeError, RegistryError
from storage.lake import Lake
from storage.registry import CHAMPION, Registry


def champion_slice(settings: Settings, lake: Lake, symbol: str) -> Part:
    """The slice that the champion of a symbol was trained on; the newest version's as long as there is no champion.

    A challenger that waits for its approval has been trained on newer days, on which the champion that trades was not.
    Raises LakeError if no model is registered, RegistryError if the registry does not hold the ledger's champion.
    """
    registered = lake.scan("registered_model", WHOLE, [WHOLE]).filter(pl.col("symbol") == symbol).collect()
    if registered.is_empty():
        raise LakeError(f"no model of {symbol} is registered: there is nothing to hold it against")
    known = slice_in_force(registry_of(settings), model_name(settings, symbol))
    return Part(symbol, known or registered["slice"][0])


def slice_in_force(registry: Registry, model: str) -> str | None:
    """Key of the slice that the ledger's champion of a model was trained on; None if it names no champion.

    Raises RegistryError if the registry holds no version of that bundle.
    """
    line = registry.ledger.newest(model, CHAMPION)
    if line is None:
        return None
    version = registry.holding(model, line.bundle_sha)
    if version is None:
        raise RegistryError(f"the registry has no version of {model} with its champion's bundle {line.bundle_sha[:12]}")
    return registry.tags(version)["slice"]


def newest_slice(lake: Lake, symbol: str) -> str:
    """Key of the last walk-forward slice of a symbol."""
    return frame_slices(lake.scan("walk_forward_slices", symbol, [WHOLE]).collect())[-1].key
