"""What an evaluation says beyond its scores: conformal coverage, headline figures, and the verdict in plain words."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from assets.carried import share_rates
from assets.conformal_tables import conformal_table, interval_table
from assets.evaluation_metrics import metrics_on_test, risk_metrics
from assets.evaluation_page import evaluation_document, evaluation_pages
from assets.judged import Judged, moments_of, served_on_test
from assets.member_scores import OVERALL, member_metrics, member_table
from assets.scores import Evaluation, headline, verdict_of
from backtest.comparison import compare
from config.loading import load_settings
from features.regimes import RANGE, TREND
from labeling.targets import NO_CLASS
from modeling.evaluation import Prediction, evaluate, evaluate_coverage, evaluate_regimes, evaluate_risks
from modeling.forecast import ForecastShape
from modeling.parameters import ConformalParameters
from modeling.training_rows import NOTHING_HEARD
from modeling.uncertainty import AdaptiveConformal, interval_scores
from tests.builders_modeling import CELLS, labelled_rows

ROWS = 3000
ROW_MS = 100
PARAMETERS = ConformalParameters(0.1, 0.1, 300)
FURTHEST = 1.01 / (ROWS * 0.01)  # the paper's bound, (1 + rate) / (rows x rate), at the tenth that rows of 1 s share


def _said(name: str, classes: np.ndarray, sureness: float) -> Prediction:
    """Gives ``sureness`` to the class it says, the rest to the others."""
    rest = np.full((*classes.shape, 3), (1 - sureness) / 2)
    np.put_along_axis(rest, classes[..., None].astype(np.int64) + 1, sureness, -1)
    return Prediction(name, classes, rest)


@pytest.fixture(scope="module")
def found() -> Judged:
    val, test = labelled_rows(600, seed=1), labelled_rows(ROWS, seed=2)
    test = replace(test, row_ts=test.row_ts[0] + np.arange(ROWS) * 100_000_000)
    test = replace(test, regimes=np.where(np.arange(ROWS) < ROWS // 2, RANGE, TREND).astype(np.int8))
    test = replace(test, known_ts=test.row_ts[:, None] + np.array([250, 1000]) * 1_000_000, over_ts=test.row_ts)
    rng = np.random.default_rng(0)
    model = np.where(rng.random(test.classes.shape) < 0.2, np.int8(0), test.classes)
    prior = _said("class_prior", np.zeros_like(test.classes), 0.6)
    before = _said("model", np.where(rng.random(val.classes.shape) < 0.2, np.int8(0), val.classes), 0.8)
    scored = np.ones(test.classes.shape, np.bool_)
    scored[:20] = False
    sure = [(0.8 * rows.gross_bp.astype(np.float64), np.ones((len(rows), 2))) for rows in (val, test)]
    return Judged(val, test, scored, (prior, _said("model", model, 0.8)), before, (sure[0], sure[1]), 1)


@pytest.fixture(scope="module")
def evaluation(found: Judged) -> Evaluation:
    data, scored, said = found.test, found.scored, found.said
    return Evaluation(
        evaluate(data, scored, said[0], said[1:]),
        evaluate_regimes(data, scored, said[0], said[1:]),
        evaluate_coverage(data, scored, said[0], said[1:]),
        evaluate_risks(data, scored, said),
        conformal_table(PARAMETERS, ROW_MS, found),
        interval_table(PARAMETERS, ROW_MS, found),
        compare(data, scored, said[-1], said[:-1], np.random.default_rng(0)),
    )


def test_conformal_sets_are_judged_over_all_and_by_regime(evaluation: Evaluation) -> None:
    overall = evaluation.conformal.filter(pl.col("regime") == OVERALL)
    assert overall.height == len(CELLS)
    assert overall["rows"].to_list() == [ROWS - 20] * len(CELLS)
    assert overall["coverage"].to_list() == pytest.approx([0.9] * len(CELLS), abs=FURTHEST)
    assert set(evaluation.conformal["regime"]) == {OVERALL, "range", "trend"}


def test_sets_that_keep_vals_threshold_lose_a_market_that_turned_and_those_that_learn_do_not(found: Judged) -> None:
    still = conformal_table(PARAMETERS, ROW_MS, found).filter(pl.col("regime") == OVERALL)
    turned = replace(found.test, classes=-found.test.classes)
    lost = conformal_table(PARAMETERS, ROW_MS, found._replace(test=turned)).filter(pl.col("regime") == OVERALL)
    assert lost["coverage"].to_list() == pytest.approx([0.9] * len(CELLS), abs=FURTHEST)
    assert lost["fixed_set_size"].to_list() == still["fixed_set_size"].to_list()  # what came teaches it nothing
    assert lost["fixed_coverage"].max() < 0.9 - FURTHEST  # type: ignore[operator]


def test_sets_and_intervals_learn_nothing_of_test_while_no_message_came(found: Judged) -> None:
    deaf = found._replace(test=replace(found.test, over_ts=np.full(ROWS, NOTHING_HEARD)))
    heard, unheard = (conformal_table(PARAMETERS, ROW_MS, one) for one in (found, deaf))
    assert unheard["coverage"].equals(unheard["fixed_coverage"])
    assert unheard["set_size"].equals(unheard["fixed_set_size"])
    assert not heard["set_size"].equals(heard["fixed_set_size"])
    for place, widths in enumerate(interval_table(PARAMETERS, ROW_MS, deaf).partition_by("horizon_ms")):
        (mean, deviation), gross = found.expected[0], found.conformal.gross_bp[:, place]
        scores = interval_scores(gross, mean[:, place], deviation[:, place])
        begins = AdaptiveConformal.started(PARAMETERS, scores).threshold()
        assert widths["width_bp"].to_numpy() == pytest.approx(2 * begins)


def test_intervals_of_returns_hold_nine_in_ten_and_have_a_width(evaluation: Evaluation) -> None:
    overall = evaluation.intervals.filter(pl.col("regime") == OVERALL)
    assert overall["horizon_ms"].to_list() == [250, 1000]
    assert overall["coverage"].to_list() == pytest.approx([0.9, 0.9], abs=0.01)
    narrow, wide = overall["width_bp"].to_list()
    assert wide == pytest.approx(2 * narrow, rel=0.15)  # returns at 1 s are twice as large here


def test_expected_returns_are_those_of_the_cheapest_cell() -> None:
    shape = ForecastShape(CELLS)
    forecasts = np.zeros((1, shape.size), np.float32)
    forecasts[0, :9] = (0.5, 0.0, 0.5, 0.1, 0.8, 0.1, 0.0, 0.0, 1.0)
    forecasts[0, 9:15] = (-2.0, 0.0, 4.0, -5.0, 0.0, 6.0)
    said = Prediction("model", np.zeros((1, 3), np.int8), shape.probabilities(forecasts))
    mean, deviation = moments_of(shape, said, forecasts)
    assert (mean.tolist(), deviation.tolist()) == ([[1.0, 6.0]], [[3.0, 0.0]])
    bent = replace(said, probabilities=np.array([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]]))
    assert moments_of(shape, bent, forecasts)[0].tolist() == [[-2.0, 0.0]]


def test_labels_that_nobody_is_scored_on_are_not_covered_either(found: Judged) -> None:
    hidden = replace(found.test, classes=found.test.classes.copy())
    hidden.classes[-100:] = NO_CLASS
    scored = found.scored & (hidden.classes != NO_CLASS)
    table = conformal_table(PARAMETERS, ROW_MS, found._replace(test=hidden, scored=scored))
    assert table.filter(pl.col("regime") == OVERALL)["rows"].unique().to_list() == [ROWS - 120]


def test_verdict_says_where_the_model_beats_all_and_where_it_does_not(found: Judged, evaluation: Evaluation) -> None:
    first, *sentences = verdict_of(evaluation.comparisons, CELLS[2])
    assert first == "The model beats every baseline in 3 of 3 cells: h250_b0, h250_b2, h1000_b0."
    assert sentences[0].startswith("model beats class_prior at h1000_b0: macro-F1 +0.")
    twin = replace(found.said[-1], name="twin")
    compared = compare(found.test, found.scored, found.said[-1], [twin], np.random.default_rng(0))
    first, *sentences = verdict_of(compared, CELLS[0])
    assert first == "The model beats every baseline in 0 of 3 cells: none."
    assert sentences[0].startswith("model does not beat twin at h250_b0")


def test_headline_is_of_the_traded_cell_and_every_metric_is_finite(evaluation: Evaluation) -> None:
    settings = load_settings("dev")
    settings = replace(settings, trading=replace(settings.trading, horizon_ms=250, budget_bp=2))
    figures = headline(settings, evaluation)
    row = evaluation.scores.filter(pl.col("model") == "model", pl.col("budget_bp") == 2.0).to_dicts()[0]
    assert figures["headline/macro_f1"] == row["macro_f1"]
    assert figures["headline/macro_f1_over_best_baseline"] > 0.2
    assert figures["headline/conformal_coverage"] == pytest.approx(0.9, abs=FURTHEST)
    metrics = metrics_on_test(evaluation) | figures
    assert {
        *("test/conformal_coverage/h250_b0/overall", "test/interval_coverage/h250/range"),
        *("test/ece/h250_b0/model", "test/aurc/h250_b0/class_prior", "test/macro_f1/h250_b2/class_prior/trend"),
    } <= set(metrics)
    assert metrics["headline/aurc"] == metrics["test/aurc/h250_b2/model"]
    assert np.isfinite(list(metrics.values())).all()


ASKED = ("macro_f1", "mcc", "nll_skill", "ece", "hit_rate", "gross_edge_bp", "breakeven_fee_bp", "p_t")


@pytest.mark.parametrize("score", ASKED)
def test_two_models_are_compared_by_every_score_by_horizon_regime_and_coverage(
    evaluation: Evaluation, score: str
) -> None:
    metrics = metrics_on_test(evaluation)
    for cell in CELLS:
        for place in ("", "/trend", "/range", *(f"/surest_{percent}" for percent in (10, 25, 50, 75))):
            assert f"test/{score}/{cell.name}/model{place}" in metrics
    row = evaluation.coverage.filter(pl.col("model") == "model", share=0.25, horizon_ms=250, budget_bp=2.0)
    assert metrics[f"test/{score}/h250_b2/model/surest_25"] == row[score].item()


def test_curves_are_drawn_for_every_cell_and_laid_beside_another_models_by_twentieths(evaluation: Evaluation) -> None:
    curves = risk_metrics(evaluation.risks)
    assert list(curves) == [f"risk_coverage/{cell.name}" for cell in CELLS]
    drawn = evaluation.risks.filter(pl.col("model") == "model", horizon_ms=1000)["error"].to_list()
    assert curves["risk_coverage/h1000_b0"] == drawn[4::5]
    page = evaluation_document("slice <one>", evaluation)
    assert page.count("<svg") == len(CELLS)
    assert "slice &lt;one&gt;" in page
    assert page.count("<th>p t</th>") == 3  # scores, regimes, coverage
    assert "error among the surest rows, h250_b2, by %" in page
    assert f"<li>{evaluation.comparisons[0].sentence}</li>" in page


def test_members_stand_with_their_mean_and_spread_by_regime(found: Judged) -> None:
    data, scored, (prior, model) = found.test, found.scored, found.said
    worse = replace(model, classes=np.where(np.arange(ROWS)[:, None] % 2 == 0, np.int8(0), model.classes))
    members = [replace(one, name=f"member{place}") for place, one in enumerate((model, worse, worse))]
    table = member_table(data, scored, prior, members)
    assert table["members"].unique().to_list() == [3]
    assert set(table["regime"]) == {OVERALL, "range", "trend"}
    assert table.height == 3 * len(CELLS)
    each = [evaluate(data, scored, prior, [one]).filter(pl.col("model") == one.name)["macro_f1"] for one in members]
    (row,) = table.filter(pl.col("regime") == OVERALL, pl.col("horizon_ms") == 1000).to_dicts()
    values = [float(one[2]) for one in each]
    assert row["macro_f1_mean"] == pytest.approx(np.mean(values))
    assert row["macro_f1_spread"] == pytest.approx(np.std(values, ddof=1))
    assert row["macro_f1_spread"] > 0.01
    metrics = member_metrics(table)
    assert metrics["members/macro_f1_mean/h1000_b0/overall"] == row["macro_f1_mean"]
    assert np.isfinite(list(metrics.values())).all()
    assert "members/macro_f1_spread/h1000_b0/overall" not in member_metrics(
        member_table(data, scored, prior, members[:1])
    )


def test_pages_hold_the_verdicts_and_every_table(evaluation: Evaluation) -> None:
    pages = evaluation_pages(evaluation)
    tables = ["scores", "regimes", "coverage", "conformal", "intervals"]
    charts = [f"picture_risk_coverage_{cell.name}" for cell in CELLS]
    assert list(pages) == ["verdicts", *tables, *charts]
    assert pages["verdicts"].count("- model beats class_prior") == 3
    assert all(pages[name].startswith("|") for name in tables)
    assert all(pages[name].startswith("![error among") for name in charts)
    assert "breakeven_fee_bp |" in pages["scores"]  # names stand whole


def test_where_standing_still_is_likeliest_val_chooses_when_a_move_is_said() -> None:
    tilted = np.array([[0.25, 0.7, 0.05], [0.05, 0.7, 0.25], [0.1, 0.8, 0.1], [0.1, 0.8, 0.1]])
    val, third, test = (replace(labelled_rows(4, seed=seed), classes=np.zeros((4, 3), np.int8)) for seed in range(3))
    val = replace(val, classes=np.tile(np.array([[-1], [1], [0], [0]], np.int8), 3))
    before = Prediction("model", np.zeros((4, 3), np.int8), np.repeat(tilted[:, None], 3, 1))
    later = Prediction("model", np.zeros((4, 3), np.int8), np.repeat(tilted[[1, 2, 1, 2], None], 3, 1))
    given = (one.probabilities for one in (before, before, later))
    said = served_on_test(load_settings("dev"), (val, third, test), 1, "model", *given)
    assert said.after.classes.tolist() == [[1] * 3, [0] * 3] * 2
    assert np.allclose(said.after.probabilities, later.probabilities)  # no label of 80 ms is known yet
    assert said.before.classes.tolist() == [[0] * 3] * 4
    assert share_rates(load_settings("dev"), val.shape).tolist() == pytest.approx([0.004, 0.004, 0.001])
