"""The streaming runtime: what torch computes, row by row, whatever the shape of the network."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.errors import ModelError
from modeling.architecture import (
    Architecture,
    CnnArchitecture,
    GruArchitecture,
    TransformerArchitecture,
    architecture,
    architecture_from,
    base_dilations,
)
from modeling.calibration import calibrated, identity
from modeling.forecast import Cell, ForecastShape
from modeling.parameters import CnnParameters
from modeling.snapshot import CNN, NETWORKS, ModelSnapshot, ensemble_of
from modeling.streaming import forecaster_from
from tests.builders_modeling import SHAPE, random_model, random_rows, random_weights, small_network, small_networks

torch = pytest.importorskip("torch")


def _torch_network(network: Architecture, seed: int):
    from modeling.networks.network import Network

    torch.manual_seed(seed)
    module = Network(network)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "norm" in name or name.endswith("bias"):
                parameter.add_(torch.randn_like(parameter) * 0.1)
        module.return_scale.uniform_(0.5, 3.0)
    return module.eval()


@st.composite
def _networks(draw):
    """Any network over seven features; LayerNorm over a handful of channels magnifies the last bit of float32."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    bases = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    columns = tuple(tuple(rng.permutation(7)[: rng.integers(1, 8)].tolist()) for _ in bases)
    shape = ForecastShape(tuple(Cell(250 * (1 + cell % 3), float(cell)) for cell in range(draw(st.integers(1, 5)))))
    kind, depth = draw(st.sampled_from(NETWORKS)), draw(st.integers(1, 3))
    if kind == "transformer":
        heads = draw(st.integers(1, 4))
        width = heads * draw(st.integers(8, 16))
        return TransformerArchitecture(
            shape, 7, columns, width, 0.1, depth, heads, draw(st.integers(1, 40)), draw(st.integers(1, 80))
        )
    width = draw(st.integers(16, 70))
    if kind == "gru":
        return GruArchitecture(shape, 7, columns, width, 0.1, depth, draw(st.integers(1, 40)))
    dilations = tuple(tuple(base * 2**block for block in range(depth)) for base in bases)
    taps, direct = draw(st.integers(2, 4)), draw(st.booleans())
    return CnnArchitecture(shape, 7, columns, width, 0.1, dilations, taps, direct=direct)


@settings(max_examples=40)
@given(network=_networks(), seed=st.integers(0, 2**16))
def test_streaming_forecasts_what_torch_does(network, seed):
    from modeling.networks.network import network_weights
    from modeling.training import disagreement

    module = _torch_network(network, seed)
    cells = len(network.forecast.cells)
    model = ModelSnapshot(network.kind, network.as_dict(), network_weights(module), identity(cells))
    assert disagreement(module, model, random_rows(3 * network.receptive_rows + 20, 7, seed)) < 1e-5


def test_default_width_agrees_with_torch():
    from modeling.networks.network import network_weights
    from modeling.training import disagreement

    bases = base_dilations((50, 250, 1000), 20)
    network = architecture(CnnParameters("cnn", 64, 3, 3, 2, 0.1), ((0, 1, 2), (0, 3), (1, 4)), bases, 5, SHAPE)
    module = _torch_network(network, 3)
    model = ModelSnapshot(CNN, network.as_dict(), network_weights(module), identity(3))
    assert network.receptive_rows == 701
    assert disagreement(module, model, random_rows(800)) < 1e-5


@pytest.mark.parametrize("kind", NETWORKS)
def test_torch_network_ignores_later_rows(kind):
    network = small_networks()[kind]
    module = _torch_network(network, 1)
    rows = torch.from_numpy(random_rows(60))[None]
    poisoned = rows.clone()
    poisoned[:, 50:] = 1e6
    for clean, dirty in zip(module(rows), module(poisoned), strict=True):
        whole = 50 - network.receptive_rows + 1
        assert torch.equal(clean[:, :whole], dirty[:, :whole])
        assert not torch.equal(clean[:, whole:], dirty[:, whole:])


@pytest.mark.parametrize("kind", ["cnn", "transformer"])
def test_torch_network_reads_exactly_its_receptive_field(kind):
    network = small_networks()[kind]
    module = _torch_network(network, 2)
    rows = torch.from_numpy(random_rows(network.receptive_rows + 1))[None]
    oldest, too_old = rows.clone(), rows.clone()
    oldest[:, 1] += 1.0
    too_old[:, 0] += 1.0
    newest = module(rows)[0][:, -1]
    assert torch.equal(module(too_old)[0][:, -1], newest)
    assert not torch.equal(module(oldest)[0][:, -1], newest)


@pytest.mark.parametrize("kind", NETWORKS)
def test_run_is_step_after_step(kind):
    forecaster = forecaster_from(random_model(network=small_networks()[kind]))
    values, state = random_rows(100), forecaster.new_state()
    valid = np.random.default_rng(4).random(100) > 0.02
    forecasts = forecaster.run(values, valid)
    for row in range(100):
        assert np.array_equal(forecaster.step(state, values[row], valid[row]), forecasts[row])
    assert 0 < forecaster.shape.ready(forecasts).sum() < 100


@settings(max_examples=30)
@given(kind=st.sampled_from(NETWORKS), seed=st.integers(0, 2**16), often=st.floats(0.1, 1.0))
def test_a_prepared_step_gives_the_same_bytes(kind, seed, often):
    forecaster, rng = (
        forecaster_from(random_model(network=small_networks()[kind], seed=seed)),
        np.random.default_rng(seed),
    )
    values, valid, state = random_rows(100, seed=seed), rng.random(100) > 0.02, forecaster.new_state()
    forecasts = forecaster.run(values, valid)
    for row in range(100):
        if rng.random() < often:
            forecaster.prepare(state)
            forecaster.prepare(state)
        assert np.array_equal(forecaster.step(state, values[row], valid[row]), forecasts[row])


@pytest.mark.parametrize("kind", NETWORKS)
def test_run_goes_on_from_a_state(kind):
    forecaster = forecaster_from(random_model(network=small_networks()[kind]))
    values, valid, state = random_rows(100), np.ones(100, np.bool_), forecaster.new_state()
    parts = [forecaster.run(values[:37], valid[:37], state), forecaster.run(values[37:], valid[37:], state)]
    assert np.array_equal(np.concatenate(parts), forecaster.run(values, valid))


@pytest.mark.parametrize("kind", NETWORKS)
def test_forecast_is_ready_after_a_receptive_field_of_valid_rows(kind):
    forecaster = forecaster_from(random_model(network=small_networks()[kind]))
    field = forecaster.receptive_rows
    valid = np.ones(3 * field, np.bool_)
    valid[field + 5] = False
    forecasts = forecaster.run(random_rows(3 * field), valid)
    ready = np.flatnonzero(forecaster.shape.ready(forecasts))
    assert ready.tolist() == [*range(field - 1, field + 5), *range(2 * field + 5, 3 * field)]
    assert not forecasts[~forecaster.shape.ready(forecasts)].any()


@pytest.mark.parametrize("kind", NETWORKS)
def test_an_invalid_row_leaves_no_trace(kind):
    forecaster = forecaster_from(random_model(network=small_networks()[kind]))
    values, valid = random_rows(120), np.ones(120, np.bool_)
    valid[40] = False
    values[40] = np.nan
    fresh = forecaster.run(values[41:], valid[41:])
    assert np.array_equal(forecaster.run(values, valid)[41:], fresh)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_row_that_is_not_finite_never_reaches_a_forecast(kind):
    forecaster = forecaster_from(random_model(network=small_networks()[kind]))
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


def _members(count: int = 3) -> list[ModelSnapshot]:
    networks = list(small_networks().values())
    models = [random_model(seed, networks[seed % 3]) for seed in range(count)]
    return [ModelSnapshot(model.kind, model.spec, model.weights, identity(3)) for model in models]


def test_ensemble_is_the_mixture_of_its_members():
    members = _members()
    forecaster = forecaster_from(ensemble_of(members))
    values, valid = random_rows(90), np.ones(90, np.bool_)
    alone = np.stack([forecaster_from(member).run(values, valid) for member in members], 1)
    mixture, apart = forecaster.run(values, valid), forecaster.run_members(values, valid)
    ready = SHAPE.ready(mixture)
    assert ready.sum() == 90 - forecaster.receptive_rows + 1
    assert np.abs(apart[ready] - alone[ready]).max() < 1e-6
    probabilities = np.stack([SHAPE.probabilities(alone[ready, member]) for member in range(3)])
    returns = np.stack([SHAPE.returns_bp(alone[ready, member]) for member in range(3)])
    assert np.abs(SHAPE.probabilities(mixture)[ready] - probabilities.mean(0)).max() < 1e-6
    weights = probabilities[:, :, list(SHAPE.anchors)]
    expected = (weights * returns).sum(0) / weights.sum(0)
    assert np.abs(SHAPE.returns_bp(mixture)[ready] - expected).max() < 1e-5
    means = (probabilities * returns[:, :, list(SHAPE.horizon_of_cell)]).sum(-1)
    assert np.abs(SHAPE.spreads_bp(mixture)[ready] - means.std(0)).max() < 1e-5
    assert SHAPE.spreads_bp(mixture)[ready].min() > 1e-3
    assert (SHAPE.spreads_bp(mixture)[~ready] == 0).all()
    assert (SHAPE.spreads_bp(alone[:, 0]) == 0).all()


def test_members_count_by_their_shares_in_each_cell():
    members = _members()
    shares = np.array([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0], [0.0, 0.4, 0.6]])
    values, valid = random_rows(90), np.ones(90, np.bool_)
    forecaster = forecaster_from(ensemble_of(members, shares))
    mixture, apart = forecaster.run(values, valid)[-1:], forecaster.run_members(values, valid)[-1]
    probabilities, returns = SHAPE.probabilities(apart), SHAPE.returns_bp(apart)  # (M, cells, 3), (M, horizons, 3)
    assert np.abs(SHAPE.probabilities(mixture)[0] - np.einsum("cm,mck->ck", shares, probabilities)).max() < 1e-6
    by = shares.T[:, list(SHAPE.anchors), None] * probabilities[:, list(SHAPE.anchors)]
    assert np.abs(SHAPE.returns_bp(mixture)[0] - (by * returns).sum(0) / by.sum(0)).max() < 1e-5
    means = (probabilities * returns[:, list(SHAPE.horizon_of_cell)]).sum(-1).T  # (cells, M)
    mean = (shares * means).sum(1, keepdims=True)
    assert np.abs(SHAPE.spreads_bp(mixture)[0] - np.sqrt((shares * (means - mean) ** 2).sum(1))).max() < 1e-5
    assert SHAPE.spreads_bp(mixture)[0, 1] == 0
    for wrong in (shares[:2], shares * 2, shares - [[1.2, -1.2, 0.0]] * 3):
        with pytest.raises(ModelError, match="must sum to 1 in each"):
            ensemble_of(members, wrong)


def test_mean_return_of_an_ensemble_is_the_mean_of_its_members():
    forecaster = forecaster_from(ensemble_of(_members()))
    state = forecaster.new_state()
    for row in random_rows(40):
        forecast = forecaster.step(state, row, True)
    spread = forecaster.member_forecasts(state)
    anchors = list(SHAPE.anchors)

    def edges(table):
        return (SHAPE.probabilities(table)[:, anchors] * SHAPE.returns_bp(table)).sum(-1)

    assert np.abs(edges(forecast[None])[0] - edges(spread).mean(0)).max() < 1e-5
    assert np.ptp(edges(spread), axis=0).min() > 1e-3


def test_ensemble_is_calibrated_as_a_whole():
    plain = ensemble_of(_members())
    bent = ModelSnapshot(plain.kind, plain.spec, plain.weights, random_model(seed=8).calibration)
    values, valid = random_rows(60), np.ones(60, np.bool_)
    before, after = (forecaster_from(one).run(values, valid) for one in (plain, bent))
    ready = SHAPE.ready(before)
    expected = calibrated(bent.calibration, SHAPE.probabilities(before)[ready])
    assert np.abs(SHAPE.probabilities(after)[ready] - expected).max() < 1e-6
    with pytest.raises(ModelError, match="the mixture is what is calibrated"):
        ensemble_of([random_model()])
    with pytest.raises(ModelError, match="made of networks, not of"):
        ensemble_of([])


def test_members_are_bent_as_their_mixture_is_before_their_spread_is_taken():
    plain, calibration = ensemble_of(_members()), random_model(seed=8).calibration
    bent = replace(plain, calibration=calibration)
    values, valid = random_rows(60), np.ones(60, np.bool_)
    before, after = (forecaster_from(one).run_members(values, valid)[-1] for one in (plain, bent))
    expected = calibrated(calibration, SHAPE.probabilities(before))
    assert np.abs(SHAPE.probabilities(after) - expected).max() < 1e-6
    means = (expected * SHAPE.returns_bp(before)[:, list(SHAPE.horizon_of_cell)]).sum(-1)  # (M, cells)
    spread = SHAPE.spreads_bp(forecaster_from(bent).run(values, valid)[-1:])[0]
    assert np.abs(spread - means.std(0)).max() < 1e-5


def test_members_of_other_cells_are_refused():
    members = _members(2)
    spec = {**members[1].spec, "cells": [[250, 0.0], [250, 2.0], [1000, 4.0]]}
    members[1] = ModelSnapshot(members[1].kind, spec, members[1].weights, identity(3))
    with pytest.raises(ModelError, match="read the same rows and answer for the same cells"):
        forecaster_from(ensemble_of(members))


def test_equal_models_read_one_copy_of_their_weights_and_others_do_not():
    one, same, other = (forecaster_from(random_model(seed)) for seed in (3, 3, 4))
    assert one._model[0] is same._model[0]
    assert not np.shares_memory(one._model[0], other._model[0])


@pytest.mark.parametrize("kind", NETWORKS)
def test_architecture_comes_back_from_its_description(kind):
    network = small_networks()[kind]
    assert architecture_from(kind, network.as_dict()) == network
    with pytest.raises(ModelError, match=f"a {kind} is described by"):
        architecture_from(kind, {**network.as_dict(), "colour": 1})


@pytest.mark.parametrize("kind", NETWORKS)
def test_model_from_before_the_direct_layer_is_read_as_it_was(kind):
    network = replace(small_networks()[kind], direct=False)
    weights = random_weights(network, np.random.default_rng(0))
    assert "direct.weight" not in weights
    old = {name: value for name, value in network.as_dict().items() if name != "direct"}
    assert architecture_from(kind, old) == network
    with_zeros = {**weights, "direct.weight": np.zeros((5, 9), np.float32)}
    rows, valid = random_rows(80), np.ones(80, np.bool_)
    said = forecaster_from(ModelSnapshot(kind, old, weights, identity(3))).run(rows, valid)
    spec = {**old, "direct": True}
    assert said[:, -1].any()
    assert np.array_equal(said, forecaster_from(ModelSnapshot(kind, spec, with_zeros, identity(3))).run(rows, valid))


def test_layout_names_the_places_of_a_forecast():
    forecasts = np.arange(2 * SHAPE.size, dtype=np.float32).reshape(2, SHAPE.size)
    assert SHAPE.size == 3 * (3 + 2) + 3 + 1
    assert SHAPE.probabilities(forecasts)[0, 1].tolist() == [3, 4, 5]
    assert SHAPE.probability_at(Cell(250, 2.0)) == 3
    assert SHAPE.returns_bp(forecasts)[0, 1].tolist() == [12, 13, 14]
    assert SHAPE.spreads_bp(forecasts)[0].tolist() == [15, 16, 17]
    assert SHAPE.spread_at(SHAPE.cells[1]) == 16
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
