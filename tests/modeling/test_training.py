"""Training: it learns, it repeats itself byte for byte, and it refuses what it cannot learn from."""

import json
from dataclasses import replace

import numpy as np
import pytest

from market.errors import ModelError, NotEnoughData
from modeling.augmentation import Mirror
from modeling.streaming import forecaster_from
from modeling.training_parts import LazyParts, equal_spans
from modeling.training_rows import window
from tests.builders_modeling import ROW_NS, SHAPE, quick_training, small_network, small_networks

torch = pytest.importorskip("torch")

from benchmarks import bench_training  # noqa: E402  (needs torch)
from modeling import training  # noqa: E402  (needs torch)
from modeling.training import fit  # noqa: E402  (needs torch)

NETWORK = small_network(width=16, depth=1)


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


def test_epochs_tell_rate_rows_and_speed(sets):
    times = iter(range(100))
    found = fit(NETWORK, *sets, quick_training(epochs=2), clock=lambda: float(next(times)))
    chunks = -(-(len(sets[0]) - NETWORK.receptive_rows + 1) // 64)
    assert [(epoch.learning_rate, epoch.rows, epoch.seconds) for epoch in found.history] == [
        (3e-4, 64 * chunks, 1.0)
    ] * 2
    assert found.history[0].predictions_per_s == 64 * chunks
    assert fit(NETWORK, *sets, quick_training(epochs=1)).history[0].predictions_per_s is None


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
