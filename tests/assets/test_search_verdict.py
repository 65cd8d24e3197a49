"""What the statistics say of a search: every study of the slice counts, and what is no number is no metric."""

import json
from pathlib import Path

import numpy as np

from assets.search_verdict import LEDGER, facts_of, metrics_of, verdict_of, whole_ledger
from config.loading import load_settings

MINUTE_NS = 60_000_000_000


def write_ledger(folder: Path, lift: float, minutes: int, **fields: float) -> None:
    """Three trials with a series, one without. fields : of every line"""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(3)
    rows = [
        {
            **fields,
            "study": "search",
            "number": number,
            "minute_ts": [MINUTE_NS * place for place in range(minutes)] if number < 3 else [],
            "minute_net": (rng.normal(size=minutes) + lift * (number == 0)).tolist() if number < 3 else [],
        }
        for number in range(4)
    ]
    (folder / LEDGER).write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_trials_of_every_study_of_a_slice_count(tmp_path: Path) -> None:
    write_ledger(tmp_path / "aaa", 0.0, 400)
    write_ledger(tmp_path / "bbb", 0.8, 400)
    facts = facts_of(verdict_of(load_settings("dev"), whole_ledger(tmp_path)))
    assert (facts["trials"], facts["silent"], facts["minutes"]) == (8, 2, 400)
    assert facts["verdict"] == "better"
    assert facts["spa_p"] < 0.05 < facts["deflated_sharpe"]
    assert metrics_of(facts)["search/spa_p"] == facts["spa_p"]


def test_a_trial_that_held_one_position_all_along_is_one_bet_and_says_nothing(tmp_path: Path) -> None:
    """Unless it lost: then nobody takes it for a find."""
    for folder, value in (("earned", 3.0), ("lost", -3.0)):
        write_ledger(tmp_path / folder / "aaa", 0.8, 400)
        write_ledger(tmp_path / folder / "bbb", 0.0, 400, value=value, held_minutes=380.0)
    earned, lost = (
        facts_of(verdict_of(load_settings("dev"), whole_ledger(tmp_path / folder)))["verdict"]
        for folder in ("earned", "lost")
    )
    assert (earned, lost) == ("insufficient", "better")


def test_a_search_over_minutes_is_insufficient_and_has_no_number_but_its_counts(tmp_path: Path) -> None:
    write_ledger(tmp_path / "aaa", 0.8, 5)
    facts = facts_of(verdict_of(load_settings("dev"), whole_ledger(tmp_path)))
    assert facts["verdict"] == "insufficient"
    assert set(metrics_of(facts)) == {f"search/{name}" for name in ("trials", "silent", "step_m_better", "minutes")}
    json.dumps(facts, allow_nan=False)
