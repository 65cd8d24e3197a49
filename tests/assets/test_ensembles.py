"""A slice's ensemble: who its members are, what they count, and how sure the whole is; nothing from a later slice."""

from dataclasses import replace
from logging import DEBUG, INFO, Handler, Logger
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from assets import ensembles, stacking
from assets.ensembles import Trained, certain, combined, member_candidates, mixed, train_members
from assets.fitting import Bench
from assets.partitions import WHOLE, Part
from assets.slice_data import SliceData
from assets.stacking import answers_alike, earlier_shares, earlier_slices, said_before
from assets.walk_forward_slices import slice_frame
from assets.warm_start import Start
from config.loading import load_settings
from market.errors import LeakageError
from market.schema import schema_sha
from modeling.adaptive_calibration import AdaptiveCalibration
from modeling.calibration import identity
from modeling.ensemble import fit_stacking, require_earlier
from modeling.evaluation import log_loss
from modeling.forecast import Cell
from modeling.parameters import EnsembleParameters, GruParameters
from modeling.search_space import Candidate
from modeling.snapshot import ENSEMBLE, ModelSnapshot, shares_of
from modeling.streaming import forecaster_from
from modeling.training import Report
from modeling.training_parts import InMemory
from modeling.uncertainty import AdaptiveConformal, class_scores, true_scores
from modeling.walk_forward import Slice, ValParts
from storage.lake import Lake
from tests.builders_market import COINM_BTC
from tests.builders_modeling import (
    SHAPE,
    START,
    labelled_rows,
    quick_training,
    random_model,
    small_networks,
    split_slices,
)

THREE = EnsembleParameters("ensemble", 3, (), 8, False)
GRU = GruParameters("gru", 64, 1, 256, 0.1)


def bench() -> Bench:
    """A bench whose second part of Val holds 1,200 rows; what the market did is not asked for here."""
    rows: Any = SliceData(*(InMemory(labelled_rows(seed=seed)) for seed in range(6)))
    nothing: Any = None
    return Bench(load_settings("dev"), COINM_BTC.name, rows, nothing, nothing)


def trained(count: int = 3) -> list[Trained]:
    """Random networks of each kind in turn, as a fit leaves them."""
    networks = list(small_networks().values())
    models = [replace(random_model(seed, networks[seed % 3]), calibration=identity(3)) for seed in range(count)]
    fits: list[Any] = [SimpleNamespace(model=model, val_nll=1.0, best_epoch=2, history=[None] * 4) for model in models]
    return [Trained(7 + number, fit, "cold") for number, fit in enumerate(fits)]


def test_members_have_seeds_of_their_own_and_take_the_shapes_in_turn() -> None:
    network = load_settings("dev").models.network
    candidate = Candidate(network, quick_training())
    assert [seed for seed, _ in member_candidates(THREE, candidate)] == [3, 4, 5]
    assert {one.network for _, one in member_candidates(THREE, candidate)} == {network}
    turns = list(member_candidates(replace(THREE, members=4, networks=(GRU,)), candidate))
    assert [one.network.kind for _, one in turns] == ["cnn", "gru", "cnn", "gru"]
    assert [seed for seed, _ in member_candidates(replace(THREE, method="mc_dropout"), candidate)] == [3]


def test_each_member_is_fitted_from_its_own_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted, log = [], Logger("members")
    shown = [list[str](), list[str]()]
    for level, lines in zip((DEBUG, INFO), shown, strict=True):
        handler = Handler(level)
        handler.emit = lambda record, lines=lines: lines.append(record.getMessage())  # type: ignore[method-assign, misc]
        log.addHandler(handler)

    def train(
        on: Bench, one: Candidate, seed: int, *, report: Report, folder: Path, before: ModelSnapshot | None
    ) -> Any:
        fitted.append((seed, folder.name, before))
        report(1, 0.75)
        return trained(1)[0].fit

    monkeypatch.setattr(ensembles, "train", train)
    before, candidate = random_model(), Candidate(load_settings("dev").models.network, quick_training())
    members = train_members(
        bench(), candidate, lambda one, number: Start(before if number else None, "begun"), tmp_path, log
    )
    ends = [
        f"member {number}, cnn from seed {seed}: 1.0000 nats on Val after epoch 3 of 4"
        for number, seed in ((1, 3), (2, 4), (3, 5))
    ]
    most = candidate.training.epochs
    epochs = [f"member {number} of 3; epoch 2 of {most}" for number in (1, 2, 3)]
    details = [line for line in shown[0] if line not in ends]
    assert shown == [[line for pair in zip(details, ends, strict=True) for line in pair], ends]
    assert [line.partition(",")[0] for line in details] == epochs
    assert all(line.endswith(" s to go: 0.7500 nats on Val") for line in details)
    assert fitted == [(3, "3", None), (4, "4", before), (5, "5", before)]
    assert [(one.seed, one.start) for one in members] == [(3, "begun"), (4, "begun"), (5, "begun")]


def test_one_member_stays_a_network_and_several_are_an_ensemble_of_equals() -> None:
    assert mixed(THREE, trained(1)).kind == "cnn"
    whole = mixed(THREE, trained())
    assert (whole.kind, shares_of(whole).tolist()) == (ENSEMBLE, [[1 / 3] * 3] * 3)
    assert trained()[1].facts == {"kind": "transformer", "seed": 8, "val_nll": 1.0, "best_epoch": 2, "start": "cold"}


def test_draws_of_dropout_are_members_that_come_back_with_their_seed() -> None:
    asked = replace(THREE, method="mc_dropout", passes=5)
    whole, again = mixed(asked, trained(1)), mixed(asked, trained(1))
    assert len(whole.spec["members"]) == 5
    assert all(np.array_equal(whole.weights[name], again.weights[name]) for name in whole.weights)
    rows = labelled_rows(80)
    forecaster = forecaster_from(whole)
    spread = SHAPE.spreads_bp(forecaster.run(rows.values, rows.valid))[-1]
    assert spread.min() > 1e-4
    kept = whole.weights["member0.classes.weight"].any(1)
    assert 0 < kept.sum() < kept.size
    plain = trained(1)[0].fit.model.weights["classes.weight"]
    assert np.allclose(whole.weights["member0.classes.weight"][kept], plain[kept] / 0.9)


def test_the_whole_is_calibrated_together_and_knows_how_sure_it_is() -> None:
    on = bench()
    model = combined(on, trained())
    rows, forecaster = on.data.calibration.part(0), forecaster_from(model)
    said = SHAPE.probabilities(forecaster.run(rows.values, rows.valid))[forecaster.receptive_rows :]
    classes = rows.classes[forecaster.receptive_rows :]
    plain = forecaster_from(mixed(THREE, trained()))
    before = SHAPE.probabilities(plain.run(rows.values, rows.valid))[forecaster.receptive_rows :]
    truth = classes.astype(np.int64)
    for cell in range(3):
        assert log_loss(said[:, cell], truth[:, cell]) < log_loss(before[:, cell], truth[:, cell])
    rows, certainty = on.data.conformal.part(0), model.certainty
    assert certainty is not None
    assert (certainty.cell, certainty.delay_ms) == (Cell(1000, 0.0), 11.0)
    assert certainty.parameters.rate == pytest.approx(0.05 / 50)  # fifty rows a second share one return
    ready = slice(forecaster.receptive_rows - 1, None)
    said = SHAPE.probabilities(forecaster.run(rows.values, rows.valid))[ready, 2]
    assert certainty.adaptive == on.settings.models.adaptive_calibration.of_rows(1000, 20)
    learnt, came = AdaptiveCalibration(certainty.adaptive), rows.classes[ready, 2]
    bent = learnt.run(rows.over_ts[ready], said, came, rows.known_ts[ready, 1])
    assert certainty.calibration == learnt.as_dict()
    scores = true_scores(class_scores(bent), came)[-1_000:]
    begins = AdaptiveConformal.from_dict(certainty.parameters, certainty.sets).threshold()
    assert np.mean(scores <= begins) == pytest.approx(0.9, abs=0.005)


def test_calibration_and_certainty_each_read_a_part_of_val_of_their_own() -> None:
    on, nothing = bench(), SimpleNamespace(shape=SHAPE)
    known: Any = SliceData(*[nothing] * 3, on.data.calibration, on.data.conformal, nothing)
    alone, whole = (combined(replace(on, data=data), trained()) for data in (known, on.data))
    assert alone.calibration.as_dict() == whole.calibration.as_dict()
    assert alone.certainty == whole.certainty
    other = combined(replace(on, data=on.data._replace(conformal=InMemory(labelled_rows(seed=9)))), trained())
    assert other.calibration.as_dict() == whole.calibration.as_dict()
    assert other.certainty != whole.certainty


def test_a_gross_anchor_measures_from_the_decision() -> None:
    on = bench()
    labels = replace(on.settings.labels, anchor="gross")
    model = certain(replace(on, settings=replace(on.settings, labels=labels)), trained(1)[0].fit.model)
    assert model.certainty is not None
    assert model.certainty.delay_ms == 0.0


def ensemble() -> ModelSnapshot:
    return replace(mixed(THREE, trained()), calibration=random_model().calibration)


def test_shares_are_learned_from_earlier_slices_alone_and_only_where_stacking_is_asked_for(tmp_path: Path) -> None:
    lake, settings, pieces = Lake(tmp_path), load_settings("dev"), split_slices(0, 100, 30, 10, 10, 5)
    frame = slice_frame(pieces)
    for table, key, passed in (
        ("walk_forward_slices", WHOLE, True),
        *(("models", piece.key, place != 1) for place, piece in enumerate(pieces)),
    ):
        lake.write(table, "one", key, frame, schema_sha=schema_sha(frame.schema))
        lake.set_verdict(table, "one", key, passed, {})
    models = replace(settings.models, ensemble=replace(settings.models.ensemble, stacking=True))
    asked, part = replace(settings, models=models), Part("one", pieces[3].key)
    assert [one.key for one in earlier_slices(asked, lake, part)] == [pieces[0].key, pieces[2].key]
    assert earlier_slices(settings, lake, part) == []


def test_shares_are_learned_from_what_members_said_before_calibration() -> None:
    test, plain = labelled_rows(400), forecaster_from(mixed(THREE, trained()))
    test = replace(test, over_ts=np.full_like(test.over_ts, test.known_ts.max()))
    piece = said_before("k", ensemble(), InMemory(test), 2**62)
    expected = plain.run_members(test.values, test.valid)[plain.receptive_rows - 1 :]  # type: ignore[union-attr]
    assert piece.probabilities.shape == (3, len(expected), 3, 3)
    for member in range(3):
        assert np.allclose(piece.probabilities[member], SHAPE.probabilities(expected[:, member]))
    assert np.allclose(fit_stacking([piece]).weights.sum(1), 1.0)


def test_shares_never_come_from_a_label_that_is_known_once_the_later_slice_has_begun() -> None:
    test = labelled_rows(400)
    first = START + 300 * 20_000_000
    piece = said_before("k", ensemble(), InMemory(test), first)
    assert piece.known_ts.max() < first
    assert piece.row_ts[-1] == START + 249 * 20_000_000  # the longest horizon, a second, before it
    late = replace(test, over_ts=test.row_ts - 3 * 20_000_000)  # of messages that come three rows later
    assert said_before("k", ensemble(), InMemory(late), first).row_ts[-1] == START + 246 * 20_000_000
    learnt = fit_stacking([piece])
    require_earlier(learnt, first, "later")
    with pytest.raises(LeakageError, match="slice later begins at"):
        require_earlier(learnt, learnt.known_ts, "later")


def test_shares_never_come_from_rows_on_which_the_later_slice_begins_its_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The earlier Test, 24 s, lies over the later slice's calibration and conformal start."""
    second = 1_000_000_000
    train, val, search, calibration, conformal, later = (
        (START + start * second, START + end * second)
        for start, end in ((-20, -10), (-9, 20), (-9, 8), (10, 14), (16, 20), (22, 30))
    )
    piece = Slice("later", train, val, later, ValParts(search, calibration, conformal))
    on, test = bench(), InMemory(labelled_rows())
    found = {
        "slice_of": piece,
        "earlier_slices": [Part("one", "earlier")],
        "slice_model": ensemble(),
        "slice_data": on.data._replace(test=test),
    }
    for name, value in found.items():
        monkeypatch.setattr(stacking, name, lambda *_, value=value: value)
    said = [said_before("earlier", ensemble(), test, first) for first in (calibration[0], later[0])]
    shares = earlier_shares(on, Lake(Path()), Part("one", "later"), ["cnn", "transformer", "gru"])
    assert shares is not None
    assert np.array_equal(shares, fit_stacking(said[:1]).weights)
    assert not np.allclose(shares, fit_stacking(said[1:]).weights)


def test_only_ensembles_of_the_same_kinds_and_cells_are_learned_from() -> None:
    on, kinds = bench(), ["cnn", "transformer", "gru"]
    assert answers_alike(ensemble(), kinds, on)
    assert not answers_alike(ensemble(), ["cnn", "cnn", "cnn"], on)
    assert not answers_alike(trained(1)[0].fit.model, ["cnn"], on)
