"""What a finished chain has registered: versions, gates, rivals and the page of the candidate."""

from dataclasses import replace
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from assets.live_deployment import bundle_of
from assets.partitions import Part
from assets.promotion import GATE_TAG, HOLDS
from assets.promotion_evidence import BAND, NOT_TRADING, Candidate, champion_name, evidence_of
from backtest.gates import BEATS, DEFLATED, GATES, INSUFFICIENT, LATENCY, PASSED, REGIMES, judge_gates
from orchestration.instance import open_instance
from storage.bundle import read_bundle
from storage.lake import Lake
from storage.registry import CHAMPION, FALLBACK, Registry
from tests.builders_chain import Built, catalogue_of


def test_the_registered_model_is_approved_as_what_it_is(built: Built, tmp_path: Path) -> None:
    settings = built[0]
    registry = Registry(settings.paths.mlflow)
    row = Lake(settings.paths.lake).scan("registered_model", "all", ["all"]).collect().row(0, named=True)
    version = registry.aliased(row["model"], CHAMPION)
    assert version is not None
    assert version.bundle_sha == row["bundle_sha"]
    approval = registry.ledger.newest(row["model"], CHAMPION)
    assert approval is not None
    assert approval.reason.startswith("demo approval, gates: insufficient data (9.26e-05 days of Test, 20 are needed)")
    assert {name for name, verdict in approval.gates.items() if verdict == "passed"} == {"latency budget"}
    assert "failed" not in approval.gates.values()
    table = Lake(settings.paths.lake).scan("models", row["symbol"], [row["slice"]]).collect()
    kept = registry.ledger.newest(row["model"], FALLBACK)
    assert kept is not None
    assert table.filter(kind="median_band")["sha"].to_list() == [kept.bundle_sha]
    bundle = read_bundle(bundle_of(registry, version, tmp_path, FALLBACK), catalogue_of(settings))
    assert bundle.model.certainty is not None
    run = registry.client.get_run(version.run_id)
    assert {"catalogue_sha", "config_sha", "data_fingerprint", "slice"} <= set(run.data.tags)


def test_the_gates_are_judged_and_their_page_lies_beside_the_run(built: Built) -> None:
    settings = built[0]
    lake, registry = Lake(settings.paths.lake), Registry(settings.paths.mlflow)
    table = lake.scan("promotion", "all", ["all"]).collect()
    assert table["gate"].to_list() == list(GATES)
    assert dict(table.select("gate", "verdict").rows())[LATENCY] == PASSED
    (decision,) = lake.manifest("promotion", "all", "all").metadata["decisions"]
    version = registry.version(decision["model"], decision["version"])
    assert {name.removeprefix(GATE_TAG) for name in registry.tags(version) if name.startswith(GATE_TAG)} == set(GATES)
    assert "promotion" in registry.artifacts(version)
    page = Path(decision["page"]).read_text()
    assert all(f"<td>{gate}</td>" in page for gate in GATES)
    with open_instance(settings.paths.dagster) as instance:
        keys = [dg.AssetCheckKey(dg.AssetKey("promotion"), name) for name in HOLDS]
        found = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    assert {key.name for key in found} == set(HOLDS)


def test_where_test_counts_the_rivals_trade_the_same_minutes(built: Built) -> None:
    settings = replace(built[0], registry=replace(built[0].registry, evidence_days=1e-6))
    lake, registry = Lake(settings.paths.lake), Registry(settings.paths.mlflow)
    row = lake.scan("registered_model", "all", ["all"]).collect().row(0, named=True)
    version = registry.version(row["model"], row["version"])
    candidate = Candidate(version, Part(row["symbol"], row["slice"]), version)  # its own rival: a champion like any
    evidence = evidence_of(settings, lake, registry, candidate)
    assert evidence.searched is not None
    assert evidence.test is not None
    assert list(evidence.test.rivals) == [NOT_TRADING, BAND, champion_name(version)] == list(evidence.searched.rivals)
    own = lake.manifest("backtests", *candidate.part).metadata["figures"]["model"]
    assert evidence.test.candidate.sum() == pytest.approx(own["net"])
    assert evidence.test.rivals[champion_name(version)] == pytest.approx(evidence.test.candidate)
    assert not np.isnan(evidence.searched.rivals[BAND]).any()
    assert {gate.verdict for gate in judge_gates(evidence) if gate.name in (BEATS, DEFLATED, REGIMES)} == {INSUFFICIENT}
