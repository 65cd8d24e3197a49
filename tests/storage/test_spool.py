"""A spool gives back what it was given, and leaves nothing behind."""

from pathlib import Path

import numpy as np

from storage.spool import Spool

PAIR = np.dtype([("ts", "i8"), ("qty", "u4")])


def records(count: int, first: int) -> np.ndarray:
    made = np.zeros(count, PAIR)
    made["ts"], made["qty"] = np.arange(first, first + count), 7
    return made


def test_batches_come_back_as_one_array_in_order_and_the_folder_stays_empty(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "made", PAIR)
    for batch in (records(3, 0), records(0, 3), records(8, 3)[::2]):
        spool.append(batch)
    found = spool.mapped()
    assert found["ts"].tolist() == [0, 1, 2, 3, 5, 7, 9]
    assert list((tmp_path / "made").iterdir()) == []
    found["qty"][0] = 1  # ours alone
    assert spool.size == found.size == 7


def test_a_spool_of_nothing_is_an_empty_array_of_its_type(tmp_path: Path) -> None:
    found = Spool(tmp_path, PAIR).mapped()
    assert (found.size, found.dtype) == (0, PAIR)
