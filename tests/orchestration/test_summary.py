"""What the one screen says of a weak model."""

from pathlib import Path

import polars as pl
import pytest

from orchestration.summary import beaten_by, from_here


def test_a_page_is_named_from_where_the_person_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert from_here(str(tmp_path / "var" / "page.html")) == "var/page.html"
    assert from_here(str(tmp_path.parent / "page.html")) == str(tmp_path.parent / "page.html")


def test_baselines_that_score_no_less_than_the_model_are_named() -> None:
    scores = pl.DataFrame({"model": ["class_prior", "imbalance", "model"], "macro_f1": [0.2, 0.3, 0.2]})
    assert beaten_by(scores) == ["class_prior", "imbalance"]
    assert beaten_by(scores.with_columns(macro_f1=pl.Series([0.1, 0.1, 0.2]))) == []
