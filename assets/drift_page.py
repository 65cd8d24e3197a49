"""Evidently's page of the newest window beside the champion's training, for people: no verdict is read from it."""

import os
from pathlib import Path
from typing import Final

import dagster as dg
import numpy as np
import polars as pl

from assets.drift import SAMPLES, SIDE
from assets.partitions import WHOLE, Part
from config.settings import Settings
from market.errors import LakeError
from storage.files import replace_file
from storage.lake import Lake

SIDES: Final = ("live", "reference")


@dg.asset(deps=["drift"], group_name="monitoring", kinds={"html"})
def drift_page(settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult:
    """Distributions of every feature on both sides, with the plain KS test that takes rows for independent."""
    part = Part(settings.live.symbol, WHOLE)
    live, reference = (side_of(lake, part, side) for side in SIDES)
    path = settings.paths.reports / part.symbol / "drift.html"
    replace_file(path, drawn(live, reference, settings.drift.level).encode())
    rows = {f"{side}_rows": frame.height for side, frame in zip(SIDES, (live, reference), strict=True)}
    return dg.MaterializeResult(metadata={"page": page_of(path), "report": str(path), **rows})


def side_of(lake: Lake, part: Part, side: str) -> pl.DataFrame:
    """The sampled rows of one side. Raises LakeError if there is none."""
    rows = lake.scan(SAMPLES, part.symbol, [part.key]).filter(pl.col(SIDE) == side).drop(SIDE).collect()
    if rows.is_empty():
        raise LakeError(f"{SAMPLES} of {part.symbol} has no {side} row: nothing to draw")
    return rows


def drawn(live: pl.DataFrame, reference: pl.DataFrame, level: float) -> str:
    """The page as HTML, whole: it loads nothing. Evidently takes another test by itself beyond 1,000 rows."""
    os.environ["DO_NOT_TRACK"] = "1"  # evidently reads it when it is imported, and reports home without
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    columns = DataDefinition(numerical_columns=live.columns)
    sides = [Dataset.from_pandas(frame.to_pandas(), data_definition=columns) for frame in (live, reference)]
    with np.errstate(invalid="ignore"):  # a feature that stands still correlates with nothing
        found = Report([DataDriftPreset(num_method="ks", num_threshold=level)]).run(*sides)
    return str(found.get_html_str(as_iframe=False))


def page_of(path: Path) -> dg.MetadataValue:
    """A link for the UI."""
    return dg.MetadataValue.url(path.resolve().as_uri())
