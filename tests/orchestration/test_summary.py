"""What the one screen says of a weak model."""

import polars as pl

from orchestration.summary import beaten_by


def test_baselines_that_score_no_less_than_the_model_are_named() -> None:
    scores = pl.DataFrame({"model": ["class_prior", "imbalance", "model"], "macro_f1": [0.2, 0.3, 0.2]})
    assert beaten_by(scores) == ["class_prior", "imbalance"]
    assert beaten_by(scores.with_columns(macro_f1=pl.Series([0.1, 0.1, 0.2]))) == []
