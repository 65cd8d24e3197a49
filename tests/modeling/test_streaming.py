"""The streaming runtime: what torch computes, row by row, whatever the shape of the network."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.errors import ModelError
from modeling.architecture import Architecture, architecture, base_dilations
from modeling.calibration import calibrated, identity
from modeling.forecast import Cell, ForecastShape
from modeling.parameters import NetworkParameters
from modeling.snapshot import CNN, ModelSnapshot
from modeling.streaming import forecaster_from
from tests.builders_modeling import SHAPE, random_model, random_rows, random_weights, small_network

torch = pytest.importorskip("torch")


def _torch_network(network: Architecture, seed: int):
    from modeling.networks import DilatedNetwork

    torch.manual_seed(seed)
    module = DilatedNetwork(network)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "norm" in name or name.endswith("bias"):
                parameter.add_(torch.randn_like(parameter) * 0.1)
        module.return_scale.uniform_(0.5, 3.0)
    return module.eval()


@settings(max_examples=25)
@given(
    width=st.integers(16, 70),  # LayerNorm over a handful of channels magnifies the last bit of float32
    depth=st.integers(1, 4),
    kernel_size=st.integers(2, 4),
    bases=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    cells=st.integers(1, 5),
    seed=st.integers(0, 2**16),
)
def test_streaming_forecasts_what_torch_does(width, depth, kernel_size, bases, cells, seed):
    from modeling.networks import network_weights
    from modeling.training import disagreement

    rng = np.random.default_rng(seed)
    columns = tuple(tuple(rng.permutation(7)[: rng.integers(1, 8)].tolist()) for _ in bases)
    dilations = tuple(tuple(base * 2**block for block in range(depth)) for base in bases)
    shape = ForecastShape(tuple(Cell(250 * (1 + cell % 3), float(cell)) for cell in range(cells)))
    network = Architecture(shape, 7, columns, dilations, width, kernel_size, 0.1)
    module = _torch_network(network, seed)
    model = ModelSnapshot(CNN, network.as_dict(), network_weights(module), identity(cells))
    assert disagreement(module, model, random_rows(network.receptive_rows + 20, 7, seed)) < 1e-5


def test_default_width_agrees_with_torch():
    from modeling.networks import network_weights
    from modeling.training import disagreement

    bases = base_dilations((50, 250, 1000), 20)
    network = architecture(NetworkParameters("cnn", 64, 3, 3, 2, 0.1), ((0, 1, 2), (0, 3), (1, 4)), bases, 5, SHAPE)
    module = _torch_network(network, 3)
    model = ModelSnapshot(CNN, network.as_dict(), network_weights(module), identity(3))
    assert network.receptive_rows == 701
    assert disagreement(module, model, random_rows(800)) < 1e-5


def test_torch_network_ignores_later_rows():
    network = small_network()
    module = _torch_network(network, 1)
    rows = torch.from_numpy(random_rows(60))[None]
    poisoned = rows.clone()
    poisoned[:, 50:] = 1e6
    for clean, dirty in zip(module(rows), module(poisoned), strict=True):
        whole = 50 - network.receptive_rows + 1
        assert torch.equal(clean[:, :whole], dirty[:, :whole])
        assert not torch.equal(clean[:, whole:], dirty[:, whole:])


def test_torch_network_reads_exactly_its_receptive_field():
    network = small_network()
    module = _torch_network(network, 2)
    rows = torch.from_numpy(random_rows(network.receptive_rows + 1))[None]
    oldest, too_old = rows.clone(), rows.clone()
    oldest[:, 1] += 1.0
    too_old[:, 0] += 1.0
    newest = module(rows)[0][:, -1]
    assert torch.equal(module(too_old)[0][:, -1], newest)
    assert not torch.equal(module(oldest)[0][:, -1], newest)


def test_run_is_step_after_step():
    forecaster = forecaster_from(random_model())
    values, state = random_rows(100), forecaster.new_state()
    valid = np.random.default_rng(4).random(100) > 0.02
    forecasts = forecaster.run(values, valid)
    for row in range(100):
        assert np.array_equal(forecaster.step(state, values[row], valid[row]), forecasts[row])
    assert 0 < forecaster.shape.ready(forecasts).sum() < 100


def test_run_goes_on_from_a_state():
    forecaster = forecaster_from(random_model())
    values, valid, state = random_rows(100), np.ones(100, np.bool_), forecaster.new_state()
    parts = [forecaster.run(values[:37], valid[:37], state), forecaster.run(values[37:], valid[37:], state)]
    assert np.array_equal(np.concatenate(parts), forecaster.run(values, valid))


def test_forecast_is_ready_after_a_receptive_field_of_valid_rows():
    forecaster = forecaster_from(random_model())
    field = forecaster.receptive_rows
    valid = np.ones(3 * field, np.bool_)
    valid[field + 5] = False
    forecasts = forecaster.run(random_rows(3 * field), valid)
    ready = np.flatnonzero(forecaster.shape.ready(forecasts))
    assert ready.tolist() == [*range(field - 1, field + 5), *range(2 * field + 5, 3 * field)]
    assert not forecasts[~forecaster.shape.ready(forecasts)].any()


def test_an_invalid_row_leaves_no_trace():
    forecaster = forecaster_from(random_model())
    values, valid = random_rows(120), np.ones(120, np.bool_)
    valid[40] = False
    values[40] = np.nan
    fresh = forecaster.run(values[41:], valid[41:])
    assert np.array_equal(forecaster.run(values, valid)[41:], fresh)


def test_a_row_that_is_not_finite_never_reaches_a_forecast():
    forecaster = forecaster_from(random_model())
    field = forecaster.receptive_rows
    values = random_rows(3 * field)
    values[field] = np.nan
    forecasts = forecaster.run(values, np.ones(3 * field, np.bool_))
    ready = forecaster.shape.ready(forecasts)
    assert np.isfinite(forecasts).all()
    assert not ready[field]
    assert ready[2 * field :].all()


def test_probabilities_are_calibrated_inside_the_step():
    raw, model = random_model(seed=6), random_model(seed=6)
    raw = ModelSnapshot(raw.kind, raw.spec, raw.weights, identity(3))
    values, valid = random_rows(80), np.ones(80, np.bool_)
    before, after = (forecaster_from(one).run(values, valid) for one in (raw, model))
    ready = SHAPE.ready(before)
    expected = calibrated(model.calibration, SHAPE.probabilities(before)[ready])
    assert np.abs(SHAPE.probabilities(after)[ready] - expected).max() < 1e-6
    assert np.abs(SHAPE.probabilities(after)[ready].sum(-1) - 1).max() < 1e-6


def test_layout_names_the_places_of_a_forecast():
    forecasts = np.arange(2 * SHAPE.size, dtype=np.float32).reshape(2, SHAPE.size)
    assert SHAPE.size == 3 * (3 + 2) + 1
    assert SHAPE.probabilities(forecasts)[0, 1].tolist() == [3, 4, 5]
    assert SHAPE.probability_at(Cell(250, 2.0)) == 3
    assert SHAPE.returns_bp(forecasts)[0, 1].tolist() == [12, 13, 14]
    assert SHAPE.return_at(1000) == 12
    assert SHAPE.anchors == (0, 2)
    with pytest.raises(ModelError, match="no cell h5000_b0"):
        SHAPE.probability_at(Cell(5000, 0.0))


def test_model_that_does_not_fit_its_spec_is_refused():
    network = small_network()
    weights = random_weights(network, np.random.default_rng(0))
    del weights["fuse.gain"]
    with pytest.raises(ModelError, match="no weights 'fuse.gain'"):
        forecaster_from(ModelSnapshot(CNN, network.as_dict(), weights, identity(3)))
    with pytest.raises(ModelError, match="kind='lstm'"):
        forecaster_from(ModelSnapshot("lstm", {}, {}, identity(3)))
    with pytest.raises(ModelError, match=r"the model reads \(rows, 5\)"):
        forecaster_from(random_model()).run(random_rows(10, 4), np.ones(10, np.bool_))
