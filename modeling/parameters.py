"""Settings of the models: network, training, slices, search, calibration and baselines."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from market.errors import ConfigError

WIDTHS: Final = (64, 256)
MEMORY_ROWS: Final = (256, 1024)
DROPOUTS: Final = (0.05, 0.15)
LEARNING_RATES: Final = (1e-4, 1e-3)
FOCAL_GAMMAS: Final = (1.5, 2.0)
PATIENCES: Final = (5, 10)


def _within(settings: Any, key: str, low: float, high: float) -> None:
    value = getattr(settings, key)
    if not low <= value <= high:
        raise ConfigError(f"{key}={value} is outside the allowed {low} to {high}")


def _above_zero(settings: Any, *keys: str) -> None:
    for key in keys:
        if not getattr(settings, key) > 0:
            raise ConfigError(f"{key}={getattr(settings, key)} must be above 0")


def _subrange(settings: Any, key: str, low: float, high: float) -> None:
    first, last = getattr(settings, key)
    if not low <= first <= last <= high:
        raise ConfigError(f"{key}={first} to {last} must rise within the allowed {low} to {high}")


def _one_of(settings: Any, key: str, *allowed: str) -> None:
    if getattr(settings, key) not in allowed:
        raise ConfigError(f"{key}={getattr(settings, key)!r} is not one of {sorted(allowed)}")


@dataclass(frozen=True, slots=True)
class CnnParameters:
    """Shape of the dilated causal network; its branches' base dilations follow from windows and row interval."""

    kind: Literal["cnn"]
    width: int  # channels of every layer
    depth: int  # dilated blocks in each branch
    kernel_size: int  # taps of each convolution
    dilation_growth: int  # each block's dilation over the one before
    dropout: float  # share of channels dropped in training

    def __post_init__(self) -> None:
        _one_of(self, "kind", "cnn")
        _within(self, "width", *WIDTHS)
        _within(self, "depth", 1, 8)
        _within(self, "kernel_size", 2, 5)
        _within(self, "dilation_growth", 1, 4)
        _within(self, "dropout", *DROPOUTS)


@dataclass(frozen=True, slots=True)
class TransformerParameters:
    """Shape of the causal transformer: each row attends to the band of rows that ends with it."""

    kind: Literal["transformer"]
    width: int  # channels of every layer
    depth: int  # blocks of attention in each branch
    heads: int  # of each attention; they divide the width
    band_rows: int  # rows that a row attends to, itself included
    expansion: int  # width of the feed-forward part over that of the layer
    dropout: float  # share of channels dropped in training

    def __post_init__(self) -> None:
        _one_of(self, "kind", "transformer")
        _within(self, "width", *WIDTHS)
        _within(self, "depth", 1, 8)
        _within(self, "heads", 1, 16)
        _within(self, "band_rows", *MEMORY_ROWS)
        _within(self, "expansion", 1, 4)
        _within(self, "dropout", *DROPOUTS)
        if self.width % self.heads:
            raise ConfigError(f"heads={self.heads} must divide width={self.width}")


@dataclass(frozen=True, slots=True)
class GruParameters:
    """Shape of the gated recurrent network."""

    kind: Literal["gru"]
    width: int  # channels of every layer
    depth: int  # recurrent layers in each branch
    settle_rows: int  # rows that a fresh state sees before its first forecast, in training as in trading
    dropout: float  # share of channels dropped in training

    def __post_init__(self) -> None:
        _one_of(self, "kind", "gru")
        _within(self, "width", *WIDTHS)
        _within(self, "depth", 1, 4)
        _within(self, "settle_rows", *MEMORY_ROWS)
        _within(self, "dropout", *DROPOUTS)


NetworkParameters = CnnParameters | TransformerParameters | GruParameters


def network_parameters(values: Mapping[str, Any]) -> NetworkParameters:
    """The settings of a network from plain values, ``kind`` among them.

    Raises ConfigError if the kind is unknown, or a key is missing or unknown.
    """
    kinds = {"cnn": CnnParameters, "transformer": TransformerParameters, "gru": GruParameters}
    if values.get("kind") not in kinds:
        raise ConfigError(f"kind={values.get('kind')!r} is not one of {sorted(kinds)}")
    kind = kinds[values["kind"]]
    wanted = [item.name for item in fields(kind)]
    if set(values) != set(wanted):
        raise ConfigError(f"a {values['kind']} has the settings {wanted}, not {sorted(values)}")
    return kind(**values)


def sibling(network: NetworkParameters, kind: str) -> NetworkParameters:
    """The network itself if it is of that kind, else one of that kind with its width, depth and dropout.

    It has the shortest memory that is allowed, heads of sixteen channels and a feed-forward part of twice the width.
    Raises ConfigError if the kind is unknown.
    """
    if network.kind == kind:
        return network
    shared = {"kind": kind, "width": network.width, "dropout": network.dropout}
    shapes: dict[str, dict[str, int]] = {
        "cnn": {"depth": network.depth, "kernel_size": 3, "dilation_growth": 2},
        "transformer": {"depth": 1, "heads": max(1, network.width // 16), "band_rows": MEMORY_ROWS[0], "expansion": 2},
        "gru": {"depth": 1, "settle_rows": MEMORY_ROWS[0]},
    }
    return network_parameters(shared | shapes.get(kind, {}))


@dataclass(frozen=True, slots=True)
class TrainingParameters:
    """How one network is fitted."""

    learning_rate: float  # of AdamW
    weight_decay: float  # of AdamW
    label_smoothing: float  # probability spread evenly over the three classes
    focal_gamma: float  # exponent of the focal loss
    huber_delta_sigma: float  # where the return loss turns linear, training standard deviations
    return_weight: float  # weight of the return loss beside the class loss
    cost_weight: float  # weight of the penalty on trades whose cost exceeds the predicted edge
    gradient_clip: float  # largest norm of a gradient
    averaging: float  # share that the kept weights, a running mean, hold of themselves at each step; 0: the newest ones
    mixup_alpha: float  # Beta of the share that a chunk keeps when mixed with one of its regime; 0: never mixed
    cutout_share: float  # share of chunks in which some rows repeat the one before them
    cutout_least_rows: int  # rows of such a cut, at least
    cutout_most_rows: int  # and at most
    mirror_share: float  # share of chunks seen in a mirror, up and down, bid and ask in each other's place
    high_volatility_share: float  # of the total weight of training rows, at most
    epochs: int  # at most
    patience: int  # evaluations without a better validation loss before it stops
    chunk_rows: int  # rows predicted in one pass
    batch_chunks: int  # chunks in one step of the optimiser
    part_rows: int  # rows of Train, and of the windows behind it, that are read and held at once
    seed: int
    accelerator: Literal["cpu", "gpu", "auto"]  # what it runs on; auto: a GPU where there is one
    devices: int  # of that kind, on this machine; more than one: the fit starts a process for each
    strategy: Literal["auto", "ddp"]  # how several devices share a fit
    precision: Literal["auto", "fp32", "bf16"]  # auto: bf16 products on a GPU, else float32

    def __post_init__(self) -> None:
        _one_of(self, "accelerator", "cpu", "gpu", "auto")
        _one_of(self, "strategy", "auto", "ddp")
        _one_of(self, "precision", "auto", "fp32", "bf16")
        _within(self, "devices", 1, 1024)
        _within(self, "mixup_alpha", 0.0, 1.0)
        _within(self, "cutout_share", 0.0, 1.0)
        _within(self, "mirror_share", 0.0, 1.0)
        _within(self, "averaging", 0.0, 0.9999)
        _within(self, "cutout_least_rows", 1, self.cutout_most_rows)
        _within(self, "high_volatility_share", 0.01, 1.0)
        _within(self, "learning_rate", *LEARNING_RATES)
        _within(self, "weight_decay", 0.0, 1e-2)
        _within(self, "label_smoothing", 0.0, 0.1)
        _within(self, "focal_gamma", *FOCAL_GAMMAS)
        _within(self, "return_weight", 0.0, 10.0)
        _within(self, "cost_weight", 0.0, 10.0)
        _within(self, "patience", *PATIENCES)
        _within(self, "part_rows", self.chunk_rows, 1_000_000_000)
        _within(self, "seed", 0, 2**31 - 1)
        _above_zero(self, "huber_delta_sigma", "gradient_clip", "epochs", "chunk_rows", "batch_chunks")


@dataclass(frozen=True, slots=True)
class EnsembleParameters:
    """How many networks answer together, and what they are."""

    method: Literal["ensemble", "mc_dropout"]  # networks of their own seeds, or draws of one network's head
    members: int  # networks of an ensemble; 1: one network alone
    networks: tuple[NetworkParameters, ...]  # shapes that members take in turn behind the one that was searched for
    passes: int  # draws of mc_dropout
    stacking: bool  # members count as earlier slices' Test rows say; else, and where there are none, all alike

    def __post_init__(self) -> None:
        _one_of(self, "method", "ensemble", "mc_dropout")
        _within(self, "members", 1, 16)
        _within(self, "passes", 2, 32)


@dataclass(frozen=True, slots=True)
class WalkForwardParameters:
    """Lengths of the windows of a slice, seconds."""

    train_s: float
    val_s: float
    test_s: float
    purge_s: float  # between two windows: at least the longest horizon, latency and clock error
    search_share: float  # of Val that search and early stopping see
    calibration_share: float  # of Val behind them that calibration and decision rules see; conformal scores the rest
    warm_start: bool  # whether a slice's members start from the weights of the slice before, where they fit

    def __post_init__(self) -> None:
        _above_zero(self, "train_s", "val_s", "test_s", "purge_s")
        _within(self, "search_share", 0.1, 0.9)
        _within(self, "calibration_share", 0.1, 0.9)
        behind_s = (self.val_s - self.purge_s) * (1 - self.search_share)
        if behind_s <= self.purge_s:
            raise ConfigError(
                f"purge_s={self.purge_s:g} must be shorter than the {max(behind_s, 0):g} s of val_s={self.val_s:g} "
                f"behind search_share={self.search_share:g}, which it splits"
            )


@dataclass(frozen=True, slots=True)
class SearchParameters:
    """How many candidates a study tries, by how many processes, and between which bounds.

    The settings of the network and the training that are configured are the first candidate.
    """

    trials: int  # finished trials, failures included, after which the study ends
    startup_trials: int  # drawn at random before the sampler learns from those before
    prune_after_trials: int  # trials that came to a value before any is given up for being behind their median
    prune_after_epochs: int  # of a trial before it may be given up: the first ones say who learns fast, not how well
    workers: int  # processes of this machine that search the study at once
    storage: str  # empty: a journal file below TICKLOOP_VAR; or the URL of a database for many machines, no password
    learning_rate: tuple[float, float]  # lowest and highest, drawn on a log scale
    focal_gamma: tuple[float, float]  # lowest and highest
    dropout: tuple[float, float]  # lowest and highest
    widths: tuple[int, ...]
    dilation_growths: tuple[int, ...]  # of a cnn
    heads: tuple[int, ...]  # of a transformer; they divide every width
    seed: int

    def __post_init__(self) -> None:
        _above_zero(self, "trials", "startup_trials")
        _within(self, "prune_after_trials", 1, 1_000_000)
        _within(self, "prune_after_epochs", 0, 1_000_000)
        _within(self, "workers", 1, 1024)
        _subrange(self, "learning_rate", *LEARNING_RATES)
        _subrange(self, "focal_gamma", *FOCAL_GAMMAS)
        _subrange(self, "dropout", *DROPOUTS)
        if not self.widths or not all(WIDTHS[0] <= width <= WIDTHS[1] for width in self.widths):
            raise ConfigError(f"widths={list(self.widths)} must name widths from {WIDTHS[0]} to {WIDTHS[1]}")
        if not self.dilation_growths or not all(1 <= growth <= 4 for growth in self.dilation_growths):
            raise ConfigError(f"dilation_growths={list(self.dilation_growths)} must name growths from 1 to 4")
        if not self.heads or any(heads < 1 or width % heads for heads in self.heads for width in self.widths):
            raise ConfigError(f"heads={list(self.heads)} must name divisors of widths={list(self.widths)}")
        if self.storage and (not urlsplit(self.storage).scheme or urlsplit(self.storage).password):
            raise ConfigError("storage must be the URL of a database without a password: TICKLOOP_STUDY_URL holds that")
        _within(self, "seed", 0, 2**31 - 1)

    @property
    def space(self) -> "SearchParameters":
        """The same search wherever it runs: what it tries and how many, whoever does it and wherever it is kept."""
        return replace(self, workers=1, storage="")


@dataclass(frozen=True, slots=True)
class CalibrationParameters:
    """How raw probabilities are bent back to frequencies."""

    method: Literal["vector", "temperature"]
    ridge: float  # pull towards leaving the probabilities alone; an average log-loss unit

    def __post_init__(self) -> None:
        if self.method not in ("vector", "temperature"):
            raise ConfigError(f"method={self.method!r} is not one of ['temperature', 'vector']")
        _within(self, "ridge", 0.0, 1.0)


def _overlapping(horizon_ms: int, row_interval_ms: int) -> float:
    """Labels of consecutive rows that overlap, at least 1."""
    return max(1.0, horizon_ms / row_interval_ms)


@dataclass(frozen=True, slots=True)
class AdaptiveParameters:
    """How calibration goes on learning, in a session as on Test, from each label that becomes known."""

    rate: float  # of the shifts of log-probabilities: how far one label moves them; 0: they stay
    scale_rate: float  # of their scale, likewise

    def __post_init__(self) -> None:
        _within(self, "rate", 0.0, 0.5)
        _within(self, "scale_rate", 0.0, 0.5)

    def of_rows(self, horizon_ms: int, row_interval_ms: int) -> "AdaptiveParameters":
        """The same for labels of every row: as many as overlap move both together as far as one alone would.

        >>> AdaptiveParameters(0.05, 0.01).of_rows(1000, 20)
        AdaptiveParameters(rate=0.001, scale_rate=0.0002)
        """
        overlapping = _overlapping(horizon_ms, row_interval_ms)
        return AdaptiveParameters(self.rate / overlapping, self.scale_rate / overlapping)


@dataclass(frozen=True, slots=True)
class ConformalParameters:
    """Sets and intervals that hold what comes as often as asked, however the market drifts."""

    miscoverage: float  # share of labels that may lie outside
    rate: float  # how far one label moves the level; 0: split conformal, which does not adapt
    window: int  # newest known scores that the quantile is taken over

    def __post_init__(self) -> None:
        _within(self, "miscoverage", 0.01, 0.5)
        _within(self, "rate", 0.0, 0.1)
        _within(self, "window", 50, 100_000)

    def of_rows(self, horizon_ms: int, row_interval_ms: int) -> "ConformalParameters":
        """The same for labels of every row: as many as overlap move the level together as far as one alone would.

        >>> ConformalParameters(0.1, 0.005, 1000).of_rows(1000, 20).rate
        0.0001
        """
        return replace(self, rate=self.rate / _overlapping(horizon_ms, row_interval_ms))


@dataclass(frozen=True, slots=True)
class BaselineParameters:
    """The rules that stand beside every model."""

    imbalance_feature: str  # catalogued feature that the imbalance rule reads
    quantile_smoothing: float  # where the absolute loss of the median turns quadratic, standard deviations

    def __post_init__(self) -> None:
        if not self.imbalance_feature:
            raise ConfigError("imbalance_feature='' must name a catalogued feature")
        _within(self, "quantile_smoothing", 1e-3, 1.0)


@dataclass(frozen=True, slots=True)
class LearnerParameters:
    """Logistic and LightGBM beside every model, on its rows and features.

    LightGBM's settings are searched as the network's are: ``search.trials`` for each cell.
    """

    logistic_ridge: float  # pull of the coefficients of standardised features to 0, beside a mean log-loss
    most_rows: int  # of Train that learners and rules are fitted on, the newest; in whole parts of it
    lightgbm_rounds: int  # trees for each class, at most; it stops earlier by Val's first part
    lightgbm_patience: int  # rounds without a better validation loss before it stops
    lightgbm_leaves: tuple[int, ...]  # leaves of a tree to choose from
    lightgbm_learning_rate: tuple[float, float]  # lowest and highest, drawn on a log scale
    lightgbm_leaf_rows: tuple[int, int]  # rows that a leaf must hold: lowest and highest
    lightgbm_feature_share: tuple[float, float]  # of the features that a tree may use: lowest and highest
    seed: int

    def __post_init__(self) -> None:
        _within(self, "logistic_ridge", 0.0, 1.0)
        _within(self, "most_rows", 1, 1_000_000_000)
        _within(self, "lightgbm_rounds", 1, 10_000)
        _within(self, "lightgbm_patience", 1, 1000)
        if not self.lightgbm_leaves or not all(2 <= leaves <= 1024 for leaves in self.lightgbm_leaves):
            raise ConfigError(f"lightgbm_leaves={list(self.lightgbm_leaves)} must name numbers from 2 to 1024")
        _subrange(self, "lightgbm_learning_rate", 1e-3, 1.0)
        _subrange(self, "lightgbm_leaf_rows", 1, 100_000)
        _subrange(self, "lightgbm_feature_share", 0.01, 1.0)
        _within(self, "seed", 0, 2**31 - 1)
