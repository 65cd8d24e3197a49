"""``main.py benchmark fi2010`` on small files: everybody in one table, and one clear error where a file is wrong."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import main
from assets.fi2010_command import MODEL, fit_network, predictions, table_text
from config.loading import load_settings
from config.settings import Settings
from modeling.fi2010 import Files, matrix_of, parts_of
from modeling.parameters import CnnParameters
from tests.builders_fi2010 import matrix, write_files
from tests.builders_modeling import quick_training

PREDICTORS = ("class_prior", "persistence", "imbalance", "median_band", "logistic", "lightgbm", MODEL)


def _small(settings: Settings, **training: float) -> Settings:
    models = settings.models
    small = replace(
        models,
        network=CnnParameters("cnn", 64, 2, 3, 2, 0.1),
        training=quick_training(**training),
        learners=replace(models.learners, lightgbm_rounds=10),
        search=replace(models.search, trials=1),
    )
    return replace(settings, models=small)


def _run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    settings = _small(load_settings("dev"), epochs=2, chunk_rows=256)
    monkeypatch.setattr("commands.line.load_settings", lambda: settings)
    monkeypatch.setattr(sys, "argv", ["main.py", "benchmark", "fi2010", *words])
    status = main.main()
    said = capsys.readouterr()
    return status, said.out, said.err


def test_benchmark_prints_every_predictor_at_every_horizon(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("FI2010_DIR", str(write_files(tmp_path)))
    status, out, _ = _run(monkeypatch, capsys, "--json")
    assert status == 0
    found = json.loads(out)
    assert found["windows"] == [621, 81, 561]
    assert found["published_macro_f1_pct"]["TLOB"]["100"] == 93.0
    scores = {(line["model"], line["horizon_events"]): line for line in found["scores"]}
    assert {name for name, _ in scores} == set(PREDICTORS)
    assert {events for _, events in scores} == {10, 20, 30, 50, 100}
    assert scores["imbalance", 10]["macro_f1"] > 0.8
    assert scores["logistic", 10]["nll_skill"] > 0.5
    assert scores[MODEL, 10]["nll"] < scores["class_prior", 10]["nll"]
    head, *rows = table_text(found["scores"], SimpleNamespace(windows=found["windows"])).splitlines()  # type: ignore[arg-type]
    assert head == "621 / 81 / 561 windows of 100 to train, validate and test"
    table = {row[:30].rstrip(): row[30:].split() for row in rows}
    horizons = (10, 20, 30, 50, 100)
    assert table["macro-F1, %"] == [f"k={events}" for events in horizons]
    assert table[MODEL] == [f"{100 * scores[MODEL, events]['macro_f1']:.1f}" for events in horizons]
    assert table["TLOB (published)"] == ["82.0", "83.0", "-", "90.0", "93.0"]
    assert len(table) == 1 + len(PREDICTORS) + 3


def test_wrong_folder_and_wrong_file_are_told_in_one_line(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.delenv("FI2010_DIR", raising=False)
    assert _run(monkeypatch, capsys)[::2] == (
        1,
        "tickloop: FI2010_DIR='' must name the folder that FI-2010 was unpacked in\n",
    )
    monkeypatch.setenv("FI2010_DIR", str(tmp_path))
    assert "0 files Train_Dst_NoAuction_ZScore_CF_7.txt below" in _run(monkeypatch, capsys)[2]
    torn = next(Path(write_files(tmp_path)).rglob("Test*_CF_8.txt"))
    torn.write_text(torn.read_text()[:-20_000])
    status, _, err = _run(monkeypatch, capsys)
    assert status == 1
    assert err.startswith(f"tickloop: {torn}: row ")
    assert err.count("\n") == 1


def test_labels_of_test_leave_no_byte_in_what_was_fitted() -> None:
    train, *tests = (matrix_of(matrix(columns, columns)) for columns in (600, 110, 120))
    parts, settings = parts_of(Files(train, tuple(tests))), _small(load_settings("dev"), epochs=4, learning_rate=1e-3)
    turned = replace(parts, test=replace(parts.test, classes=-parts.test.classes, gross_bp=-parts.test.gross_bp))
    said: list[str] = []
    one, other = (fit_network(settings, each, said.append) for each in (parts, turned))
    epochs = settings.models.training.epochs
    assert len(said) == 2 * epochs
    assert said[0].startswith(f"cnn; epoch 1 of {epochs}, about ")
    assert one.calibration.scale.tobytes() == other.calibration.scale.tobytes()
    assert one.calibration.bias.tobytes() == other.calibration.bias.tobytes()
    assert all(array.tobytes() == other.weights[name].tobytes() for name, array in one.weights.items())
    said, again = (
        {each.name: each.probabilities.tobytes() for each in predictions(settings, known, one)}
        for known in (parts, turned)
    )
    assert {name for name in PREDICTORS if said[name] != again[name]} <= {"persistence"}
