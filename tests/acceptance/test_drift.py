"""Simulated months against every bar of docs/drift.md, all seeds; and the page that people read."""

from dataclasses import replace
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest

from assets.drift import SAMPLES, SIDE
from assets.drift_page import drift_page
from assets.partitions import WHOLE
from benchmarks.bench_drift import figures
from config.loading import load_settings
from config.settings import Paths
from market.errors import LakeError
from market.schema import schema_sha
from storage.lake import Lake

pytestmark = pytest.mark.acceptance


def test_every_bar_is_met() -> None:
    found = figures()
    barred = {figure.name: figure.met for figure in found if figure.bar}
    assert len(barred) == 7
    assert [name for name, met in barred.items() if not met] == []


def test_the_page_is_whole_and_loads_nothing(tmp_path: Path) -> None:
    settings = replace(load_settings("dev"), paths=Paths(tmp_path))
    lake, symbol = Lake(settings.paths.lake), settings.live.symbol
    with dg.DagsterInstance.ephemeral() as instance, pytest.raises(LakeError):
        dg.materialize([drift_page], resources={"settings": settings, "lake": lake}, instance=instance)
    rows = np.random.default_rng(0).normal(size=(1_200, 2)).astype(np.float32)
    frame = pl.DataFrame(rows, schema=["a", "b"]).insert_column(0, pl.Series(SIDE, ["live", "reference"] * 600))
    lake.write(SAMPLES, symbol, WHOLE, frame, schema_sha=schema_sha(frame.schema))
    lake.set_verdict(SAMPLES, symbol, WHOLE, True, {})
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([drift_page], resources={"settings": settings, "lake": lake}, instance=instance)
    [made] = result.get_asset_materialization_events()
    page = Path(str(made.materialization.metadata["report"].value)).read_text()
    assert "K-S" in page
    assert 'src="http' not in page
    assert made.materialization.metadata["live_rows"].value == 600
