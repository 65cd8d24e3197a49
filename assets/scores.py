"""Scores of a slice's model on Test, beside all baselines, over the same rows."""

import polars as pl

from assets.fitting import longest_memory_rows, score_rows
from assets.models import NETWORK, slice_model
from assets.partitions import Part
from assets.slice_data import slice_data
from config.settings import Settings
from features.catalogue import feature_names
from modeling.baselines import fit_baselines
from modeling.evaluation import baseline_prediction
from storage.lake import Lake


def scores_on_test(settings: Settings, lake: Lake, part: Part) -> pl.DataFrame:
    """One row a cell and predictor; see ``modeling.evaluation.evaluate``."""
    data = slice_data(settings, lake, part, longest_memory_rows(settings))
    baselines, _ = fit_baselines(
        data.train, feature_names(settings.features_of(part.symbol)), settings.models.baselines
    )
    others = [baseline_prediction(baseline, data.test) for baseline in baselines]
    return score_rows(data.test, slice_model(settings, lake, part, NETWORK), others)
