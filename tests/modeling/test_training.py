"""Training: it learns, it repeats itself byte for byte, and it refuses what it cannot learn from."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from features.regimes import HIGH_VOLATILITY, RANGE
from labeling.targets import NO_CLASS
from market.errors import ModelError, NotEnoughData
from modeling.augmentation import Mirror
from modeling.sampling import learnable
from modeling.streaming import forecaster_from
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
    small_networks,
)

torch = pytest.importorskip("torch")
from pytorch_lightning import Trainer  # noqa: E402  (needs torch)

from benchmarks import bench_training  # noqa: E402  (needs torch)
from modeling import training  # noqa: E402  (needs torch)
from modeling.networks.network import network_weights  # noqa: E402  (needs torch)
from modeling.training import dense_loss, fit, start_of  # noqa: E402  (needs torch)

NETWORK = small_network(width=16, depth=1)


@pytest.fixture(scope="module")
def sets():
    return labelled_rows(seed=1), labelled_rows(seed=2)


def test_training_learns_what_leads_the_return(sets):
    found = fit(NETWORK, *sets, quick_training(epochs=20))
    shares = np.bincount(sets[1].classes[:, 0] + 1) / len(sets[1])
    assert found.val_nll < 0.8 * -(shares * np.log(shares)).sum()
    forecaster = forecaster_from(found.model)
    forecasts = forecaster.run(sets[1].values, sets[1].valid)[forecaster.receptive_rows :]
    leaning = SHAPE.probabilities(forecasts)[:, 0, 2] - SHAPE.probabilities(forecasts)[:, 0, 0]
    assert np.corrcoef(leaning, sets[1].values[forecaster.receptive_rows :, 0])[0, 1] > 0.7
    down, _, up = SHAPE.returns_bp(forecasts)[:, 0].mean(0)
    assert down < -0.3 < 0.3 < up


def test_rerun_gives_the_same_bytes_and_another_seed_others(sets):
    first, again, other = (fit(NETWORK, *sets, quick_training(epochs=2, seed=seed)) for seed in (3, 3, 4))
    assert first.history == again.history
    for name, array in first.model.weights.items():
        assert array.tobytes() == again.model.weights[name].tobytes()
    assert first.model.weights["fuse.weight"].tobytes() != other.model.weights["fuse.weight"].tobytes()


def test_kept_weights_are_a_mean_of_those_on_the_way(sets):
    newest, mean = (
        fit(NETWORK, *sets, quick_training(epochs=1, averaging=averaging)).model.weights["direct.weight"]
        for averaging in (0.0, 0.9)
    )
    assert 0 < np.abs(mean).max() < np.abs(newest).max()
    assert np.corrcoef(mean.ravel(), newest.ravel())[0, 1] > 0.9


def test_gradients_are_clipped(sets):
    free, clipped = (
        fit(NETWORK, *sets, quick_training(epochs=1, gradient_clip=most)).model.weights["direct.weight"]
        for most in (1.0, 1e-12)
    )
    assert 0 < np.abs(clipped).max() < 1e-2 * np.abs(free).max()


def test_weights_decay_at_each_step(sets):
    start, decayed = (
        fit(NETWORK, *sets, quick_training(epochs=1, gradient_clip=1e-12, weight_decay=decay)).model.weights
        for decay in (0.0, 1e-2)
    )
    steps = -(-(len(sets[0]) - NETWORK.receptive_rows + 1) // 64)
    kept = np.linalg.norm(decayed["fuse.weight"]) / np.linalg.norm(start["fuse.weight"])
    assert 1 - kept == pytest.approx(1 - (1 - 3e-4 * 1e-2) ** steps, rel=0.05)


def test_training_learns_from_mirrored_chunks(sets):
    turned = Mirror((0, 1, 2, 3, 4), (1.0,) * 5)  # labels change places and features do not: all is learnt upside down
    settings = quick_training(epochs=6, learning_rate=1e-3, mirror_share=1.0)
    forecaster = forecaster_from(fit(NETWORK, *sets, settings, mirror=turned).model)
    forecasts = forecaster.run(sets[1].values, sets[1].valid)[forecaster.receptive_rows :]
    leaning = SHAPE.probabilities(forecasts)[:, 0, 2] - SHAPE.probabilities(forecasts)[:, 0, 0]
    assert np.corrcoef(leaning, sets[1].values[forecaster.receptive_rows :, 0])[0, 1] < -0.5


def test_training_is_silent_and_leaves_no_file_and_no_setting(sets, tmp_path, monkeypatch, capfd, recwarn):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(1)
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    fit(NETWORK, *sets, quick_training(epochs=1))
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())
    assert not recwarn.list
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), state)


def test_training_stops_when_validation_no_longer_falls(sets):
    unlearnable = replace(sets[1], values=-sets[1].values)
    found = fit(NETWORK, sets[0], unlearnable, quick_training(epochs=40))
    assert len(found.history) == found.best_epoch + 6 < 40
    assert found.val_nll == min(epoch.val_nll for epoch in found.history)


def test_report_sees_every_epoch_and_may_end_the_fit(sets):
    seen = []

    def report(epoch, val_nll):
        seen.append((epoch, val_nll))
        if epoch == 1:
            raise ModelError("enough")

    with pytest.raises(ModelError, match="enough"):
        fit(NETWORK, *sets, quick_training(), report)
    assert [epoch for epoch, _ in seen] == [0, 1]


def test_rows_without_label_or_field_do_not_teach(sets):
    train = sets[0]
    broken = train.rows(slice(None))
    broken.valid[600] = False
    field = NETWORK.receptive_rows
    hidden = broken.rows(slice(None))
    hidden = replace(hidden, classes=hidden.classes.copy(), gross_bp=hidden.gross_bp.copy())
    hidden.classes[600 : 600 + field] *= -1
    hidden.gross_bp[600 : 600 + field] *= -7
    first, other = (fit(NETWORK, data, sets[1], quick_training(epochs=1)) for data in (broken, hidden))
    broken.valid[600] = True
    for name, array in first.model.weights.items():
        assert array.tobytes() == other.model.weights[name].tobytes()


def test_cell_without_one_class_is_refused(sets):
    train = replace(sets[0], classes=np.minimum(sets[0].classes, 0))
    with pytest.raises(NotEnoughData, match="cell h250_b0 lacks a class: .* 0 up"):
        fit(NETWORK, train, sets[1], quick_training())


def test_val_may_lack_a_class_that_train_teaches(sets):
    val = replace(sets[1], classes=np.minimum(sets[1].classes, 0))
    assert np.isfinite(fit(NETWORK, sets[0], val, quick_training(epochs=1)).val_nll)


def test_rows_that_are_all_invalid_are_refused(sets):
    train, val = (replace(data, valid=np.zeros(len(data), np.bool_)) for data in sets)
    with pytest.raises(NotEnoughData, match="none of 1200 rows is labelled"):
        fit(NETWORK, train, sets[1], quick_training())
    with pytest.raises(NotEnoughData, match="none of 1200 rows is labelled"):
        fit(NETWORK, sets[0], val, quick_training())


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


def test_epochs_tell_rate_rows_and_speed(sets):
    times = iter(range(100))
    found = fit(NETWORK, *sets, quick_training(epochs=2), clock=lambda: float(next(times)))
    chunks = -(-(len(sets[0]) - NETWORK.receptive_rows + 1) // 64)
    assert [(epoch.learning_rate, epoch.rows, epoch.seconds) for epoch in found.history] == [
        (3e-4, 64 * chunks, 1.0)
    ] * 2
    assert found.history[0].predictions_per_s == 64 * chunks
    assert fit(NETWORK, *sets, quick_training(epochs=1)).history[0].predictions_per_s is None


def test_missing_labels_leave_the_loss_finite(sets):
    gross, cost, classes = sets[0].gross_bp.copy(), sets[0].cost_bp.copy(), sets[0].classes.copy()
    gross[100:200], cost[100:200], classes[100:200] = np.nan, np.nan, NO_CLASS
    train = replace(sets[0], gross_bp=gross, cost_bp=cost, classes=classes)
    assert np.isfinite(fit(NETWORK, train, sets[1], quick_training(epochs=1)).history[0].train_loss)


KILLED = """
import os, signal, sys
from pathlib import Path
from modeling.training import fit
from tests.builders_modeling import labelled_rows, quick_training
from tests.modeling.test_training import AUGMENTED, NETWORK

def report(epoch, val_nll):
    if epoch == 1:
        os.kill(os.getpid(), signal.SIGKILL)

sets = labelled_rows(seed=1), labelled_rows(seed=2)
fit(NETWORK, *sets, quick_training(**AUGMENTED), report, folder=Path(sys.argv[1]))
"""
AUGMENTED = {"epochs": 4, "mixup_alpha": 0.4, "cutout_share": 0.5}


def test_a_killed_fit_goes_on_to_the_same_bytes(sets, tmp_path):
    root = Path(__file__).parents[2]
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path], env=os.environ | {"PYTHONPATH": str(root)})
    assert killed.returncode == -signal.SIGKILL
    seen = []
    resumed = fit(NETWORK, *sets, quick_training(**AUGMENTED), lambda *line: seen.append(line), folder=tmp_path)
    whole = fit(NETWORK, *sets, quick_training(**AUGMENTED))
    assert [epoch for epoch, _ in seen] == [2, 3]
    assert resumed.history == whole.history
    for name, array in whole.model.weights.items():
        assert array.tobytes() == resumed.model.weights[name].tobytes()
    with pytest.raises(ModelError, match=r"last.ckpt is of a fit with other settings"):
        fit(NETWORK, *sets, quick_training(**AUGMENTED, seed=4), folder=tmp_path)


def test_a_checkpoint_that_is_torn_while_it_is_written_leaves_the_one_before(sets, tmp_path, monkeypatch):
    whole, seen = Trainer.save_checkpoint, []

    def torn(trainer, path):
        whole(trainer, path)
        if trainer.current_epoch == 1:
            path.write_bytes(path.read_bytes()[:1000])
            raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "save_checkpoint", torn)
        with pytest.raises(OSError, match="no space left"):
            fit(NETWORK, *sets, quick_training(epochs=2), folder=tmp_path)
    fit(NETWORK, *sets, quick_training(epochs=2), lambda epoch, _: seen.append(epoch), folder=tmp_path)
    assert seen == [1]


@pytest.mark.parametrize("torn", [b"", None])
def test_a_torn_checkpoint_is_refused_in_one_line(sets, tmp_path, torn):
    fit(NETWORK, *sets, quick_training(epochs=1), folder=tmp_path)
    path = tmp_path / "last.ckpt"
    whole = path.read_bytes()
    half = whole[: len(whole) // 2]
    for content in (torn,) if torn is not None else (half, half + bytes(len(whole) - len(half))):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"^\S*last.ckpt is torn; remove it to begin anew$"):
            fit(NETWORK, *sets, quick_training(epochs=1), folder=tmp_path)


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(sets, tmp_path, monkeypatch):
    done = []
    for name in ("fsync", "replace"):
        called = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *of, name=name, called=called: (done.append(name), called(*of))[1])
    fit(NETWORK, *sets, quick_training(epochs=1), folder=tmp_path)
    assert done == ["fsync", "replace"]


def test_more_memory_than_there_is_is_one_line(sets, monkeypatch):
    """On a machine as on a GPU; any other error of torch stays what it is."""

    def greedy(network, batch, *_):
        return network(batch["x"])[0].sum() + torch.empty(2**50).sum()

    monkeypatch.setattr(training, "dense_loss", greedy)
    with pytest.raises(ModelError, match=r"^training ran out of memory: .*allocate.*$"):
        fit(NETWORK, *sets, quick_training(epochs=1))
    for error, told in (
        (torch.OutOfMemoryError("CUDA out of memory."), ModelError),
        (RuntimeError("no"), RuntimeError),
    ):

        def failing(*_, error=error):
            raise error

        monkeypatch.setattr(training, "dense_loss", failing)
        with pytest.raises(told, match=str(error)):
            fit(NETWORK, *sets, quick_training(epochs=1))


def test_more_devices_than_batches_are_refused_in_one_line(sets, monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_torchelastic_launched", lambda: True)
    with pytest.raises(ModelError, match="Train makes 7 batches, fewer than devices=8"):
        fit(NETWORK, sets[0].rows(slice(0, NETWORK.receptive_rows + 7 * 64 - 1)), sets[1], quick_training(devices=8))


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


def test_a_fit_starts_from_the_weights_of_the_one_before(sets):
    first = fit(NETWORK, *sets, quick_training(epochs=8))
    cold, warm = (fit(NETWORK, *sets, quick_training(epochs=1, seed=5), before=at) for at in (None, first.model))
    assert warm.val_nll < cold.val_nll - 0.1
    assert warm.val_nll == pytest.approx(first.val_nll, rel=0.05)


def test_weights_of_another_architecture_are_refused_in_one_line(sets):
    other = fit(small_network(width=8, depth=1), *sets, quick_training(epochs=1)).model
    with pytest.raises(ModelError, match="cannot start from the weights of another network: width is 8, not 16"):
        fit(NETWORK, *sets, quick_training(), before=other)


def test_loaded_weights_are_the_ones_that_were_stored():
    found = survey(InMemory(labelled_rows()), NETWORK.receptive_rows, 50)
    stored = random_model(3, NETWORK)
    started = network_weights(start_of(NETWORK, found, stored))
    assert max(np.abs(stored.weights[name] - array).max() for name, array in started.items()) < 1e-6


@pytest.mark.parametrize("kind", ["transformer", "gru"])
def test_every_network_learns(sets, kind):
    network = small_networks(16)[kind]
    found = fit(network, *sets, quick_training(epochs=8, chunk_rows=32))
    shares = np.bincount(sets[1].classes[:, 0] + 1) / len(sets[1])
    assert found.model.kind == kind
    assert found.val_nll < 0.9 * -(shares * np.log(shares)).sum()


def test_parts_that_are_read_lazily_teach_as_well(sets):
    def read(start, end):
        return window(sets[0], start, end, NETWORK.receptive_rows - 1)

    spans = equal_spans(int(sets[0].row_ts[0]), int(sets[0].row_ts[-1]) + 1, 300 * ROW_NS)
    lazy = fit(NETWORK, LazyParts(SHAPE, spans, read), sets[1], quick_training(epochs=6))
    whole = fit(NETWORK, *sets, quick_training(epochs=6))
    assert lazy.val_nll == pytest.approx(whole.val_nll, rel=0.03)


def test_val_in_parts_stops_and_judges_as_the_whole_does(sets):
    def read(start, end):
        return window(sets[1], start, end, NETWORK.receptive_rows - 1)

    spans = equal_spans(int(sets[1].row_ts[0]), int(sets[1].row_ts[-1]) + 1, 130 * ROW_NS)
    parts, whole = (
        fit(NETWORK, sets[0], val, quick_training(epochs=3)) for val in (LazyParts(SHAPE, spans, read), sets[1])
    )
    assert len(spans) > 2
    assert [one.val_nll for one in parts.history] == pytest.approx([one.val_nll for one in whole.history], rel=1e-5)
    assert all(np.array_equal(array, whole.model.weights[name]) for name, array in parts.model.weights.items())


def test_bfloat16_learns_what_float32_does(sets):
    full, half = (fit(NETWORK, *sets, quick_training(epochs=4, precision=name)) for name in ("fp32", "bf16"))
    assert half.val_nll == pytest.approx(full.val_nll, rel=0.02)
    assert half.val_nll != full.val_nll
    assert all(array.dtype == np.float32 for array in half.model.weights.values())


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


@pytest.mark.parametrize(
    ("words", "figures"),
    [
        (("--seconds", "0.05", "--chunk-rows", "512"), 4),
        (("--mode", "networks", "--kinds", "cnn", "--seeds", "1", "--fit-rows", "512"), 3),
    ],
)
def test_the_benchmark_trains_as_the_chain_does(words, figures, monkeypatch, capsys):
    monkeypatch.setattr(bench_training, "VAL_ROWS", 2_000)
    bench_training.main(["--device", "cpu", "--rows", "4000", "--depth", "1", "--json", *words])
    found = json.loads(capsys.readouterr().out)["figures"]
    assert len(found) == figures
    assert all(np.isfinite(line["ours"]) and line["ours"] > 0 for line in found if "spread" not in line["name"])
