"""Batches: every learnable row once an epoch, parts read one at a time, weights that keep to their cap."""

import gc
import weakref
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest

from features.regimes import HIGH_VOLATILITY, RANGE
from labeling.targets import NO_CLASS
from modeling.augmentation import Mirror
from modeling.sampling import learnable
from modeling.survey import survey
from modeling.training_parts import InMemory, LazyParts, equal_spans
from modeling.training_rows import TrainingSet, window
from tests.builders_modeling import ROW_NS, labelled_rows, quick_training, small_network

torch = pytest.importorskip("torch")
from modeling import batches  # noqa: E402  (needs torch)
from modeling.batches import DenseBatches  # noqa: E402  (needs torch)

NETWORK = small_network(width=16, depth=1)
CONTEXT = NETWORK.receptive_rows - 1


def _batches(source, learning=True, **changes):
    settings = quick_training(chunk_rows=50, batch_chunks=2, **changes)
    found = survey(source, NETWORK.receptive_rows, settings.chunk_rows)
    return DenseBatches(NETWORK, source, found, settings, learning=learning)


class _CountedReads:
    """Reads spans of a set, and knows how many of its parts were alive at once."""

    def __init__(self, data: TrainingSet) -> None:
        self._data, self._parts, self.spans, self.most_alive = data, [], [], 0

    def __call__(self, start: int, end: int) -> TrainingSet:
        part = window(self._data, start, end, CONTEXT)
        gc.collect()
        self._parts.append(weakref.ref(part))
        self.spans.append((start, end))
        self.most_alive = max(self.most_alive, sum(part() is not None for part in self._parts))
        return part


def _lazily(data: TrainingSet, rows: int) -> tuple[LazyParts, _CountedReads]:
    read = _CountedReads(data)
    spans = equal_spans(int(data.row_ts[0]), int(data.row_ts[-1]) + 1, rows * ROW_NS)
    return LazyParts(data.shape, spans, read), read


def test_parts_are_read_once_an_epoch_and_one_at_a_time():
    source, read = _lazily(labelled_rows(1000), 200)
    batches = _batches(source)
    assert sorted(read.spans) == list(source.spans)
    for epoch in (0, 1):
        read.spans.clear()
        batches.epoch = lambda epoch=epoch: epoch
        assert sum(len(batch["truth"]) for batch in batches) == 20
        assert sorted(read.spans) == list(source.spans)
    assert read.most_alive == 1


def test_lazy_parts_hold_the_rows_of_the_whole():
    data = labelled_rows(1000)
    source, _ = _lazily(data, 200)
    lazy, whole = survey(source, NETWORK.receptive_rows, 50), survey(InMemory(data), NETWORK.receptive_rows, 50)
    assert np.array_equal(lazy.counts, whole.counts)
    assert np.allclose(lazy.mean_returns_bp, whole.mean_returns_bp)
    assert np.allclose(lazy.deviation_bp, whole.deviation_bp)
    assert np.allclose(lazy.weights, whole.weights)


@pytest.mark.parametrize("lazily", [False, True])
def test_every_learnable_row_comes_once_an_epoch(lazily):
    data = labelled_rows(1000)
    source = _lazily(data, 200)[0] if lazily else InMemory(data)
    seen = sum(int((batch["weights"] > 0).sum()) for batch in _batches(source))
    assert seen == learnable(data, NETWORK.receptive_rows).sum()


def test_order_comes_from_seed_and_epoch_alone():
    source = InMemory(labelled_rows(1000))

    def first_rows(epoch, **changes):
        batches = _batches(source, **changes)
        batches.epoch = lambda: epoch
        return [batch["x"][:, 0, 0].tolist() for batch in batches]

    assert first_rows(3) == first_rows(3)
    assert first_rows(3) != first_rows(4)
    assert first_rows(3) != first_rows(3, seed=9)
    assert sorted(chain(*first_rows(3))) == sorted(chain(*first_rows(4)))


def test_chunks_keep_their_rows_in_order_of_time():
    data = labelled_rows(600)
    data.values[:, 0] = np.arange(600)
    for batch in _batches(InMemory(data)):
        rows = batch["x"][..., 0]
        inside = rows[:, 1:] > 0  # behind the newest row of all stand zeros
        assert ((rows.diff(dim=1) == 1) | ~inside).all()


def test_high_volatility_keeps_to_its_share_in_training_and_counts_fully_in_validation():
    regimes = np.where(np.arange(1000) % 10 < 8, HIGH_VOLATILITY, RANGE).astype(np.int8)
    data = replace(labelled_rows(1000), regimes=regimes)
    data.values[:, 0] = regimes  # to know them again
    for learning, expected in ((True, 0.4), (False, 0.8)):
        high = total = 0.0
        for batch in _batches(InMemory(data), learning=learning, high_volatility_share=0.4):
            weights, rows = batch["weights"][..., 0], batch["x"][:, CONTEXT:, 0]
            high += float(weights[rows == HIGH_VOLATILITY].sum())
            total += float(weights.sum())
        assert high / total == pytest.approx(expected, abs=0.01)


def test_batches_weigh_what_the_survey_expects_of_them_on_average():
    """Regimes, rows and cells of unlike weight, in parts of unlike length."""
    regimes = np.where(np.arange(1000) % 300 < 250, HIGH_VOLATILITY, RANGE).astype(np.int8)
    data = replace(labelled_rows(1000), regimes=regimes, weights=np.linspace(0.5, 1.5, 1000).astype(np.float32))
    data.classes[300:420, 1] = NO_CLASS
    source, _ = _lazily(data, 270)
    found = survey(source, NETWORK.receptive_rows, 50)
    batches = [batch["weights"].sum((0, 1)).numpy() for batch in _batches(source, high_volatility_share=0.3)]
    assert found.batches(2) == len(batches)
    assert np.allclose(found.batch_weight(2, 0.3), np.mean(batches, 0), rtol=1e-5)
    assert found.batch_weight(2, 0.3)[1] < found.batch_weight(2, 0.3)[0] < found.batch_weight(2, 1.0)[0]


@pytest.mark.parametrize("ranks", [4, 8])
def test_of_several_processes_all_judge_each_chunk_once_and_learn_equally_often(ranks, monkeypatch):
    source = InMemory(labelled_rows(CONTEXT + 14 * 50))  # 7 batches
    told = {learning: [] for learning in (True, False)}
    for learning, by_rank in told.items():
        for rank in range(ranks):
            monkeypatch.setattr(batches, "_rank", lambda rank=rank: (rank, ranks))
            by_rank.append([int((one["weights"][..., 0] > 0).sum()) for one in _batches(source, learning)])
    assert {len(one) for one in told[True]} == {7 // ranks}
    assert {len(one) for one in told[False]} == {-(-7 // ranks)}
    assert sum(sum(one) for one in told[False]) == 700


def test_rows_weigh_in_training_what_they_are_given_and_alike_in_validation():
    data = replace(labelled_rows(600), weights=np.linspace(0.5, 1.5, 600).astype(np.float32))
    weights = {
        learning: torch.cat([batch["weights"][..., 0].flatten() for batch in _batches(InMemory(data), learning)])
        for learning in (True, False)
    }
    assert weights[True].unique().numel() > 500
    assert set(weights[False].unique().tolist()) <= {0.0, 1.0}


def test_training_batches_are_augmented_and_validation_is_not():
    data, plain = labelled_rows(1000), {}
    for learning in (True, False):
        batches = _batches(InMemory(data), learning, mixup_alpha=0.4, cutout_share=1.0)
        plain[learning] = list(batches)
    chunk = 50 + CONTEXT
    assert {batch["truth"].shape[1] for batch in plain[True]} == {100}
    assert {batch["truth"].shape[1] for batch in plain[False]} == {50}
    still = [(batch["x"].diff(dim=1) == 0).all(-1).sum(1) for batch in plain[True]]
    assert all(10 <= int(count) <= 30 for counts in still[:3] for count in counts)
    values = np.lib.stride_tricks.sliding_window_view(data.values, (chunk, 5))[:, 0]
    first = plain[False][0]["x"][0].numpy()
    assert (values == first).all((1, 2)).sum() == 1


def test_a_chunk_is_mixed_with_none_of_another_regime():
    data = labelled_rows(CONTEXT + 20 * 50)
    regimes = np.where(np.arange(len(data)) < CONTEXT + 10 * 50, HIGH_VOLATILITY, RANGE).astype(np.int8)
    known = replace(data, regimes=regimes, gross_bp=np.repeat(regimes[:, None], 2, 1).astype(np.float32))
    gross = torch.cat([batch["gross"] for batch in _batches(InMemory(known), mixup_alpha=0.4)])
    assert gross.shape == (20, 100, 2)
    assert torch.equal(gross[:, :50], gross[:, 50:])
    assert set(gross.unique().tolist()) == {HIGH_VOLATILITY, RANGE}


def test_mirrored_chunks_turn_features_and_labels_together():
    source, mirror = InMemory(labelled_rows(1000)), Mirror((0, 2, 1, 3, 4), (-1.0, 1.0, 1.0, 1.0, 1.0))
    settings = quick_training(chunk_rows=50, batch_chunks=2, mirror_share=1.0)
    found = survey(source, NETWORK.receptive_rows, settings.chunk_rows)
    turned = next(iter(DenseBatches(NETWORK, source, found, settings, learning=True, mirror=mirror)))
    other = _chunk_like(turned, source)
    assert torch.equal(turned["x"][0], other["x"][:, [0, 2, 1, 3, 4]] * torch.tensor([-1.0, 1.0, 1.0, 1.0, 1.0]))
    assert torch.equal(turned["truth"][0], 2 - other["truth"])
    assert torch.equal(turned["gross"][0], -other["gross"])
    assert torch.equal(turned["weights"][0], other["weights"])


def _chunk_like(turned, source):
    """The chunk of the rows as they are that holds the same two features that no mirror changes."""
    for batch in _batches(source, learning=False):
        for number, x in enumerate(batch["x"]):
            if torch.equal(turned["x"][0][:, 3:], x[:, 3:]):
                return {name: batch[name][number] for name in ("x", "truth", "gross", "weights")}
    raise AssertionError("no chunk of the source was mirrored")


def test_rows_that_judge_are_never_mirrored():
    source = InMemory(labelled_rows(500))
    settings = quick_training(chunk_rows=50, batch_chunks=2, mirror_share=1.0)
    found = survey(source, NETWORK.receptive_rows, settings.chunk_rows)
    mirror = Mirror((0, 1, 2, 3, 4), (-1.0,) * 5)
    judged = DenseBatches(NETWORK, source, found, settings, learning=False, mirror=mirror)
    assert all(
        torch.equal(one["x"], other["x"]) for one, other in zip(judged, _batches(source, learning=False), strict=True)
    )
