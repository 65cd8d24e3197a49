"""What is learnt, and how: the parameters of models under the ``models`` of a profile."""

from dataclasses import dataclass, replace

from market.errors import ConfigError
from modeling.parameters import (
    AdaptiveParameters,
    BaselineParameters,
    CalibrationParameters,
    CnnParameters,
    ConformalParameters,
    EnsembleParameters,
    LearnerParameters,
    NetworkParameters,
    SearchParameters,
    TrainingParameters,
    WalkForwardParameters,
)


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """The models: horizons, network, training, ensemble, slices, search, calibration, conformal sets, baselines."""

    horizons_ms: tuple[int, ...]  # those of labels.horizons_ms that models learn; the purge covers the longest
    network: NetworkParameters
    training: TrainingParameters
    ensemble: EnsembleParameters
    walk_forward: WalkForwardParameters
    search: SearchParameters
    calibration: CalibrationParameters
    adaptive_calibration: AdaptiveParameters
    conformal: ConformalParameters
    baselines: BaselineParameters
    learners: LearnerParameters
    step_budget_us: float  # of one streaming step: slower candidates are pruned, slower bundles refused
    least_class_rows: int  # rows of each class that Train needs to teach a cell

    @property
    def networks(self) -> tuple[NetworkParameters, ...]:
        """The longest memory that the search may try, and the further members."""
        network = self.network
        if isinstance(network, CnnParameters):
            growth = max(*self.search.dilation_growths, network.dilation_growth)
            network = replace(network, dilation_growth=growth)
        return network, *self.ensemble.networks

    def __post_init__(self) -> None:
        if not self.step_budget_us > 0:
            raise ConfigError(f"step_budget_us={self.step_budget_us} must be above 0")
        if self.least_class_rows < 1:
            raise ConfigError(f"least_class_rows={self.least_class_rows} must be at least 1")
        devices, workers = self.training.devices, self.search.workers
        if devices > 1 and workers > 1:  # a worker may start no processes, and all would queue at the same devices
            raise ConfigError(f"search.workers={workers} must be 1 where training.devices={devices} is above 1")
