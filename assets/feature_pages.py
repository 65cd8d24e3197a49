"""What the UI shows of a day's features: a small picture of each, and how far each moved since the day before."""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Final, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.plots import markdown_table
from features.catalogue import VALID, Feature, catalogue
from features.normalizer import MAD_TO_SIGMA
from features.parameters import FeatureParameters

MOST_SHOWN: Final = 20  # features in the table of shifts, the largest
POINTS: Final = 120  # of a picture
LEAST_DEVIATION: Final = 0.05  # that a shift is divided by, in the unit of a feature without a floor
_COLUMNS, _WIDTH, _HEIGHT = 6, 150, 70  # pictures a line; pixels of one
_SECOND_NS: Final = 1_000_000_000

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


def sampled(frame: Frame) -> Frame:
    """One valid row a second, stamps and features in their own units."""
    second = (pl.col("row_ts") % _SECOND_NS == 0) & (pl.col("status") == VALID)
    return frame.filter(second).select(pl.col("row_ts"), pl.col("^raw_.*$"))


def picture_grid(samples: pl.DataFrame, parameters: FeatureParameters) -> str:
    """One picture, as Markdown, with the course of every feature over the day; "none" without a sample."""
    if not samples.height:
        return "none"
    picture = feature_pictures(samples, catalogue(parameters))
    return f"![features](data:image/svg+xml;base64,{b64encode(picture.encode()).decode()})"


def feature_pictures(rows: pl.DataFrame, features: Sequence[Feature]) -> str:
    """An SVG file with a small picture of the raw course of each feature, and its range.

    rows : at least one, all of them valid
    """
    width, height = _COLUMNS * _WIDTH, -(-len(features) // _COLUMNS) * _HEIGHT
    parts = "".join(_picture(place, feature, rows) for place, feature in enumerate(features))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
        f'font-size="9" fill="none"><rect width="{width}" height="{height}" fill="#fff"/>{parts}</svg>'
    )


def _picture(place: int, feature: Feature, rows: pl.DataFrame) -> str:
    left, top = place % _COLUMNS * _WIDTH + 4, place // _COLUMNS * _HEIGHT + 12
    course = _course(rows[f"raw_{feature.name}"].to_numpy())
    low, high = float(course.min()), float(course.max())
    across = left + np.arange(course.size) / max(1, course.size - 1) * (_WIDTH - 12)
    heights = top + 40 - (course - low) / (high - low or 1.0) * 36
    path = "L".join(f"{x:.0f} {y:.0f}" for x, y in zip(across, heights, strict=True))
    label = f'<text x="{left}" y="{top - 2}" fill="#333">{escape(feature.name)}</text>'
    span = f'<text x="{left}" y="{top + 50}" fill="#888" font-size="8">{low:.3g} to {high:.3g}</text>'
    return f'{label}<path d="M{path}" stroke="#1f6feb"/>{span}'


def _course(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Means of up to POINTS stretches of equal length."""
    return np.array([part.mean(dtype=np.float64) for part in np.array_split(values, min(POINTS, values.size))])


def shift_table(today: pl.DataFrame, before: pl.DataFrame | None, parameters: FeatureParameters) -> str:
    """The features whose median moved furthest since the day before, in deviations of that day, as Markdown.

    A deviation is at least the feature's floor, so that one that stood still the day before is seen to move.
    """
    if before is None or not before.height or not today.height:
        return "no day before"
    floors = {f"raw_{feature.name}": feature.floor or LEAST_DEVIATION for feature in catalogue(parameters)}
    shifts = sorted(_shifts(today, before, floors), key=lambda shift: -abs(shift[3]))
    rows = [(name, f"{old:.4g}", f"{new:.4g}", f"{shift:+.2f}") for name, old, new, shift in shifts[:MOST_SHOWN]]
    return markdown_table(["feature", "median before", "median today", "shift, deviations"], rows)


def _shifts(
    today: pl.DataFrame, before: pl.DataFrame, floors: Mapping[str, float]
) -> Iterator[tuple[str, float, float, float]]:
    for name in before.columns[1:]:
        old, new = (frame[name].to_numpy().astype(np.float64) for frame in (before, today))
        middle = float(np.median(old))
        deviation = max(MAD_TO_SIGMA * float(np.median(np.abs(old - middle))), floors[name])
        move = float(np.median(new)) - middle
        yield name.removeprefix("raw_"), middle, middle + move, move / deviation
