"""Whether what was replayed is what was traded: bit for bit, with the first difference named."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Records = NDArray[np.void]


class Comparison(NamedTuple):
    """One row's records as written and as they came out again."""

    row_ts: int  # ns UTC
    written: Records
    again: Records


@dataclass(frozen=True, slots=True)
class Parity:
    """The outcome of one level of the ladder."""

    level: str
    rows: int  # compared
    records: int  # written in those rows
    different: int  # rows
    first_ts: int | None  # the first row that differs, ns UTC
    first_difference: str

    @property
    def exact(self) -> bool:
        """Whether every row came out as written; nothing compared is not exact."""
        return self.rows > 0 and self.records > 0 and self.different == 0

    def __str__(self) -> str:
        if self.exact:
            return f"{self.level}: {self.records} records in {self.rows} rows, equal bit for bit"
        if self.different == 0:
            return f"{self.level}: nothing to compare ({self.rows} rows, {self.records} records)"
        where = f"first at {self.first_ts}: {self.first_difference}"
        return f"{self.level}: {self.different} of {self.rows} rows differ, {where}"


def compare(level: str, comparisons: Iterable[Comparison]) -> Parity:
    """Compare row by row, to the last bit (a NaN equals itself)."""
    rows = records = different = 0
    first_ts, first = None, ""
    for row_ts, written, again in comparisons:
        rows += 1
        records += written.size
        if written.tobytes() == again.tobytes():
            continue
        different += 1
        if first_ts is None:
            first_ts, first = row_ts, difference(written, again)
    return Parity(level, rows, records, different, first_ts, first)


def difference(written: Records, again: Records) -> str:
    """The first field that differs between two arrays of records, in words."""
    if written.size != again.size:
        return f"{written.size} records written, {again.size} replayed"
    for index in range(written.size):
        for name in written.dtype.names or ():
            ours, theirs = written[name][index], again[name][index]
            if ours.tobytes() != theirs.tobytes():
                return f"record {index}, {name}: {ours} written, {theirs} replayed"
    return "padding alone"
