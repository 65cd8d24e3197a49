"""What the one screen says of a weak model."""

from pathlib import Path

import pytest

from orchestration.summary import beaten_by, from_here


def test_a_page_is_named_from_where_the_person_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert from_here(str(tmp_path / "var" / "page.html")) == "var/page.html"
    assert from_here(str(tmp_path.parent / "page.html")) == str(tmp_path.parent / "page.html")


def test_baselines_that_score_no_less_than_the_model_are_named() -> None:
    scores = [{"model": name, "macro_f1": score} for name, score in (("prior", 0.2), ("rule", 0.3), ("model", 0.2))]
    assert beaten_by(scores) == ["prior", "rule"]
    assert beaten_by([row | {"macro_f1": 0.1} for row in scores[:2]] + scores[2:]) == []
