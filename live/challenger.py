"""How far the challenger, which decides in shadow, goes along with the champion; the meters read it."""

import numpy as np
from numpy.typing import NDArray

from live.desk import Desk
from live.plan import MODEL_DESK
from monitoring.metrics import Meters
from storage.journal import CHALLENGER_DESK


class ShadowFigures:
    """Compares the targets of both models on the rows that both have decided."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._champion: tuple[int, int] | None = None  # row_ts, side of its target; None without a model

    def row(self, desk: Desk, record: NDArray[np.void]) -> None:
        """One decision of a desk; the champion's comes first in every row.

        record : DECISION, shape (1,)
        """
        if not desk.bundle_sha:
            self._champion = None if desk.place == MODEL_DESK else self._champion
            return
        row_ts, side = int(record["row_ts"][0]), int(np.sign(record["target"][0]))
        if desk.place == MODEL_DESK:
            self._champion = row_ts, side
        elif desk.place == CHALLENGER_DESK and self._champion and self._champion[0] == row_ts:
            self._meters.count("shadow_rows", agree="yes" if self._champion[1] == side else "no")
