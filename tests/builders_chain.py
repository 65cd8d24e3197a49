"""A minute of synthetic market in two days, and settings small enough to run the whole chain on it in a test."""

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Final

from config.loading import load_settings
from config.settings import Paths, Settings
from market.simulator import synthetic_capture
from orchestration.tapes import SEED, SYNTHETIC, write_days

MIDNIGHT: Final = 1_723_161_600_000_000_000  # ns, 2024-08-09 UTC
BEFORE_S: Final = 30
SECONDS: Final = 64
DAYS: Final = ("2024-08-08", "2024-08-09")


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
