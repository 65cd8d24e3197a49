"""Pictures of a search and its fits: every trial and epoch in place, and a word where there is nothing to draw."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest

from assets.plots import number_chart, svg_of
from assets.study_pages import curve_chart, curve_metrics, fit_metrics, history_chart, study_pages, write_pictures

EPOCHS = [
    {"member": member, "epoch": epoch, "val_nll": 1.0 - 0.1 * epoch - member, "seconds": 2.0, "rows": 100}
    for member, epochs in ((0, 3), (1, 2))
    for epoch in range(epochs)
]
TRIALS = pl.DataFrame({"number": [1, 0, 3], "value": [None, -1.0, 2.0]})


def lines_of(chart: str) -> list[str]:
    paths = [element for element in ElementTree.fromstring(svg_of(chart)).iter() if element.get("stroke-width")]
    return [path.attrib["d"] for path in paths]


def test_history_shows_every_trial_and_the_best_until_then() -> None:
    values, best = lines_of(history_chart(TRIALS))
    assert (values.count("M"), values.count("L")) == (2, 0)  # the trial without a value is a hole
    assert (best.count("M"), best.count("L")) == (1, 2)


def test_importances_stand_as_shares_or_as_a_word() -> None:
    page = study_pages(TRIALS, {"width": 0.75, "dropout": 0.25})["importances"]
    texts = [element.text for element in ElementTree.fromstring(svg_of(page)).iter()]
    assert {"width", "75.0", "dropout", "25.0"} <= set(texts)
    assert study_pages(TRIALS, {})["importances"].startswith("none: too few trials")


def test_curves_go_to_mlflow_member_by_member() -> None:
    curves = curve_metrics(EPOCHS)
    assert curves["fit/val_nll/member0"] == pytest.approx([1.0, 0.9, 0.8])
    assert curves["fit/val_nll/member1"] == pytest.approx([0.0, -0.1])
    assert "fit/learning_rate/member0" not in curves
    assert fit_metrics(EPOCHS) == {"fit/total_seconds": 10.0, "fit/mean_predictions_per_s": 50.0}
    assert fit_metrics([epoch | {"seconds": None} for epoch in EPOCHS]) == {}
    longer, shorter = lines_of(curve_chart(EPOCHS, "val_nll"))
    assert (longer.count("L"), shorter.count("L")) == (2, 1)


def test_pictures_are_files_where_there_is_something_to_draw(tmp_path: Path) -> None:
    charts = {"history": history_chart(TRIALS), "empty": number_chart("x", np.arange(0), {})}
    folder = write_pictures(tmp_path / "pictures", charts)
    assert [path.name for path in folder.iterdir()] == ["history.svg"]
    assert (folder / "history.svg").read_bytes().startswith(b"<svg")
