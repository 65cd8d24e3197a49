"""What a step of the optimiser minimises, and what becomes of a loss that is no number."""

import re
from dataclasses import replace

import numpy as np
import pytest

from features.regimes import HIGH_VOLATILITY, RANGE
from labeling.targets import NO_CLASS
from market.errors import ModelError
from modeling.sampling import learnable
from modeling.survey import survey
from modeling.training_parts import InMemory, LazyParts, equal_spans
from modeling.training_rows import window
from tests.builders_modeling import (
    CELLS,
    ROW_NS,
    SHAPE,
    labelled_rows,
    quick_training,
    random_model,
    random_rows,
    small_network,
)

torch = pytest.importorskip("torch")

from modeling.training import dense_loss, fit, start_of  # noqa: E402  (needs torch)

NETWORK = small_network(width=16, depth=1)


@pytest.mark.parametrize("part", [0, 2])
def test_loss_that_is_not_a_number_is_told_at_its_step_and_part(sets, part):
    values = sets[0].values.copy()
    values[300 * part + 250] = np.nan

    def read(start, end):
        return window(replace(sets[0], values=values), start, end, NETWORK.receptive_rows - 1)

    spans = equal_spans(int(sets[0].row_ts[0]), int(sets[0].row_ts[-1]) + 1, 300 * ROW_NS)
    with pytest.raises(ModelError, match=rf"the training loss is nan in epoch 0, step \d+, part {part}$") as caught:
        fit(NETWORK, LazyParts(SHAPE, spans, read), sets[1], quick_training())
    assert int(re.search(r"step (\d+)", str(caught.value))[1]) < 4 * 5


def test_a_last_step_that_is_not_a_number_is_told_too(sets):
    few = sets[0].rows(slice(0, NETWORK.receptive_rows + 60))
    few = replace(few, values=few.values.copy())
    few.values[-1] = np.nan
    with pytest.raises(ModelError, match="the training loss is nan in epoch 0, step 0, part 0"):
        fit(NETWORK, few, sets[1], quick_training(epochs=1))


def test_missing_labels_leave_the_loss_finite(sets):
    gross, cost, classes = sets[0].gross_bp.copy(), sets[0].cost_bp.copy(), sets[0].classes.copy()
    gross[100:200], cost[100:200], classes[100:200] = np.nan, np.nan, NO_CLASS
    train = replace(sets[0], gross_bp=gross, cost_bp=cost, classes=classes)
    assert np.isfinite(fit(NETWORK, train, sets[1], quick_training(epochs=1)).history[0].train_loss)


def test_the_cap_holds_where_whole_batches_lie_in_one_regime(sets):
    """Every other chunk is of high volatility and teaches the contrary: a lower cap makes it count for less."""
    wild = (np.arange(len(sets[0])) - NETWORK.receptive_rows + 1) // 64 % 2 == 1
    turned = np.where(wild[:, None], -1, 1).astype(np.int8)
    train = replace(
        sets[0],
        classes=sets[0].classes * turned,
        gross_bp=sets[0].gross_bp * turned,
        regimes=np.where(wild, HIGH_VOLATILITY, RANGE).astype(np.int8),
    )
    low, high = (
        fit(NETWORK, train, sets[1], quick_training(epochs=3, high_volatility_share=share)).model.weights[
            "direct.weight"
        ]
        for share in (0.05, 1.0)
    )
    assert np.abs(low - high).max() > 0.5 * np.abs(low).max()


def test_labels_of_a_mixed_chunk_share_its_loss():
    torch.manual_seed(0)
    network = start_of(NETWORK, survey(InMemory(labelled_rows()), NETWORK.receptive_rows, 50)).eval()
    rows, settings = 20, quick_training()
    batch = {
        "x": torch.randn(2, NETWORK.receptive_rows - 1 + rows, 5),
        "truth": torch.randint(0, 3, (2, rows, 3)),
        "weights": torch.ones(2, rows, 3),
        "gross": torch.randn(2, rows, 2),
        "cost": torch.ones(2, rows, 2),
    }
    other = batch | {"truth": torch.zeros_like(batch["truth"]), "gross": 3 * batch["gross"]}
    both = {name: batch[name] if name == "x" else torch.cat((batch[name], other[name]), 1) for name in batch}
    both["weights"] = torch.cat((0.75 * batch["weights"], 0.25 * other["weights"]), 1)
    mixed, one, two = (
        dense_loss(network, each, torch.full((3,), 40.0), settings).item() for each in (both, batch, other)
    )
    assert mixed == pytest.approx(0.75 * one + 0.25 * two, rel=1e-6)
    assert abs(one - two) > 0.1


@pytest.mark.parametrize(("returns", "costs"), [(0.0, 0.0), (1.5, 0.0), (0.0, 0.7)])
def test_a_step_minimises_the_sum_of_its_three_losses(returns, costs):
    """Smoothed focal loss, Huber's of the returns, and the cost, fees included, that a trade's edge falls short of."""
    found = survey(InMemory(labelled_rows()), NETWORK.receptive_rows, 50)
    network, rng = start_of(NETWORK, found, random_model(3, NETWORK)).eval(), np.random.default_rng(0)
    x = random_rows(NETWORK.receptive_rows - 1 + 40)
    truth, gross, cost = rng.integers(0, 3, (40, 3)), rng.normal(size=(40, 2)) * 3, rng.uniform(0.1, 2.0, (40, 2))
    batch = {"x": x, "truth": truth, "weights": np.ones((40, 3)), "gross": gross, "cost": cost}
    settings = quick_training(label_smoothing=0.1, return_weight=returns, cost_weight=costs)
    batch = {name: torch.from_numpy(array[None]) for name, array in batch.items()}
    loss = dense_loss(network, batch, torch.full((3,), 40.0), settings)
    with torch.no_grad():
        logits, means = (said[0].double().numpy() for said in network(torch.from_numpy(x)[None]))
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    hit = np.take_along_axis(log_p, truth[..., None], -1)[..., 0]
    class_loss = -((1 - np.exp(hit)) ** 1.5) * (0.9 * hit + 0.1 * log_p.mean(-1))
    scale = network.return_scale.double().numpy()
    of_truth = np.take_along_axis(means, truth[:, list(SHAPE.anchors), None], -1)[..., 0]
    error = np.abs(of_truth - gross) / scale
    return_loss = np.where(error < 0.5, error**2 / 2, 0.5 * (error - 0.25))
    p, horizons = np.exp(log_p), list(SHAPE.horizon_of_cell)
    edge, paid = (p * means[:, horizons]).sum(-1), cost[:, horizons] + [cell.budget_bp for cell in CELLS]
    bold = np.maximum(p[..., [2, 0]] - p[..., [1]], 0)
    missed = np.maximum(paid[..., None] - np.stack((edge, -edge), -1), 0) / scale[horizons][:, None]
    penalty = (bold * missed).sum(-1)
    assert penalty.mean(0).min() > 1e-3
    assert loss.item() == pytest.approx(class_loss.mean() + returns * return_loss.mean() + costs * penalty.mean(), 1e-5)


def test_return_loss_turns_linear_at_half_a_deviation_of_training(sets):
    wide = replace(sets[0], gross_bp=sets[0].gross_bp * 10)
    found = survey(InMemory(wide), NETWORK.receptive_rows, 50)
    usable = learnable(wide, NETWORK.receptive_rows)[:, list(SHAPE.anchors)]
    expected = [wide.gross_bp[usable[:, horizon], horizon].std() for horizon in range(2)]
    assert np.allclose(start_of(NETWORK, found).return_scale.numpy(), expected, rtol=1e-4)
