"""The shape of a network as plain numbers, which training builds from and streaming lays its memory out by."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, NamedTuple

from market.errors import ModelError
from modeling import layout
from modeling.forecast import CLASSES, Cell, ForecastShape
from modeling.parameters import CnnParameters, GruParameters, NetworkParameters, TransformerParameters

Places = tuple[tuple[int, ...], ...]


class Layer(NamedTuple):
    """One layer as the compiled runtime packs it: its arrays in their order, its settings, the floats it remembers."""

    name: str
    kind: int  # of modeling.layout
    inputs: int
    arrays: dict[str, tuple[int, ...]]
    settings: tuple[int, ...] = ()
    memory: int = 0


@dataclass(frozen=True)
class Architecture:
    """What all networks share: branches over columns of a row, fused in the head. Made as one of the kinds below."""

    kind: ClassVar[str]
    endless: ClassVar[bool] = False  # whether a forecast depends on every row since the restart

    forecast: ForecastShape
    features: int  # numbers in a row
    columns: Places  # for each branch the features that it reads
    width: int
    dropout: float
    direct: bool = field(default=True, kw_only=True)  # whether the newest row also reaches the class scores by itself

    def __post_init__(self) -> None:
        if not self.columns or not all(
            branch and 0 <= min(branch) <= max(branch) < self.features for branch in self.columns
        ):
            raise ModelError(f"columns={self.columns} must name features 0 to {self.features - 1} for every branch")
        if self.width < 1:
            raise ModelError(f"width={self.width} must be above 0")

    @property
    def depth(self) -> int:
        """Blocks of each branch."""
        raise NotImplementedError

    def branch_rows(self, branch: int) -> int:
        """Rows, the newest included, that a branch's output at one row depends on, or that it needs to settle."""
        raise NotImplementedError

    def block(self, branch: int, place: int) -> Layer:
        """One block of a branch."""
        raise NotImplementedError

    @property
    def receptive_rows(self) -> int:
        """Consecutive valid rows, the newest included, before the first forecast."""
        return max(map(self.branch_rows, range(len(self.columns))))

    def layers(self) -> Iterator[Layer]:
        """Every layer in the order of the packed weights."""
        at = 0
        for branch, columns in enumerate(self.columns):
            yield Layer(
                f"branch{branch}.project", layout.LINEAR, len(columns), _linear(len(columns), self.width), (at,)
            )
            at += len(columns)
            yield from (self.block(branch, place) for place in range(self.depth))
        fused = len(self.columns) * self.width
        yield Layer("fuse", layout.LINEAR, fused, _linear(fused, self.width) | _norm(self.width))
        for name, count in (("classes", len(self.forecast.cells)), ("returns", len(self.forecast.horizons_ms))):
            yield Layer(name, layout.LINEAR, self.width, _linear(self.width, CLASSES * count))
        if self.direct:
            scores = CLASSES * len(self.forecast.cells)
            yield Layer("direct", layout.LINEAR, self.features, {"weight": (self.features, scores)})

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every array of weights by its full name."""
        return {f"{layer.name}.{part}": shape for layer in self.layers() for part, shape in layer.arrays.items()}

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, the inverse of ``architecture_from``."""
        return {**_listed(asdict(self)), **self.forecast.as_dict()}


@dataclass(frozen=True)
class CnnArchitecture(Architecture):
    """Branches of residual convolutions whose taps lie ever further apart."""

    kind = "cnn"

    dilations: Places  # for each branch the dilation of each block, rows
    kernel_size: int

    def __post_init__(self) -> None:
        Architecture.__post_init__(self)
        if len(self.columns) != len(self.dilations):
            raise ModelError(f"{len(self.columns)} branches with columns and {len(self.dilations)} with dilations")
        if self.kernel_size < 1:
            raise ModelError(f"kernel_size={self.kernel_size} must be above 0")
        if len({len(branch) for branch in self.dilations}) != 1 or min(map(min, self.dilations), default=0) < 1:
            raise ModelError(f"dilations={self.dilations} must be above 0, and as many in each branch")

    @property
    def depth(self) -> int:
        """Blocks of each branch."""
        return len(self.dilations[0])

    def branch_rows(self, branch: int) -> int:
        """Rows, the newest included, that a branch's output at one row depends on."""
        return 1 + (self.kernel_size - 1) * sum(self.dilations[branch])

    def block(self, branch: int, place: int) -> Layer:
        """A convolution with a ring of the rows that its taps reach, and what the older ones bring to the next row."""
        inputs, dilation = self.kernel_size * self.width, self.dilations[branch][place]
        ring_rows = (self.kernel_size - 1) * dilation + 1
        arrays = _linear(inputs, self.width) | _norm(self.width)
        settings = dilation, ring_rows, self.kernel_size
        memory = (ring_rows + 1) * self.width
        return Layer(f"branch{branch}.block{place}", layout.DILATED, inputs, arrays, settings, memory)


@dataclass(frozen=True)
class TransformerArchitecture(Architecture):
    """Branches of pre-norm attention, each row over the band of rows that ends with it."""

    kind = "transformer"

    blocks: int  # of each branch
    heads: int
    band_rows: int  # that a row attends to, itself included
    hidden: int  # width inside the feed-forward part

    def __post_init__(self) -> None:
        Architecture.__post_init__(self)
        if min(self.blocks, self.heads, self.band_rows, self.hidden) < 1 or self.width % self.heads:
            sizes = f"blocks={self.blocks}, band_rows={self.band_rows}, hidden={self.hidden}"
            raise ModelError(f"{sizes} must be above 0, and heads={self.heads} divide width={self.width}")

    @property
    def depth(self) -> int:
        """Blocks of each branch."""
        return self.blocks

    def branch_rows(self, branch: int) -> int:
        """Rows, the newest included, that a branch's output at one row depends on."""
        return 1 + self.blocks * (self.band_rows - 1)

    def block(self, branch: int, place: int) -> Layer:
        """Attention with rolling keys and values, and its feed-forward part."""
        width, hidden = self.width, self.hidden
        arrays = {
            **_norm(width, "attend."),
            **_linear(width, 3 * width, "attend."),
            "attend.distance": (self.heads, self.band_rows),
            **_linear(width, width, "mix."),
            **_norm(width, "expand."),
            **_linear(width, hidden, "expand."),
            **_linear(hidden, width, "contract."),
        }
        settings = self.band_rows, self.heads, hidden
        memory = 2 * width * self.band_rows
        return Layer(f"branch{branch}.block{place}", layout.ATTENTION, width, arrays, settings, memory)


@dataclass(frozen=True)
class GruArchitecture(Architecture):
    """Branches of gated recurrent units, which start from nothing and are asked once they have settled."""

    kind = "gru"
    endless = True

    blocks: int  # recurrent layers of each branch
    settle_rows: int  # that a fresh state sees before the first forecast

    def __post_init__(self) -> None:
        Architecture.__post_init__(self)
        if min(self.blocks, self.settle_rows) < 1:
            raise ModelError(f"blocks={self.blocks} and settle_rows={self.settle_rows} must be above 0")

    @property
    def depth(self) -> int:
        """Recurrent layers of each branch."""
        return self.blocks

    def branch_rows(self, branch: int) -> int:
        """Rows that a fresh state sees before it is asked, the newest included."""
        return self.settle_rows

    def block(self, branch: int, place: int) -> Layer:
        """A recurrent layer with its hidden state; gates are reset, update, new."""
        arrays = _linear(self.width, 3 * self.width, "input.") | _linear(self.width, 3 * self.width, "hidden.")
        return Layer(f"branch{branch}.block{place}", layout.RECURRENT, self.width, arrays, (), self.width)


def _linear(inputs: int, outputs: int, prefix: str = "") -> dict[str, tuple[int, ...]]:
    return {f"{prefix}weight": (inputs, outputs), f"{prefix}bias": (outputs,)}


def _norm(width: int, prefix: str = "") -> dict[str, tuple[int, ...]]:
    return {f"{prefix}gain": (width,), f"{prefix}shift": (width,)}


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items() if key != "forecast"}
    return [_listed(item) for item in value] if isinstance(value, tuple) else value


KINDS: dict[str, type[Architecture]] = {
    kind.kind: kind for kind in (CnnArchitecture, TransformerArchitecture, GruArchitecture)
}


def architecture_from(kind: str, stored: Mapping[str, Any]) -> Architecture:
    """The architecture that ``as_dict`` wrote; one that says nothing of ``direct`` is older than that, and has none.

    Raises ModelError if the kind is unknown, or a key is missing or unknown.
    """
    if kind not in KINDS:
        raise ModelError(f"kind={kind!r} of a network is not one of {sorted(KINDS)}")
    wanted = {item.name for item in fields(KINDS[kind])} - {"forecast"} | {"cells"}
    described = {"direct": False, **stored}
    if set(described) != wanted:
        raise ModelError(f"a {kind} is described by {sorted(wanted)}, this one by {sorted(stored)}")
    rest = {key: _tupled(value) for key, value in described.items() if key != "cells"}
    return KINDS[kind](forecast=ForecastShape.from_dict(dict(stored)), **rest)


def other_architecture(network: Architecture, kind: str, stored: Mapping[str, Any]) -> str:
    """What keeps a network from taking over the weights of another one, in words; empty where nothing does."""
    wanted, found = ({"kind": name, **values} for name, values in ((network.kind, network.as_dict()), (kind, stored)))
    keys = [key for key in wanted | found if key != "dropout" and wanted.get(key) != found.get(key)]
    return ", ".join(f"{key} is {found.get(key)}, not {wanted.get(key)}" for key in keys)


def _tupled(value: Any) -> Any:
    return tuple(map(_tupled, value)) if isinstance(value, list) else value


def base_dilations(windows_ms: tuple[int, ...], row_interval_ms: int) -> tuple[int, ...]:
    """Dilation of the first block of each window's branch, rows.

    >>> base_dilations((50, 250, 1000), 20)
    (2, 12, 50)
    """
    return tuple(max(1, round(window / row_interval_ms)) for window in windows_ms)


def receptive_rows(parameters: NetworkParameters, bases: tuple[int, ...]) -> int:
    """Rows that a network of these settings reads for one forecast, whatever its columns and cells.

    >>> receptive_rows(CnnParameters("cnn", 64, 3, 3, 2, 0.1), (2, 12, 50))
    701
    """
    anything = ForecastShape((Cell(1, 0.0),))
    return architecture(parameters, ((0,),) * len(bases), bases, 1, anything).receptive_rows


def architecture(
    parameters: NetworkParameters, columns: Places, bases: tuple[int, ...], features: int, forecast: ForecastShape
) -> Architecture:
    """The network that the settings describe over ``features`` inputs, one branch for each base dilation."""
    shared = forecast, features, columns, parameters.width, parameters.dropout
    match parameters:
        case CnnParameters():
            growths = [parameters.dilation_growth**block for block in range(parameters.depth)]
            dilations = tuple(tuple(base * growth for growth in growths) for base in bases)
            return CnnArchitecture(*shared, dilations, parameters.kernel_size)
        case TransformerParameters():
            hidden = parameters.expansion * parameters.width
            return TransformerArchitecture(*shared, parameters.depth, parameters.heads, parameters.band_rows, hidden)
        case GruParameters():
            return GruArchitecture(*shared, parameters.depth, parameters.settle_rows)
