"""FI-2010, the public benchmark of order-book forecasting: its matrices, splits, windows and published scores.

A matrix has 149 rows and a column for every ten events of five Finnish stocks, one stock behind the other: 40 rows of
book (ask price, ask size, bid price, bid size; ten levels), 104 hand-made features, then one row of labels for each
horizon of 10 to 100 events: 1 up, 2 stationary, 3 down, of a smoothed future mid against the present one. Neither
stock nor day is marked in a file, so that windows run across both, here as in every published score.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.regimes import UNKNOWN
from market.errors import DataError, NotEnoughData
from modeling.forecast import Cell, ForecastShape
from modeling.parameters import CnnParameters
from modeling.training_rows import TrainingSet

Doubles = NDArray[np.float64]

ROWS: Final = 149
FEATURES: Final = 144
BOOK: Final = 40
HORIZONS: Final = (10, 20, 30, 50, 100)  # events
WINDOW: Final = 100  # columns that a forecast may read: T of the published scores
EVENTS_A_COLUMN: Final = 10
TRAIN_SHARE: Final = 0.8  # of the training file; what follows in it is for early stopping and calibration
PUBLISHED_WINDOWS: Final = {254_750: (203_701, 50_851, 139_488)}  # of set-up 2, by the columns of its training file
IMBALANCE: Final = "imbalance"
NAMES: Final = (
    *(f"{side}_{what}_{level}" for level in range(1, 11) for side in ("ask", "bid") for what in ("price", "size")),
    IMBALANCE,
)

PUBLISHED: Final = {  # macro-F1 in %, by horizon; the weighted 83.4 often quoted for DeepLOB is another measure
    "DeepLOB, re-run": {10: 71.0, 20: 62.0, 50: 75.0, 100: 78.0},
    "BiN-CTABL": {10: 81.0, 20: 72.0, 50: 88.0, 100: 92.0},
    "TLOB": {10: 82.0, 20: 83.0, 50: 90.0, 100: 93.0},
}


class Split(NamedTuple):
    """Which files train and which test: file k of Train holds the days up to k, file k of Test the day after."""

    name: str
    train: int
    tests: tuple[int, ...]


SETUP_2: Final = Split("setup2", 7, (7, 8, 9))  # seven days train, the last three test
SPLITS: Final = {SETUP_2.name: SETUP_2} | {
    f"anchored{fold}": Split(f"anchored{fold}", fold, (fold,)) for fold in range(1, 10)
}


class Matrix(NamedTuple):
    """One file."""

    book: NDArray[np.float32]  # (columns, 40)
    classes: NDArray[np.int8]  # (columns, 5) -1 down, 0 stationary, +1 up


class Files(NamedTuple):
    """The files of a split."""

    train: Matrix
    tests: tuple[Matrix, ...]


@dataclass(frozen=True)
class Parts:
    """What a split trains, stops and calibrates, and is scored on; each part begins with an empty memory."""

    train: TrainingSet
    val: TrainingSet
    test: TrainingSet

    @property
    def windows(self) -> tuple[int, int, int]:
        """How many windows of T columns each part has."""
        counts = (window_count(len(part)) for part in (self.train, self.val, self.test))
        return next(counts), next(counts), next(counts)


def window_count(columns: int) -> int:
    """Windows of T = 100 columns in a part. Raises NotEnoughData if there is none.

    >>> [window_count(columns) for columns in (203_800, 50_950, 55_478 + 52_172 + 31_937)]
    [203701, 50851, 139488]
    """
    if columns < WINDOW:
        raise NotEnoughData(f"{columns} columns hold no window of {WINDOW}")
    return columns - WINDOW + 1


def matrix_of(rows: Iterable[Doubles]) -> Matrix:
    """A file's rows as book and classes. Raises DataError unless its shape and labels are those of FI-2010."""
    book, classes, columns = [], [], None
    for number, row in enumerate(rows):
        columns = columns or len(row)
        if len(row) != columns:
            raise DataError(f"row {number} has {len(row)} columns, row 0 has {columns}")
        if number < BOOK:
            book.append(_finite(row, number).astype(np.float32))
        elif FEATURES <= number < ROWS:
            classes.append(_classes(row, number))
    if (count := len(book) and number + 1) != ROWS:
        raise DataError(f"{count} rows, FI-2010 has {ROWS}")
    return Matrix(np.column_stack(book), np.column_stack(classes))


def _finite(row: Doubles, number: int) -> Doubles:
    if not np.isfinite(row).all():
        raise DataError(f"row {number} holds a number that is not finite")
    return row


def _classes(row: Doubles, number: int) -> NDArray[np.int8]:
    """Up, stationary and down are 1, 2 and 3 in a file."""
    wrong = ~np.isin(row, (1, 2, 3))
    if wrong.any():
        raise DataError(f"row {number} holds the label {row[wrong][0]:g}; labels are 1, 2 and 3")
    return (2 - row).astype(np.int8)


def parts_of(files: Files) -> Parts:
    """Train is the first 80 % of the training file, Val the rest of it, Test all test files one behind the other.

    Raises NotEnoughData if a part holds no window, DataError if the training file is that of the published set-up 2 and
    the parts do not hold its windows.
    """
    cut = int(len(files.train.book) * TRAIN_SHARE)
    book, classes = files.train
    train, val = Matrix(book[:cut], classes[:cut]), Matrix(book[cut:], classes[cut:])
    test = Matrix(*(np.concatenate(arrays) for arrays in zip(*files.tests, strict=True)))
    parts = Parts(training_rows(train), training_rows(val), training_rows(test))
    published = PUBLISHED_WINDOWS.get(len(book), parts.windows)
    if parts.windows != published:
        raise DataError(f"set-up 2 holds {published} windows of {WINDOW} columns, these files {parts.windows}")
    return parts


def shape_of() -> ForecastShape:
    """A cell for each horizon; events stand where milliseconds do, and there are no fees."""
    return ForecastShape(tuple(Cell(events, 0.0) for events in HORIZONS))


def training_rows(matrix: Matrix) -> TrainingSet:
    """Columns as rows: book and imbalance, with the direction where a return would stand, as the files hold none.

    A row's time is its place, and a label of k events is known k / 10 rows later.
    """
    places, count = np.arange(len(matrix.book)), len(matrix.book)
    ahead = np.array(HORIZONS) // EVENTS_A_COLUMN
    return TrainingSet(
        shape=shape_of(),
        row_ts=places,
        values=np.column_stack((matrix.book, matrix.book[:, 3] - matrix.book[:, 1])),
        valid=np.ones(count, np.bool_),
        classes=matrix.classes,
        gross_bp=matrix.classes.astype(np.float32),
        cost_bp=np.zeros((count, len(HORIZONS)), np.float32),
        known_ts=places[:, None] + ahead,
        over_ts=places,
        weights=np.ones(count, np.float32),
        regimes=np.full(count, UNKNOWN, np.int8),
    )


def branch_bases(network: CnnParameters) -> tuple[int, ...]:
    """Base dilations of up to three branches, the longest of which just fits in a window of T columns.

    Raises NotEnoughData if not even undilated blocks do.

    >>> branch_bases(CnnParameters("cnn", 64, 3, 3, 2, 0.1))
    (1, 3, 7)
    """
    reach = (network.kernel_size - 1) * sum(network.dilation_growth**block for block in range(network.depth))
    longest = (WINDOW - 1) // reach
    if not longest:
        raise NotEnoughData(f"a network that reaches {reach + 1} columns back does not fit in a window of {WINDOW}")
    return tuple(sorted({1, round(longest**0.5), longest}))
