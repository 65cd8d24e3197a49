"""``main.py benchmark recordings`` on a minute of synthetic market: everybody in the tables, slices purged."""

import json
import math
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import main
from assets import recorded_contest
from assets.recorded_contest import Terms, carried, decided, forecasts_of, judged_alone
from assets.recorded_rows import recorded
from assets.recorded_slices import PooledSlice, Windows, recorded_slices
from market.errors import NotEnoughData
from tests.builders_chain import tiny_settings
from tests.builders_modeling import labelled_rows, random_model, split_slices

pytest.importorskip("torch")
RULES = {"class_prior", "persistence", "imbalance", "median_band", "logistic", "lightgbm"}


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return tiny_settings(tmp_path_factory.mktemp("tape"))


def _run(settings, monkeypatch, capsys, *words):
    monkeypatch.setattr("commands.line.load_settings", lambda: settings)
    monkeypatch.setattr(sys, "argv", ["main.py", "benchmark", "recordings", *words])
    status = main.main()
    said = capsys.readouterr()
    return status, said.out, said.err


def test_every_kind_seed_and_baseline_stands_in_the_tables(settings, monkeypatch, capsys):
    words = ("--kinds", "cnn,gru", "--seeds", "2", "--json")
    short = replace(settings, models=replace(settings.models, training=replace(settings.models.training, epochs=1)))
    status, out, err = _run(short, monkeypatch, capsys, *words)
    assert status == 0
    found = json.loads(out)
    seeds = {f"{kind} seed {settings.models.training.seed + number}" for kind in ("cnn", "gru") for number in (0, 1)}
    ensembles = {"cnn ensemble", "gru ensemble", "mean of kinds"}
    scores = {(line["model"], line["horizon_ms"]): line for line in found["scores_over_all_slices"]}
    assert {name for name, _ in scores} == RULES | seeds | ensembles
    assert len({line["rows"] for line in scores.values() if line["horizon_ms"] == 250}) == 1
    by_slice = {line["model"]: line for line in found["by_slice"] if line["horizon_ms"] == 1000}
    earlier, later = sorted(name for name in by_slice["cnn ensemble"] if name.startswith("macro_f1_"))
    keys = {name.removeprefix("macro_f1_") for name in (earlier, later)}
    assert by_slice["stacked kinds"][earlier] is None  # no slice before it to learn weights from
    assert 0 <= by_slice["stacked kinds"][later] <= 1
    spread = found["mean_and_spread_over_seeds"]
    assert {(line["kind"], line["seeds"]) for line in spread} == {("cnn", 2), ("gru", 2)}
    assert sum("cnn ensemble against" in line or "cnn ensemble " in line for line in found["verdict"]) >= len(RULES)
    assert "cnn from seed" in err
    tried = {(trial["slice"], trial["study"], trial["number"]) for trial in found["trials"]}
    assert tried == {(key, f"lightgbm/h{horizon}_b0", 0) for key in keys for horizon in (250, 1000)}


def test_fits_that_time_does_not_allow_are_named(settings, monkeypatch, capsys):
    status, _, err = _run(settings, monkeypatch, capsys, "--budget-minutes", "0.0001")
    assert status == 1
    assert "no network was fitted on every slice in the time given" in err


def test_who_waits_hears_the_epochs_of_every_fit(settings, monkeypatch):
    def fit(work, report):
        report(0, 0.75)
        return SimpleNamespace(model=work.network.kind, val_nll=0.75, best_epoch=0)

    monkeypatch.setattr(recorded_contest, "fit_on_devices", fit)
    rows, said, passing = labelled_rows(50), [], []
    windows, terms = Windows(rows, rows, rows, rows, rows), Terms(("cnn", "gru"), 2, math.inf)
    found, missing = recorded_contest.fitted(settings, windows, terms, said.append, passing.append)
    assert (list(found), missing) == (["cnn", "gru"], ())
    fits = [line.partition(":")[0] for line in said]
    assert [line.partition(";")[0] for line in passing] == fits
    assert all(f"; epoch 1 of {settings.models.training.epochs}, about " in line for line in passing)


def test_unknown_kind_is_one_line(settings, monkeypatch, capsys):
    status, _, err = _run(settings, monkeypatch, capsys, "--kinds", "cnn,oracle")
    assert (status, err) == (1, "tickloop: --kinds names oracle; allowed: cnn, transformer, gru\n")


def test_no_label_of_a_window_is_known_later_than_the_next_begins(settings):
    one = recorded(settings, settings.data.symbols[0])
    pieces = recorded_slices(settings, [one], [one], 50)
    assert len(pieces) == 2
    for piece in pieces:
        (windows,) = piece.symbols
        starts = [int(part.row_ts[part.classes[:, 0] != -128][0]) for part in windows]
        for part, following in zip(windows[:-1], starts[1:], strict=True):
            assert part.known_ts.max() < following
        assert len(piece.whole.train) == 2 * len(windows.train)  # the teacher's rows are in Train alone
        assert len(piece.whole.test) == len(windows.test)
    assert pieces[1].piece.train[0] == pieces[0].piece.train[0]
    assert pieces[1].piece.train[1] > pieces[0].piece.train[1]


def test_rows_are_those_of_the_chain_whatever_the_day_boundary(settings):
    one = recorded(settings, settings.data.symbols[0])
    assert (one.over_ts < one.rows.row_ts).all()  # a message behind an instant comes a feed delay later
    assert (np.diff(one.rows.row_ts) == settings.features.row_interval_ms * 1_000_000).all()
    days = np.unique(one.rows.row_ts // 86_400_000_000_000)
    assert len(days) == 2
    assert np.array_equal(one.labels["row_ts"].to_numpy(), one.rows.row_ts)


def test_too_short_a_span_is_refused(settings):
    one = recorded(settings, settings.data.symbols[0])
    rows = type(one.rows)(*(array[:800] for array in one.rows))
    short = one._replace(rows=rows, labels=one.labels[:800], regimes=one.regimes[:800], over_ts=one.over_ts[:800])
    with pytest.raises(NotEnoughData, match="is too short for 2 slices"):
        recorded_slices(settings, [short], [], 50)


def test_test_decides_nothing_and_conformal_scores_begin_behind_the_calibration(settings):
    train, search, calibration, conformal, test = (labelled_rows(400, seed=seed) for seed in range(5))
    windows, model = Windows(train, search, calibration, conformal, test), random_model()
    heard = forecasts_of(model, windows)
    turned = windows._replace(test=replace(test, classes=-test.classes, gross_bp=-test.gross_bp))
    piece = PooledSlice(split_slices(0, 200, 40, 80, 40, 1)[0], (windows,), ())

    def answers(data):
        (found,) = decided(settings, piece._replace(symbols=(data,)), 50, "cnn", heard).values()
        return found

    found, blind = map(answers, (windows, turned))
    assert np.array_equal(found.classes, blind.classes)
    other = windows._replace(calibration=replace(calibration, classes=np.abs(calibration.classes)))
    moved = answers(other)
    assert not np.array_equal(found.classes, moved.classes)
    alone = judged_alone(settings, model, windows, 50)
    assert alone.conformal is conformal
    served = carried(settings, piece, 50, heard)
    assert np.array_equal(served.calibration, heard.calibration)
    assert np.array_equal(alone.before.probabilities, served.conformal)
    assert np.array_equal(alone.said[0].probabilities, served.test)
    assert not np.allclose(served.test, heard.test)
