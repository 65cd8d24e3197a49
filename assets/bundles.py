"""A slice's bundles: where they lie, and the models in them, as far as they are the ones that the lake tells of."""

from pathlib import Path
from typing import Final

import polars as pl

from assets.partitions import Part
from config.settings import Settings
from features.catalogue import catalogue_content
from market.errors import BundleError
from modeling.snapshot import ModelSnapshot
from storage.bundle import bundle_sha, read_bundle
from storage.lake import Lake

NETWORK: Final = "network"  # the bundle of the trained networks, of whatever kind and number


def bundle_folder(settings: Settings, part: Part, kind: str) -> Path:
    """Where a slice's bundle of one kind lies."""
    return settings.paths.bundles / part.symbol / part.key / kind


def slice_model(settings: Settings, lake: Lake, part: Part, kind: str) -> ModelSnapshot:
    """A model of a slice, from its bundle. Raises BundleError if the bundle is not the one in the lake's table."""
    table = lake.scan("models", part.symbol, [part.key]).filter(pl.col("kind") == kind).collect()
    folder = bundle_folder(settings, part, kind)
    if bundle_sha(folder) != table["sha"][0]:
        raise BundleError(f"{folder} is not the bundle that models/{part.symbol}/{part.key} made; make it again")
    return read_bundle(folder, catalogue_content(settings.features_of(part.symbol))).model
