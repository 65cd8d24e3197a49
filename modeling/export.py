"""Fitted networks as ONNX: a window of rows in, the newest row's forecast out, for whoever runs models elsewhere.

The runner never reads it. What is exported is proved on rows: torch, ONNX Runtime and the streaming runtime agree.
"""

import io
import logging
import warnings
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from market.errors import ModelError
from modeling.forecast import Floats, ForecastShape
from modeling.networks.network import network_of
from modeling.snapshot import ModelSnapshot, shares_of
from modeling.streaming import forecaster_from, members_of

TOLERANCE: Final = 1e-5  # of probabilities; of returns relative to their size where that is above 1 bp
INPUT: Final = "rows"  # (windows, receptive_rows, features) float32
OUTPUT: Final = "forecasts"  # (windows, size) float32, laid out as modeling.forecast says
_SMALLEST: Final = 1e-12  # as modeling.calibration reads a probability
_OPSET: Final = 18
_WINDOWS: Final = 8  # that an export is proved on


class TorchForecaster(nn.Module):
    """A network or an ensemble as streaming forecasts it: mixed, calibrated, ready."""

    scale: Tensor
    bias: Tensor
    shares: Tensor  # (K, 1, cells, 1)

    def __init__(self, model: ModelSnapshot) -> None:
        super().__init__()
        members = members_of(model)
        self.shape = members[0][0].forecast
        self.receptive_rows = max(network.receptive_rows for network, _ in members)
        self.members = nn.ModuleList(network_of(network, weights) for network, weights in members)
        self.memories = [self.receptive_rows if n.endless else n.receptive_rows for n, _ in members]
        self.register_buffer("scale", torch.tensor(model.calibration.scale, dtype=torch.float32))
        self.register_buffer("bias", torch.tensor(model.calibration.bias, dtype=torch.float32))
        shares = torch.tensor(shares_of(model).T.copy(), dtype=torch.float32)  # (K, cells)
        self.register_buffer("shares", shares[:, None, :, None])

    def forward(self, rows: Tensor) -> Tensor:  # (B, receptive_rows, F) -> (B, size)
        said = [member(rows[:, -memory:]) for member, memory in zip(self.members, self.memories, strict=True)]
        probabilities = torch.stack([logits[:, -1].softmax(-1) for logits, _ in said])  # (K, B, cells, 3)
        returns = torch.stack([returns[:, -1] for _, returns in said])
        anchors = list(self.shape.anchors)
        by = self.shares[:, :, anchors] * probabilities[:, :, anchors].clamp_min(_SMALLEST)
        mixed = (by * returns).sum(0) / by.sum(0)
        bent = self._calibrated((self.shares * probabilities).sum(0))
        spread = self._spread(self._calibrated(probabilities), returns)
        ready = bent[:, 0, :1] * 0 + 1  # the exporter would make of ones_like a constant for two windows
        return torch.cat((bent.flatten(1), mixed.flatten(1), spread, ready), -1)

    def _calibrated(self, probabilities: Tensor) -> Tensor:
        return (probabilities.clamp_min(_SMALLEST).log() * self.scale + self.bias).softmax(-1)

    def _spread(self, probabilities: Tensor, returns: Tensor) -> Tensor:  # twice (K, B, cells, 3) -> (B, cells)
        expected = (probabilities * returns[:, :, list(self.shape.horizon_of_cell)]).sum(-1)
        shares = self.shares[..., 0]
        mean = (shares * expected).sum(0)
        return (shares * (expected - mean) ** 2).sum(0).sqrt()


def export_onnx(model: ModelSnapshot, values: Floats) -> bytes:
    """The model as an ONNX file, proved on windows of these rows.

    Raises ModelError if torch, ONNX Runtime and streaming do not agree on it, or the rows are fewer than a window.
    """
    forecaster = TorchForecaster(model).eval()
    windows = torch.zeros(2, forecaster.receptive_rows, values.shape[1])
    stream: Any = io.BytesIO()  # its signature asks for a path
    with warnings.catch_warnings(), _quiet("torch.onnx"):
        warnings.simplefilter("ignore")  # of the exporter, about its own future
        torch.onnx.export(
            forecaster,
            (windows,),
            stream,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "windows"}, OUTPUT: {0: "windows"}},
            opset_version=_OPSET,
            do_constant_folding=False,  # or the bias of every pair of rows is written out
            dynamo=False,
        )
    content = stream.getvalue()
    require_agreement(model, content, values)
    return content


class _quiet:
    """Only errors of one logger."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def __enter__(self) -> None:
        self._level = self._logger.level
        self._logger.setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        self._logger.setLevel(self._level)


def require_agreement(model: ModelSnapshot, content: bytes, values: Floats) -> None:
    """Raise ModelError unless torch, ONNX Runtime and streaming forecast the same on windows of these rows.

    Streaming starts anew on each window: that is the function that the file holds, whatever the network remembers.
    """
    forecaster = forecaster_from(model)
    windows = _windows(values, forecaster.receptive_rows)
    streamed = np.stack([forecaster.run(window, np.ones(len(window), np.bool_))[-1] for window in windows])
    with torch.no_grad():
        in_torch = TorchForecaster(model).eval()(torch.from_numpy(windows)).numpy()
    for name, said in (("torch", in_torch), ("ONNX Runtime", run_onnx(content, windows))):
        worst = apart(forecaster.shape, said, streamed)
        if not worst <= TOLERANCE:
            raise ModelError(f"{name} and the streaming runtime differ by {worst:.3g}, allowed is {TOLERANCE:g}")


def _windows(values: Floats, rows: int) -> Floats:
    """Up to eight windows spread evenly over a table of rows, shape (windows, rows, features)."""
    if len(values) < rows:
        raise ModelError(f"{len(values)} rows hold no window of {rows} to prove an export on")
    firsts = np.unique(np.linspace(0, len(values) - rows, _WINDOWS).astype(int))
    return np.stack([values[first : first + rows] for first in firsts]).astype(np.float32)


def run_onnx(content: bytes, windows: Floats) -> Floats:
    """Forecasts of ONNX Runtime, one thread. Raises ModelError if the file is none, or is for other rows."""
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        forecasts: NDArray[np.float32] = session.run([OUTPUT], {INPUT: windows})[0]
    except Exception as error:  # its errors have no common base but this
        raise ModelError(f"the ONNX file cannot be run: {str(error).splitlines()[0]}") from error
    return forecasts


def apart(shape: ForecastShape, one: Floats, other: Floats) -> float:
    """Largest difference between two tables of forecasts; of returns and spreads relative to the returns' size where
    that is above 1 bp."""
    if one.shape != other.shape:
        return float("inf")
    returns = shape.returns_bp(other)
    size = np.maximum(np.abs(returns), 1.0)
    relative = np.abs(shape.returns_bp(one) - returns) / size
    spreads = np.abs(shape.spreads_bp(one) - shape.spreads_bp(other)) / size.max((1, 2))[:, None]
    probabilities = np.abs(shape.probabilities(one) - shape.probabilities(other))
    return float(max(part.max() for part in (probabilities, relative, spreads, np.abs(one[:, -1] - other[:, -1]))))
