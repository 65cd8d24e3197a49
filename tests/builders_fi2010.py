"""Small files of the shape of FI-2010, in which the imbalance of the touch leads the labels."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modeling.fi2010 import FEATURES, HORIZONS, SETUP_2

COLUMNS = {"Train": 900, "Test": 220}


def matrix(columns: int, seed: int) -> NDArray[np.float64]:
    """149 rows: book, hand-made features, labels 1 up, 2 stationary, 3 down."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(FEATURES, columns))
    edge = features[3] - features[1] + 0.3 * rng.normal(size=(len(HORIZONS), columns))
    return np.vstack((features, 2.0 - (edge > 0.8) + (edge < -0.8)))


def write_files(folder: Path, normalisation: str = "ZScore") -> Path:
    """The four files of setup 2, in the folders that the archive unpacks to."""
    for side, folds in (("Train", (SETUP_2.train,)), ("Test", SETUP_2.tests)):
        below = folder / f"NoAuction_{normalisation}_{side}ing"
        below.mkdir(parents=True)
        for fold in folds:
            values = matrix(COLUMNS[side], len(side) * 10 + fold)
            np.savetxt(below / f"{side}_Dst_NoAuction_{normalisation}_CF_{fold}.txt", values, fmt="  %.7e")
    return folder
