"""Export: torch, ONNX Runtime and streaming forecast the same, and a file that does not is refused."""

from dataclasses import replace

import numpy as np
import pytest

from market.errors import ModelError
from modeling.calibration import identity
from modeling.snapshot import NETWORKS, ModelSnapshot, ensemble_of
from modeling.streaming import forecaster_from
from tests.builders_modeling import CELLS, SHAPE, random_model, random_rows, small_networks

torch = pytest.importorskip("torch")
from modeling import export  # noqa: E402  (needs torch)
from modeling.export import apart, export_onnx, require_agreement, run_onnx  # noqa: E402


def _models() -> dict[str, ModelSnapshot]:
    models = {kind: random_model(seed, network) for seed, (kind, network) in enumerate(small_networks(16).items())}
    members = [replace(model, calibration=identity(3)) for model in models.values()]
    return models | {"ensemble": replace(ensemble_of(members), calibration=random_model(5).calibration)}


@pytest.fixture(scope="module")
def exports():
    return {kind: (model, export_onnx(model, random_rows(120))) for kind, model in _models().items()}


@pytest.mark.parametrize("kind", [*NETWORKS, "ensemble"])
def test_an_export_forecasts_what_streaming_does_on_other_rows(exports, kind):
    model, content = exports[kind]
    forecaster = forecaster_from(model)
    windows = np.stack([random_rows(forecaster.receptive_rows, seed=seed) for seed in range(20, 25)])
    valid = np.ones(forecaster.receptive_rows, np.bool_)
    streamed = np.stack([forecaster.run(window, valid)[-1] for window in windows])
    assert apart(forecaster.shape, run_onnx(content, windows), streamed) < 1e-5
    assert np.ptp(streamed[:, 0]) > 1e-3


def test_an_onnx_file_of_other_weights_is_refused(exports):
    model, _ = exports["gru"]
    bent = dict(model.weights)
    bent["classes.bias"] = bent["classes.bias"] + np.arange(9, dtype=np.float32) / 100
    with pytest.raises(ModelError, match=r"^ONNX Runtime and the streaming runtime differ by .*, allowed is 1e-05$"):
        require_agreement(replace(model, weights=bent), exports["gru"][1], random_rows(60))


@pytest.mark.parametrize("member", range(len(NETWORKS)))
def test_an_onnx_file_of_an_ensemble_with_one_other_weight_of_one_member_is_refused(exports, member):
    model, content = exports["ensemble"]
    name = f"member{member}.classes.bias"
    bent = model.weights[name].copy()
    bent[0] += 0.05
    require_agreement(model, content, random_rows(60))
    with pytest.raises(ModelError, match=r"^ONNX Runtime and the streaming runtime differ by .*, allowed is 1e-05$"):
        require_agreement(replace(model, weights={**model.weights, name: bent}), content, random_rows(60))


@pytest.mark.parametrize("kind", NETWORKS)
def test_an_onnx_file_with_one_other_weight_of_its_returns_is_refused(exports, kind):
    model, content = exports[kind]
    bent = model.weights["returns.bias"].copy()
    bent[1] += 0.05
    with pytest.raises(ModelError, match=r"^ONNX Runtime and the streaming runtime differ by .*, allowed is 1e-05$"):
        require_agreement(replace(model, weights={**model.weights, "returns.bias": bent}), content, random_rows(60))


def test_an_export_that_disagrees_leaves_no_file(monkeypatch):
    told = export.run_onnx
    monkeypatch.setattr(export, "run_onnx", lambda content, windows: told(content, windows) + np.float32(0.01))
    with pytest.raises(ModelError, match="differ by"):
        export_onnx(_models()["cnn"], random_rows(120))


def test_returns_and_spreads_are_apart_by_their_share_of_a_large_return():
    table = np.full((2, SHAPE.size), 0.5, np.float32)
    table[1, SHAPE.return_at(1000)] = 8.0
    for row, place, expected in (
        (0, SHAPE.return_at(1000), 0.25),  # of returns below 1 bp: as it is
        (1, SHAPE.return_at(1000), 2 / 8),
        (0, SHAPE.spread_at(CELLS[1]), 0.25),
        (1, SHAPE.spread_at(CELLS[1]), 2 / 8),
        (1, SHAPE.probability_at(CELLS[1]), 2.0),
    ):
        moved = table.copy()
        moved[row, place] += 0.25 if row == 0 else 2.0
        assert apart(SHAPE, moved, table) == pytest.approx(expected)


@pytest.mark.parametrize("spoil", [lambda content: b"", lambda content: content[: len(content) // 2]])
def test_a_torn_onnx_file_is_refused_in_one_line(exports, spoil):
    model, content = exports["gru"]
    with pytest.raises(ModelError, match=r"^the ONNX file cannot be run: [^\n]+$"):
        require_agreement(model, spoil(content), random_rows(60))


def test_an_onnx_file_for_other_rows_is_refused_in_one_line(exports):
    with pytest.raises(ModelError, match=r"^the ONNX file cannot be run: [^\n]+$"):
        require_agreement(exports["cnn"][0], exports["gru"][1], random_rows(60))


def test_rows_shorter_than_a_window_prove_nothing(exports):
    model, content = exports["cnn"]
    with pytest.raises(ModelError, match="10 rows hold no window of 31"):
        require_agreement(model, content, random_rows(10))
