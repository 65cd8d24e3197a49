"""A minute of synthetic market in two days, and settings small enough to run the whole chain on it in a test."""

import gzip
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from config.loading import load_settings
from config.settings import Paths, Settings
from features.catalogue import catalogue_content
from market.simulator import synthetic_capture
from orchestration.instance import open_instance
from orchestration.progress import Underway
from orchestration.running import ChainReport, run_chain
from orchestration.tapes import SEED, SYNTHETIC, write_days
from storage.files import locked

MIDNIGHT: Final = 1_723_161_600_000_000_000  # ns, 2024-08-09 UTC
BEFORE_S: Final = 30
SECONDS: Final = 64
DAYS: Final = ("2024-08-08", "2024-08-09")
PLANTED: Final = {  # all but TICKLOOP_STUDY_URL, which would be asked: see tests/storage/test_studies.py
    f"TICKLOOP_{name}": f"planted-{name}"
    for name in ("READ_TOKEN", "DEPLOY_TOKEN", "KILL_TOKEN", "DEPLOY_KEY", "WAREHOUSE_PASSWORD", "REDIS_PASSWORD")
}

Built = tuple[Settings, ChainReport]


def tiny_settings(var: Path) -> Settings:
    """The dev profile with seconds for windows, one trial and the smallest network, on a synthetic tape."""
    settings = load_settings("dev")
    tape = var / "tape"
    instrument = settings.instrument(SYNTHETIC)
    write_days(synthetic_capture(instrument, SEED, MIDNIGHT - BEFORE_S * 1_000_000_000, SECONDS), tape)
    models = settings.models
    return replace(
        settings,
        paths=Paths(var),
        data=replace(settings.data, symbols=(SYNTHETIC,), sources={SYNTHETIC: str(tape)}, hold_back_s=4),
        features=replace(settings.features, normalizer_window_s=10, normalizer_min_samples=2),
        labels=replace(settings.labels, horizons_ms=(250, 1000), fee_budgets_bp=(0, 2), order_notional_usd=1000),
        trading=replace(settings.trading, horizon_ms=1000),
        models=replace(
            models,
            horizons_ms=(250, 1000),
            network=replace(models.network, depth=1, kernel_size=2, dilation_growth=1),
            training=replace(models.training, epochs=2, chunk_rows=128),
            ensemble=replace(models.ensemble, members=2),
            walk_forward=replace(models.walk_forward, train_s=20, val_s=14, test_s=8, purge_s=2),
            search=replace(models.search, trials=1, dilation_growths=(1,)),
            learners=replace(models.learners, lightgbm_rounds=5),
        ),
    )


def truncate(path: Path) -> None:
    """Cut a gzip file short, as a broken download would."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil_lines(path: Path, every: int) -> None:
    """Make every n-th line of a capture unreadable."""
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    spoiled = [b"not a stamp\n" if number % every == 0 else line for number, line in enumerate(lines)]
    path.write_bytes(gzip.compress(b"".join(spoiled), mtime=0))


def catalogue_of(settings: Settings) -> dict[str, Any]:
    """The feature catalogue of the synthetic market."""
    return catalogue_content(settings.features_of(SYNTHETIC))


def drive(settings: Settings, underway: Underway | None = None) -> tuple[ChainReport, list[str]]:
    """Run the chain; what it made, and what it said."""
    said: list[str] = []
    with open_instance(settings.paths.dagster) as instance:
        return run_chain(settings, instance, said.append, underway), said


def built_in(folder: Path) -> Built:
    """The finished chain of a folder that several processes share; who comes first builds it, secrets planted."""
    kept = folder / "built.pickle"
    with locked(folder / ".lock"):
        if not kept.exists():
            settings = tiny_settings(folder / "var")
            report, said = _driven_with_secrets(settings)
            assert not [line for line in said if "planted" in line]
            kept.write_bytes(pickle.dumps((settings, report)))
    found: Built = pickle.loads(kept.read_bytes())
    return found


def copy_of(built: Built, var: Path) -> Built:
    """The same chain in a folder of its own, to be read or spoiled."""
    shutil.copytree(built[0].paths.var, var)
    return replace(built[0], paths=Paths(var)), built[1]


def _driven_with_secrets(settings: Settings) -> tuple[ChainReport, list[str]]:
    with pytest.MonkeyPatch.context() as planted:
        for name, secret in PLANTED.items():
            planted.setenv(name, secret)
        return drive(settings)
