"""The whole ledger before the statistics, abandoned trials included; and every test on markets whose truth is known."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtest.overfitting import expected_best_sharpe
from backtest.statistics import TrialTable, judge_search, raised_for, trial_table
from benchmarks.bench_statistics import TESTS, null_market, planted_market, share_found
from market.errors import DataError
from modeling.search import ABANDONED, COMPLETE, PRUNED, Trial
from storage.trials import append_trial, read_trials

MINUTE = 60_000_000_000


def row(number: int, net: list[float | None], first: int = 0, state: str = COMPLETE) -> dict[str, Any]:
    minutes = [(first + place) * MINUTE for place in range(len(net))]
    return {"study": "s", "number": number, "state": state, "minute_ts": minutes, "minute_net": net}


def ledger(trials: int, silent: int, lift: float = 0.0, size: int = 1_000) -> list[dict[str, Any]]:
    net = np.random.default_rng(11).normal(size=(trials, size))
    net[0] += lift
    heard = [row(number, series.tolist()) for number, series in enumerate(net)]
    return [*heard, *(row(trials + number, [], state=ABANDONED) for number in range(silent))]


def test_the_ledger_as_it_is_written_becomes_a_table(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    for number, (minutes, net, state) in enumerate([((60, 120), (1.0, -0.5), COMPLETE), ((), (), PRUNED)]):
        append_trial(path, Trial("s", number, state, {}, None, None, minutes, net, ""))
    table = trial_table(read_trials(path))
    assert (table.names, table.silent, table.trials) == (("s/0",), ("s/1",), 2)
    assert (table.minutes.tolist(), table.net.tolist()) == ([60, 120], [[1.0], [-0.5]])


def test_minutes_are_matched_by_their_stamp_and_missing_ones_are_not_zero() -> None:
    table = trial_table([row(0, [1.0, 2.0, 3.0]), row(1, [5.0, None], first=2), row(2, [7.0], first=1)])
    assert (table.minutes // MINUTE).tolist() == [0, 1, 2, 3]
    expected = [[1.0, np.nan, np.nan], [2.0, np.nan, 7.0], [3.0, 5.0, np.nan], [np.nan, np.nan, np.nan]]
    assert np.array_equal(table.net, np.array(expected), equal_nan=True)


def test_a_trial_that_stands_twice_counts_once() -> None:
    table = trial_table([row(0, [1.0]), row(1, [], state=ABANDONED), row(1, [], state=ABANDONED)])
    assert (table.trials, table.silent) == (2, ("s/1",))


def test_series_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="trial s/0 has 2 profits for 1 minutes"):
        trial_table([row(0, [1.0, 2.0]) | {"minute_ts": [60]}])
    with pytest.raises(DataError, match="trial s/0 has 2 profits for 1 minutes"):
        trial_table([row(0, [1.0, 2.0]) | {"minute_ts": [60, 60]}])
    with pytest.raises(DataError, match="trial s/3 has an infinite profit"):
        trial_table([row(3, [1.0, np.inf])])


def test_an_edge_is_found_and_abandoned_trials_make_it_harder_to_find() -> None:
    judged = [judge_search(trial_table(ledger(8, silent, 0.25)), 1, 1, np.random.default_rng(0)) for silent in (0, 40)]
    assert judged[0].verdict == "better"
    assert judged[0].spa.best == "s/0"
    assert judged[0].step_m.better == ("s/0",)
    assert judged[0].spa.p == judged[0].spa_p == judged[1].spa.p == 0.001
    assert judged[1].spa_p == pytest.approx(1 - 0.999**6)
    first, second = (one.deflated_sharpe.hurdle for one in judged)
    assert first is not None
    assert second is not None
    assert second > first
    assert judged[1].sentences[-1].startswith("40 of 48 trials left no series; SPA's p with them is 0.00599")
    assert json.loads(json.dumps(judged[1].as_dict()))["silent"] == 40


def test_the_best_of_noise_is_not_shown_to_be_better() -> None:
    found = judge_search(trial_table(ledger(20, 3)), 1, 1, np.random.default_rng(0))
    assert found.verdict == "not shown"
    assert found.spa.p is not None
    assert found.spa.p > 0.1
    assert found.step_m.better == ()


def test_against_a_champion_only_what_it_adds_counts() -> None:
    table = trial_table(ledger(4, 0, 0.25))
    champion = table.net[:, 0] + 1e-3 * np.random.default_rng(1).normal(size=len(table.net))
    assert judge_search(table, 1, 1, np.random.default_rng(0), benchmark=champion).verdict == "not shown"


def test_blocks_are_thrice_the_longer_of_horizon_and_holding() -> None:
    assert judge_search(trial_table(ledger(3, 0, size=2_000)), 5, 30, np.random.default_rng(0)).spa.block == 90


@pytest.mark.parametrize("rows", [[], [row(0, [], state=ABANDONED)], ledger(3, 1, size=25), [row(0, [0.0] * 500)]])
def test_a_ledger_that_holds_too_little_is_insufficient(rows: list[dict[str, Any]]) -> None:
    found = judge_search(trial_table(rows), 1, 1, np.random.default_rng(0))
    assert (found.verdict, found.spa_p) == ("insufficient", None)
    assert found.sentences[0].startswith("SPA: insufficient, ")


def test_trials_that_never_traded_count_with_a_ratio_of_zero_in_the_hurdle() -> None:
    heard, idle = ledger(8, 0, 0.25, 400), [row(8 + number, [0.0] * 400) for number in range(4)]
    ratios = [np.mean(each["minute_net"]) / np.std(each["minute_net"], ddof=1) for each in heard]
    hurdle = judge_search(trial_table([*heard, *idle]), 1, 1, np.random.default_rng(0)).deflated_sharpe.hurdle
    assert hurdle == pytest.approx(expected_best_sharpe(12, float(np.var([*ratios, 0.0, 0.0, 0.0, 0.0], ddof=1))))
    assert hurdle != pytest.approx(expected_best_sharpe(12, float(np.var(ratios, ddof=1))), rel=1e-3)


def test_a_raised_p_is_that_of_independent_draws() -> None:
    drawn = np.random.default_rng(2).normal(size=(50_000, 12))
    critical = np.quantile(drawn[:, :3].max(axis=1), 0.98)
    assert raised_for(0.02, 3, 12) == pytest.approx(np.mean(drawn.max(axis=1) > critical), rel=0.1)
    assert raised_for(1.0, 3, 12) == pytest.approx(1.0)
    with pytest.raises(DataError, match="5 of 3 trials"):
        raised_for(0.1, 5, 3)


def test_a_table_can_be_made_by_hand() -> None:
    table = TrialTable(("a",), np.arange(40), np.random.default_rng(0).normal(size=(40, 1)), ())
    assert table.trials == 1


def test_null_markets_are_not_rejected_more_often_than_their_level_says() -> None:
    found = share_found([null_market(seed) for seed in range(100)])
    assert all(found[test] <= 13 for test in TESTS), found  # binomial 99.9 % of 5 %
    assert found["i.i.d. t"] > 20  # these markets would fool who takes overlapping trades for independent


def test_planted_alpha_is_found() -> None:
    found = share_found([planted_market(seed) for seed in range(12)])
    assert all(found[test] >= 70 for test in TESTS), found
