"""Scores: by hand, against scikit-learn, and side by side in one table."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.regimes import RANGE, TREND
from market.errors import NotEnoughData
from modeling.baselines import fit_baselines
from modeling.evaluation import (
    Prediction,
    baseline_prediction,
    breakeven_fee_bp,
    complete_correct,
    confusion,
    evaluate,
    evaluate_coverage,
    evaluate_regimes,
    evaluate_risks,
    hit_rate,
    log_loss,
    macro_f1,
    matthews,
    model_prediction,
)
from modeling.parameters import BaselineParameters
from modeling.sampling import learnable
from modeling.streaming import forecaster_from
from tests.builders_modeling import labelled_rows, random_model

CLASS = st.integers(-1, 1)


@given(pairs=st.lists(st.tuples(CLASS, CLASS), min_size=1, max_size=60))
def test_scores_agree_with_scikit_learn(pairs):
    from sklearn.metrics import f1_score, matthews_corrcoef

    truth, said = np.array(pairs, np.int64).T
    counts = confusion(truth, said)
    assert macro_f1(counts) == pytest.approx(f1_score(truth, said, average="macro", zero_division=0))
    assert matthews(counts) == pytest.approx(
        matthews_corrcoef(truth, said) if len(set(truth) | set(said)) > 1 else 0.0, abs=1e-9
    )


def test_log_loss_by_hand():
    probabilities = np.array([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]])
    assert log_loss(probabilities, np.array([0, 1])) == pytest.approx(-(np.log(0.5) + np.log(0.8)) / 2)
    assert np.isfinite(log_loss(np.array([[1.0, 0.0, 0.0]]), np.array([1])))


def test_hit_rate_counts_rows_that_moved():
    probabilities = np.array([[0.1, 0.8, 0.1], [0.1, 0.3, 0.6], [0.1, 0.3, 0.6], [0.6, 0.3, 0.1]])
    assert hit_rate(probabilities, np.array([0.0, 1.0, -1.0, -2.0])) == pytest.approx(2 / 3)
    assert hit_rate(probabilities, np.array([5.0, 0.0, 0.0, 0.0])) == 0.5
    assert hit_rate(probabilities, np.zeros(4)) is None


def test_table_puts_the_model_beside_every_baseline():
    train, test = labelled_rows(3000), labelled_rows(800, seed=4)
    baselines, _ = fit_baselines(train, ("x", "b", "c", "d", "e"), BaselineParameters("x", 0.05))
    forecaster = forecaster_from(random_model())
    forecasts = forecaster.run(test.values, test.valid)
    said = [baseline_prediction(baseline, test) for baseline in baselines]
    model = model_prediction("cnn", forecaster.shape, forecasts)
    table = evaluate(test, learnable(test, forecaster.receptive_rows), said[0], [*said[1:], model])
    assert table.height == 3 * 5
    assert table["rows"].unique().to_list() == [800 - forecaster.receptive_rows + 1]
    scores = {(line["model"], line["horizon_ms"], line["budget_bp"]): line for line in table.to_dicts()}
    assert scores["class_prior", 250, 0.0]["nll_skill"] == 0.0
    assert scores["imbalance", 250, 0.0]["nll_skill"] > 0.2
    assert scores["imbalance", 1000, 0.0]["gross_edge_bp"] > 1.0
    assert scores["imbalance", 250, 0.0]["macro_f1"] > scores["cnn", 250, 0.0]["macro_f1"]


def test_gross_edge_is_taken_on_the_side_signalled():
    data = labelled_rows(4)
    data.gross_bp[:, 0] = [1.0, -3.0, 5.0, 7.0]
    classes = np.zeros((4, 3), np.int8)
    classes[:2, 0] = 1, -1
    probabilities = np.full((4, 3, 3), 1 / 3)
    table = evaluate(data, np.ones((4, 3), np.bool_), Prediction("prior", classes, probabilities), [])
    assert table["gross_edge_bp"].to_list() == [2.0, None, None]
    assert table["signals"].to_list() == [2, 0, 0]


def test_nothing_to_score_is_refused():
    data = labelled_rows(4)
    prior = Prediction("prior", np.zeros((4, 3), np.int8), np.full((4, 3, 3), 1 / 3))
    with pytest.raises(NotEnoughData, match="no row of cell h250_b0"):
        evaluate(data, np.zeros((4, 3), np.bool_), prior, [])


def test_transactions_count_where_both_ends_were_right():
    said = np.array([0, 1, 1, -1, -1, 0, 1, -1], np.int8)
    truth = np.array([0, 1, -1, -1, 1, 0, 1, 1])
    assert complete_correct(said, truth) == pytest.approx(2 / 3)  # up-down, down-up, and one whose end was wrong
    assert complete_correct(np.array([1, 0, 1], np.int8), np.array([1, 0, 1])) is None
    assert complete_correct(np.zeros(3, np.int8), np.zeros(3, np.int64)) is None


def test_breakeven_fee_is_what_costs_leave_of_the_edge_on_each_leg():
    gross, cost = np.array([4.0, -2.0, 8.0]), np.array([1.0, 1.0, np.nan])
    assert breakeven_fee_bp(np.array([1, 1, 1], np.int8), gross, cost) == 0.0
    assert breakeven_fee_bp(np.array([0, -1, 0], np.int8), gross, cost) == 0.5
    assert breakeven_fee_bp(np.array([0, 0, 1], np.int8), gross, cost) is None


def test_regimes_are_scored_apart_and_one_without_rows_is_left_out():
    data = labelled_rows(600)
    prior, regimes = Prediction("prior", data.classes, np.full((600, 3, 3), 1 / 3)), np.full(600, RANGE, np.int8)
    regimes[100:350] = TREND
    data = replace(data, regimes=regimes)
    other = Prediction("other", np.zeros_like(data.classes), prior.probabilities)
    table = evaluate_regimes(data, np.ones((600, 3), np.bool_), prior, [other])
    rows = {(line["regime"], line["model"], line["horizon_ms"]): line["rows"] for line in table.to_dicts()}
    assert rows["trend", "prior", 250] == 250
    assert rows["range", "other", 1000] == 350
    assert len(rows) == 8
    with pytest.raises(NotEnoughData, match="no regime"):
        evaluate_regimes(data, np.zeros((600, 3), np.bool_), prior, [])


def sure_of_some():
    """400 rows, and somebody who is sure of the newest 100 and right there, and says no trade of all others."""
    data = labelled_rows(400)
    sure = np.arange(400) >= 300
    said = np.where(sure[:, None], data.classes, np.int8(0)).astype(np.int8)
    probabilities = np.where(sure[:, None, None], [0.0, 0.1, 0.9], 1 / 3) * np.ones((400, 3, 1))
    prior = Prediction("prior", np.zeros_like(said), np.full((400, 3, 3), 1 / 3))
    return data, np.ones((400, 3), np.bool_), prior, Prediction("one", said, probabilities)


def of_the_first_cell(table, model="one"):
    return table.filter(pl.col("horizon_ms") == 250, pl.col("budget_bp") == 0.0, pl.col("model") == model)


def test_errors_fall_where_only_confident_rows_are_kept():
    data, scored, prior, one = sure_of_some()
    cell = of_the_first_cell(evaluate_coverage(data, scored, prior, [one]))
    assert cell["share"].to_list() == [0.1, 0.25, 0.5, 0.75, 1.0]
    assert cell["rows"].to_list() == [40, 100, 200, 300, 400]
    assert cell["error"].to_list()[:2] == [0.0, 0.0]
    assert cell["error"][4] > cell["error"][2] > 0.1
    assert cell["mcc"].to_list()[:2] == [1.0, 1.0]


def test_every_score_stands_among_the_confident_rows_as_it_does_over_those_rows_alone():
    data, scored, prior, one = sure_of_some()
    cell = of_the_first_cell(evaluate_coverage(data, scored, prior, [one]))
    newest = scored & (np.arange(400) >= 300)[:, None]
    (alone,) = of_the_first_cell(evaluate(data, newest, prior, [one])).drop("aurc").to_dicts()
    (kept,) = cell.filter(share=0.25).drop("share", "error").to_dicts()
    assert kept == pytest.approx(alone)
    (whole,) = of_the_first_cell(evaluate(data, scored, prior, [one])).drop("aurc").to_dicts()
    assert cell.filter(share=1.0).drop("share", "error").to_dicts() == [pytest.approx(whole)]
    assert kept["p_t"] is not None
    assert kept["p_t"] == 1.0


def test_curves_pass_through_the_table_and_their_mean_is_the_area():
    data, scored, prior, one = sure_of_some()
    curve = of_the_first_cell(evaluate_risks(data, scored, [prior, one]))
    table = of_the_first_cell(evaluate_coverage(data, scored, prior, [one]))
    assert curve["percent"].to_list() == list(range(1, 101))
    at = curve.filter(pl.col("percent").is_in([10, 25, 100]))["error"].to_list()
    assert at == pytest.approx(table.filter(pl.col("share").is_in([0.1, 0.25, 1.0]))["error"].to_list())
    scores = evaluate(data, scored, prior, [one])
    areas = [of_the_first_cell(scores, name)["aurc"].item() for name in ("one", "prior")]
    assert areas[0] == pytest.approx(curve["error"].mean(), abs=0.01)
    assert areas[1] == pytest.approx((data.classes[:, 0] != 0).mean())  # a prior is never surer
    assert areas[0] < areas[1]
