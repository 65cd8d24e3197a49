"""What the search over networks may try: settings of a network and its training, between the bounds of the settings."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from modeling.parameters import (
    CnnParameters,
    NetworkParameters,
    SearchParameters,
    TrainingParameters,
    TransformerParameters,
)

if TYPE_CHECKING:
    import optuna

_TRAINED: Final = ("learning_rate", "focal_gamma")  # searched settings of the training; the others are the network's


@dataclass(frozen=True)
class Candidate:
    """One point of the search space."""

    network: NetworkParameters
    training: TrainingParameters


@dataclass(frozen=True)
class NetworkSpace:
    """Networks around a configured one, which is the first to be tried; see modeling.search.Space.

    It can always be drawn, also where it lies beyond the bounds.
    """

    bounds: SearchParameters
    start: Candidate

    @property
    def first(self) -> dict[str, Any]:
        """What the search varies, as it is configured."""
        network, training = self.start.network, self.start.training
        searched = {name: getattr(training, name) for name in _TRAINED} | {
            "dropout": network.dropout,
            "width": network.width,
        }
        match network:
            case CnnParameters():
                return searched | {"dilation_growth": network.dilation_growth}
            case TransformerParameters():
                return searched | {"heads": network.heads}
        return searched

    def suggested(self, trial: "optuna.Trial") -> dict[str, Any]:
        """Settings of one trial."""
        bounds, first = self.bounds, self.first
        drawn = {
            "learning_rate": trial.suggest_float(
                "learning_rate", *_holding(bounds.learning_rate, first["learning_rate"]), log=True
            ),
            "focal_gamma": trial.suggest_float("focal_gamma", *_holding(bounds.focal_gamma, first["focal_gamma"])),
            "dropout": trial.suggest_float("dropout", *_holding(bounds.dropout, first["dropout"])),
        }
        choices = {"width": bounds.widths, "dilation_growth": bounds.dilation_growths, "heads": bounds.heads}
        for name in sorted(choices.keys() & first.keys()):
            drawn[name] = trial.suggest_categorical(name, sorted({*choices[name], first[name]}))
        return drawn

    def candidate(self, settings: Mapping[str, Any]) -> Candidate:
        """The network of some settings; what is not searched is as configured."""
        trained = {name: settings[name] for name in _TRAINED}
        shape = {name: value for name, value in settings.items() if name not in _TRAINED}
        return Candidate(replace(self.start.network, **shape), replace(self.start.training, **trained))


def _holding(bounds: tuple[float, float], value: float) -> tuple[float, float]:
    return min(bounds[0], value), max(bounds[1], value)
