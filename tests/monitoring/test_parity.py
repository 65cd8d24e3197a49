"""Comparison to the last bit, and the first difference in words."""

import numpy as np

from monitoring.parity import Comparison, compare, difference

KIND = np.dtype([("price", "i8"), ("equity", "f8")])


def records(*rows: tuple[int, float]) -> np.ndarray:
    return np.array(list(rows), KIND)


def test_equal_records_are_exact_also_where_they_are_no_numbers() -> None:
    rows = [Comparison(ts, records((1, float("nan"))), records((1, float("nan")))) for ts in (10, 20)]
    parity = compare("level 1", rows)
    assert parity.exact
    assert str(parity) == "level 1: 2 records in 2 rows, equal bit for bit"


def test_the_first_difference_is_named_and_all_are_counted() -> None:
    rows = [
        Comparison(10, records((1, 0.0)), records((1, 0.0))),
        Comparison(20, records((1, 0.0), (2, 0.5)), records((1, 0.0), (3, 0.5))),
        Comparison(30, records((1, 0.0)), records()),
    ]
    parity = compare("level 2", iter(rows))
    assert not parity.exact
    assert (parity.rows, parity.records, parity.different, parity.first_ts) == (3, 4, 2, 20)
    assert str(parity) == "level 2: 2 of 3 rows differ, first at 20: record 1, price: 2 written, 3 replayed"


def test_the_last_bit_counts() -> None:
    assert difference(records((1, 0.1 + 0.2)), records((1, 0.3))).startswith("record 0, equity: 0.30000000000000004")
    assert difference(records((1, 0.0)), records((1, -0.0))) == "record 0, equity: 0.0 written, -0.0 replayed"


def test_missing_records_are_a_difference() -> None:
    assert difference(records((1, 0.0)), records()) == "1 records written, 0 replayed"


def test_nothing_to_compare_is_not_exact() -> None:
    nothing = compare("level 1", [])
    empty = compare("level 1", [Comparison(10, records(), records())])
    assert not nothing.exact
    assert not empty.exact
    assert str(empty) == "level 1: nothing to compare (1 rows, 0 records)"
