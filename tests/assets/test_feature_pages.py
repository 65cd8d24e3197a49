"""What the UI shows of a day's features, on frames made by hand."""

import re
from base64 import b64decode
from xml.etree import ElementTree

import numpy as np
import polars as pl

from assets.feature_pages import MOST_SHOWN, picture_grid, sampled, shift_table
from features.catalogue import SILENT, VALID, feature_names
from tests.builders_trading import FEATURES

S = 1_000_000_000
START = 1_723_161_600 * S
NAMES = feature_names(FEATURES)


def samples(**columns: list[float]) -> pl.DataFrame:
    count = len(next(iter(columns.values())))
    stamps = START + S * np.arange(count)
    return pl.DataFrame({"row_ts": stamps, **{f"raw_{name}": values for name, values in columns.items()}})


def whole_day(seconds: int) -> pl.DataFrame:
    courses = np.random.default_rng(0).normal(size=(len(NAMES), seconds)).astype(np.float32)
    return samples(**{name: course.tolist() for name, course in zip(NAMES, courses, strict=True)})


def test_a_sample_is_a_valid_row_on_a_whole_second_with_its_raw_columns() -> None:
    frame = pl.DataFrame(
        {
            "row_ts": [START, START + S // 2, START + S, START + 2 * S],
            "status": [VALID, VALID, SILENT, VALID],
            "raw_spread_ticks": [1.0, 2.0, 3.0, 4.0],
            "spread_ticks": [0.1, 0.2, 0.3, 0.4],
        }
    )
    assert sampled(frame).to_dict(as_series=False) == {"row_ts": [START, START + 2 * S], "raw_spread_ticks": [1.0, 4.0]}


def test_a_shift_is_counted_in_deviations_of_the_day_before() -> None:
    before = samples(basis=[1.0, 2.0, 3.0], log_trade_age=[10.0, 12.0, 14.0])
    today = samples(basis=[2.0, 2.0, 2.0], log_trade_age=[6.0, 6.0, 6.0])
    assert shift_table(today, before, FEATURES).splitlines()[2:] == [
        "| log_trade_age | 12 | 6 | -2.02 |",  # 6 / (1.4826 x 2)
        "| basis | 2 | 2 | +0.00 |",
    ]


def test_a_feature_that_stood_still_is_shifted_in_units_of_its_floor_or_of_a_twentieth() -> None:
    before = samples(spread_ticks=[1.0, 1.0, 1.0], imbalance_5=[0.2, 0.2, 0.2])
    today = samples(spread_ticks=[7.0], imbalance_5=[0.1])
    assert shift_table(today, before, FEATURES).splitlines()[2:] == [
        "| spread_ticks | 1 | 7 | +6.00 |",  # its floor is one tick
        "| imbalance_5 | 0.2 | 0.1 | -2.00 |",  # it has none
    ]


def test_only_the_largest_shifts_are_shown() -> None:
    table = shift_table(whole_day(40), whole_day(30), FEATURES).splitlines()[2:]
    assert len(table) == MOST_SHOWN
    shifts = [abs(float(line.split("|")[4])) for line in table]
    assert shifts == sorted(shifts, reverse=True)


def test_the_first_day_has_nothing_to_be_compared_with() -> None:
    assert shift_table(whole_day(3), None, FEATURES) == "no day before"
    assert shift_table(whole_day(3)[:0], whole_day(3), FEATURES) == "no day before"


def test_the_grid_has_a_small_picture_of_every_feature() -> None:
    found = re.fullmatch(r"!\[features\]\(data:image/svg\+xml;base64,(.*)\)", picture_grid(whole_day(5_000), FEATURES))
    assert found
    assert len(found[1]) < 150_000
    elements = list(ElementTree.fromstring(b64decode(found[1])).iter())
    texts = [each.text or "" for each in elements if each.tag.endswith("text")]
    assert texts[::2] == list(NAMES)
    assert all(" to " in span for span in texts[1::2])
    assert len([each for each in elements if each.tag.endswith("path")]) == len(NAMES)
    assert "nan" not in b64decode(found[1]).decode()


def test_a_day_of_one_sample_and_a_day_of_none_are_drawn_too() -> None:
    assert picture_grid(whole_day(1), FEATURES).startswith("![features]")
    assert picture_grid(whole_day(1)[:0], FEATURES) == "none"
