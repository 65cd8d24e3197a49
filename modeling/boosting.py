"""LightGBM on the rows of one cell, its settings searched as a network's are; imported where it is fitted."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from modeling.forecast import CLASSES
from modeling.parameters import LearnerParameters, SearchParameters

if TYPE_CHECKING:
    import lightgbm
    import optuna

    from modeling.search import Report, Score, Trial

Doubles = NDArray[np.float64]
Forecast = Callable[[Doubles], Doubles]  # (N, features) -> (N, 3)
LEAVES, LEARNING_RATE, LEAF_ROWS, FEATURE_SHARE = 31, 0.1, 20, 1.0  # LightGBM's own defaults
_LOSS: Final = "multi_logloss"


@dataclass(frozen=True)
class CellRows:
    """The rows of one cell that can be learnt from; ``truth`` is 0, 1 or 2."""

    cell: str
    values: Doubles  # (N, features)
    truth: NDArray[np.int64]
    weights: Doubles


@dataclass(frozen=True)
class Trees:
    """Settings of LightGBM that are searched, by the names that it gives them."""

    num_leaves: int
    learning_rate: float
    min_data_in_leaf: int
    feature_fraction: float


class Boosted(NamedTuple):
    """The best of a cell's searched forecasts, and everything that was tried for it."""

    forecast: Forecast
    trials: "tuple[Trial, ...]"


@dataclass(frozen=True)
class TreeSpace:
    """LightGBM's settings between their bounds; its own defaults, as far as these allow, are the first to be tried."""

    bounds: LearnerParameters

    @property
    def first(self) -> dict[str, Any]:
        """LightGBM's own defaults, each moved to the nearest that is allowed."""
        bounds = self.bounds
        leaves = min(bounds.lightgbm_leaves, key=lambda leaves: (abs(leaves - LEAVES), leaves))
        rate, share = (
            float(np.clip(value, *allowed))
            for value, allowed in (
                (LEARNING_RATE, bounds.lightgbm_learning_rate),
                (FEATURE_SHARE, bounds.lightgbm_feature_share),
            )
        )
        return asdict(Trees(leaves, rate, int(np.clip(LEAF_ROWS, *bounds.lightgbm_leaf_rows)), share))

    def suggested(self, trial: "optuna.Trial") -> dict[str, Any]:
        """Settings of one trial."""
        bounds = self.bounds
        return {
            "num_leaves": trial.suggest_categorical("num_leaves", bounds.lightgbm_leaves),
            "learning_rate": trial.suggest_float("learning_rate", *bounds.lightgbm_learning_rate, log=True),
            "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", *bounds.lightgbm_leaf_rows),
            "feature_fraction": trial.suggest_float("feature_fraction", *bounds.lightgbm_feature_share),
        }

    def candidate(self, settings: Mapping[str, Any]) -> Trees:
        """The settings by name."""
        return Trees(**settings)


def fit_boosted(rows: CellRows, judge: CellRows, parameters: LearnerParameters, budget: SearchParameters) -> Boosted:
    """The trial of least validation loss; the same trees from the same seed, on one thread.

    judge : rows of Val, by which each trial stops and the search chooses
    budget : of the network's search: trials, sampler's seed, and when it learns; none is pruned
    """
    from optuna.storages import InMemoryStorage

    from modeling.search import Alone, ledger_lines, open_study, search

    study, bench = open_study(f"lightgbm/{rows.cell}", InMemoryStorage()), _Bench(rows, judge, parameters)
    found = search(study, budget, TreeSpace(parameters), bench.worth, lambda _: None, crew=Alone())
    return Boosted(partial(_forecast, bench.fits[found]), tuple(ledger_lines(study)))


class _Bench:
    """What every trial of a cell is fitted and judged on, and the trees that came of each."""

    def __init__(self, rows: CellRows, judge: CellRows, parameters: LearnerParameters) -> None:
        import lightgbm

        self._train = lightgbm.Dataset(rows.values, rows.truth, weight=rows.weights, free_raw_data=False)
        self._val = lightgbm.Dataset(judge.values, judge.truth, reference=self._train, free_raw_data=False)
        shares = np.bincount(rows.truth, weights=rows.weights, minlength=CLASSES) / rows.weights.sum()
        self._prior_nll = float(-np.log(shares)[judge.truth].mean())
        self._parameters = parameters
        self.fits: dict[Trees, lightgbm.Booster] = {}

    def worth(self, trees: Trees, _: "Report") -> "Score":
        """Log-loss on Val, the less the better.

        No round is told: after the first tree whoever learns slowly is behind, so a pruner would leave the fast alone.
        """
        import lightgbm

        from modeling.search import Score

        settings, patience = _fixed(self._parameters) | asdict(trees), self._parameters.lightgbm_patience
        stopping, rounds = lightgbm.early_stopping(patience, verbose=False), self._parameters.lightgbm_rounds
        fit = lightgbm.train(settings, self._train, rounds, valid_sets=[self._val], callbacks=[stopping])
        self.fits[trees] = fit
        nll = float(fit.best_score["valid_0"][_LOSS])
        return Score(-nll, 1 - nll / self._prior_nll, (), ())


def _fixed(parameters: LearnerParameters) -> dict[str, Any]:
    return {
        "objective": "multiclass",
        "num_class": CLASSES,
        "metric": _LOSS,
        "seed": parameters.seed,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "feature_pre_filter": False,  # trials share a data set but not their least rows in a leaf
        "verbosity": -1,
    }


def _forecast(fit: "lightgbm.Booster", values: Doubles) -> Doubles:
    return np.asarray(fit.predict(values, num_iteration=fit.best_iteration, num_threads=1), np.float64)
