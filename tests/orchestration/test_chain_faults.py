"""What stops the chain is one clear line that names its cause, and leaves no partition behind."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from market.errors import TickloopError
from orchestration.tapes import SYNTHETIC
from storage.lake import Lake
from tests.builders_chain import DAYS, drive, spoil_lines, tiny_settings, truncate


def test_a_truncated_capture_is_one_clear_line_and_leaves_no_partition(tmp_path: Path) -> None:
    settings = tiny_settings(tmp_path)
    truncate(tmp_path / "tape" / "tape_20240808.gz")
    with pytest.raises(TickloopError, match=r"raw_ticks: .*tape_20240808\.gz") as caught:
        drive(settings)
    assert "\n" not in str(caught.value)
    assert not Lake(settings.paths.lake).holds("raw_ticks", SYNTHETIC, DAYS[0])


def test_too_many_bad_lines_stop_the_chain_and_name_the_first(tmp_path: Path) -> None:
    settings = tiny_settings(tmp_path)
    spoil_lines(tmp_path / "tape" / "tape_20240808.gz", every=100)
    with pytest.raises(TickloopError, match=r"tape_20240808\.gz.* first is line 1:"):
        drive(settings)


def test_a_refused_check_names_itself_and_the_manifest_keeps_the_verdict(tmp_path: Path) -> None:
    settings = tiny_settings(tmp_path)
    late = replace(settings, clock=replace(settings.clock, base_feed_latency_ms=900.0))
    with pytest.raises(TickloopError, match="aligned_events did not pass its checks: ingest_lag_p95"):
        drive(late)
    path = settings.paths.lake / "aligned_events" / SYNTHETIC / DAYS[0] / "manifest.json"
    assert json.loads(path.read_text())["verdict"] == "failed"
    assert not Lake(settings.paths.lake).holds("features", SYNTHETIC, DAYS[0])
