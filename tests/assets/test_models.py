"""Blocking checks of a slice's bundles: an export of other weights, and a step that takes too long, stop the chain."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from assets import models
from assets.models import exported, fast_enough
from assets.partitions import Part
from config.loading import load_settings
from market.errors import BundleError
from tests.builders_modeling import random_model, random_rows

pytest.importorskip("torch")
PART = Part("binance-coinm-btcusd_perp", "k0")


def test_an_export_of_other_weights_is_no_agreement(monkeypatch: pytest.MonkeyPatch) -> None:
    from modeling.export import export_onnx

    rows, model = random_rows(120), random_model()
    bent = {name: weights.copy() for name, weights in model.weights.items()}
    bent["classes.bias"] += np.linspace(-0.1, 0.1, bent["classes.bias"].size, dtype=np.float32)
    found = {
        place: SimpleNamespace(model=one, onnx=export_onnx(model, rows), golden=SimpleNamespace(values=rows))
        for place, one in (("same", model), ("other", replace(model, weights=bent)))
    }
    verdicts = {}
    for place, bundle in found.items():
        monkeypatch.setattr(models, "read_bundle", lambda *_, bundle=bundle: bundle)
        verdicts[place] = exported(load_settings("dev"), PART)
    assert verdicts["same"].passed
    assert not verdicts["other"].passed
    assert "differ by" in str(verdicts["other"].facts["fault"])


def test_a_bundle_that_is_gone_is_no_agreement(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise BundleError("bundle k0 has no manifest.json")

    monkeypatch.setattr(models, "read_bundle", gone)
    verdict = exported(load_settings("dev"), PART)
    assert not verdict.passed
    assert verdict.facts["fault"] == "bundle k0 has no manifest.json"


def test_the_slowest_step_of_all_bundles_keeps_to_the_budget() -> None:
    settings = load_settings("dev")
    budget_us = settings.models.step_budget_us
    assert fast_enough(settings, pl.DataFrame({"step_us": [1.0, budget_us]})).passed
    assert not fast_enough(settings, pl.DataFrame({"step_us": [1.0, budget_us + 1.0]})).passed
