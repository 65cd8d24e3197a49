"""From a real recording to a bundle: features and labels as they are, one short fit, every score finite."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from config.loading import load_settings
from features.batch import feature_rows
from features.catalogue import branch_columns, catalogue_content, catalogue_sha, feature_names
from features.step import new_state
from labeling.targets import label_rows, tradeable_grid
from market.clock import align, new_clock
from market.sources import decoder_for
from modeling.architecture import architecture, base_dilations
from modeling.baselines import fit_baselines
from modeling.calibration import fit_calibration
from modeling.evaluation import baseline_prediction, evaluate, model_prediction
from modeling.sampling import learnable
from modeling.streaming import forecaster_from
from modeling.training_rows import TrainingSet, cells_of, training_set, window
from modeling.walk_forward import Slice, assert_purged, walk_forward
from storage.bundle import Bundle, golden_rows, read_bundle, write_bundle
from storage.captures import capture_lines
from tests.builders import recording
from tests.builders_market import import_capture

pytest.importorskip("torch")

SETTINGS = load_settings("dev")
INSTRUMENT = SETTINGS.instrument("binance-coinm-btcusd_perp")
SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def data() -> TrainingSet:
    path = recording("binance/coinm/btcusd_perp_20240808.gz")
    events, _ = import_capture(capture_lines(path), decoder_for(INSTRUMENT), 0.0)
    align(new_clock(SETTINGS.clock), SETTINGS.clock, events)
    until = int(events["ingest_ts"].max())
    rows = feature_rows(events, new_state(SETTINGS.features), SETTINGS.features, until)
    labels = label_rows(events, rows.row_ts, SETTINGS.labels, INSTRUMENT, None)
    train = labels.filter(pl.col("row_ts") < labels["row_ts"][0] + 220 * SECOND)
    cells = cells_of(tradeable_grid(train, SETTINGS.trained_labels, INSTRUMENT.contract))
    cheap = [cell for cell in cells if cell.budget_bp == 0.0]
    return training_set(rows, labels, SETTINGS.trained_labels, cheap, INSTRUMENT.contract, row_ns=20_000_000)


@pytest.fixture(scope="module")
def piece(data) -> Slice:
    start, end = int(data.row_ts[0]) + 20 * SECOND, int(data.row_ts[-1]) - 6 * SECOND
    found = next(walk_forward(start, end, 200 * SECOND, 40 * SECOND, 40 * SECOND, 6 * SECOND))
    assert_purged(found, 5 * SECOND, SETTINGS.labels.latency_ns, SECOND // 2)
    return found


def test_no_training_label_reads_past_the_purge(data, piece):
    train = window(data, *piece.train)
    assert train.known_ts.max() < piece.val[0]
    assert np.isfinite(train.values[train.valid]).all()


def test_a_real_slice_becomes_a_bundle_that_forecasts(data, piece, tmp_path):
    from modeling.training import fit

    names, settings = feature_names(SETTINGS.features), SETTINGS.models
    bases = base_dilations(SETTINGS.features.windows_ms, SETTINGS.features.row_interval_ms)
    network = architecture(settings.network, branch_columns(SETTINGS.features), bases, len(names), data.shape)
    train = window(data, *piece.train)
    val, test = (window(data, *span, network.receptive_rows) for span in (piece.val, piece.test))
    found = fit(network, train, val, replace(settings.training, epochs=2, chunk_rows=512, batch_chunks=1))

    raw = forecaster_from(found.model)
    probabilities = data.shape.probabilities(raw.run(val.values, val.valid))
    classes = np.where(learnable(val, raw.receptive_rows), val.classes, np.int8(-128))
    model = replace(found.model, calibration=fit_calibration(settings.calibration, probabilities, classes))
    forecaster = forecaster_from(model)

    forecasts = forecaster.run(test.values, test.valid)
    said = [baseline_prediction(one, test) for one in fit_baselines(train, names, settings.baselines)[0]]
    said.append(model_prediction("cnn", forecaster.shape, forecasts))
    table = evaluate(test, learnable(test, forecaster.receptive_rows), said[0], said[1:])
    assert table["model"].unique().sort().to_list() == [
        "class_prior",
        "cnn",
        "imbalance",
        "median_band",
        "persistence",
    ]
    assert table["rows"].min() > 1_900
    assert np.isfinite(table["nll"].to_numpy()).all()
    imbalance = table.filter(pl.col("model") == "imbalance", pl.col("horizon_ms") == 250)
    assert imbalance["gross_edge_bp"][0] > 0.05

    sha = catalogue_sha(SETTINGS.features)
    bundle = Bundle(
        model=model,
        normalizer={},
        policy={},
        golden=golden_rows(model, test.values[:800], test.valid[:800]),
        metrics={"val_nll": found.val_nll},
        catalogue_sha=sha,
        config_sha="0" * 64,
        data_fingerprint="0" * 64,
        code_version="0",
        created="2024-08-09T00:00:00Z",
        latency_budget_us=60.0,
    )
    write_bundle(tmp_path / "bundle", bundle)
    again = forecaster_from(read_bundle(tmp_path / "bundle", catalogue_content(SETTINGS.features)).model)
    assert np.array_equal(again.run(test.values, test.valid), forecasts)
