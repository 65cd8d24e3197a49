"""The whole chain on a synthetic minute: it builds everything once, reuses it, resumes, and says what went wrong."""

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import optuna
import polars as pl
import pytest

from assets import fitting, stacking
from assets.backtest_command import backtest_report, open_asked
from assets.backtests import FIGURES, MINUTES, ORDERS, report_path
from assets.bundles import NETWORK, bundle_folder
from assets.evaluation import BASELINE_LEDGER
from assets.evaluation_metrics import figure_metrics
from assets.fitting import LEDGER, bench, longest_memory_rows
from assets.ir_decay import base_net
from assets.live_deployment import bundle_of
from assets.models import bundles_intact
from assets.partitions import WHOLE, Part, slice_key
from assets.promotion import GATE_TAG, HOLDS
from assets.promotion_evidence import BAND, NOT_TRADING, Candidate, champion_name, evidence_of
from assets.search import search_inputs
from assets.slice_data import slice_data, slice_of
from assets.stacking import earlier_shares, said_before
from assets.tables import passed
from assets.walk_forward_slices import NS_PER_S, frame_slices, slice_frame
from backtest.gates import BEATS, DEFLATED, GATES, INSUFFICIENT, LATENCY, PASSED, REGIMES, judge_gates
from config.settings import Paths, Settings
from features.catalogue import catalogue_content
from market.errors import BundleError, LeakageError, NotEnoughData, TickloopError
from market.schema import schema_sha
from modeling.ensemble import fit_stacking
from modeling.parameters import sibling
from modeling.snapshot import shares_of
from modeling.walk_forward import ValParts
from monitoring.ir_decay import MINUTES as COUNTS
from orchestration.definitions import build_definitions
from orchestration.instance import CHAIN_TAG, open_instance
from orchestration.running import ChainReport, run_chain
from orchestration.sensors import evaluated_model, new_slices, unregistered_models, untrained_slices
from orchestration.summary import demo_summary
from orchestration.tapes import SYNTHETIC
from storage.bundle import read_bundle
from storage.lake import Lake
from storage.registry import CHAMPION, FALLBACK, Registry
from storage.studies import study_journal
from storage.trials import read_trials
from tests.builders_chain import DAYS, spoil_lines, tiny_settings, truncate
from tests.builders_processes import until

PLANTED = {  # all but TICKLOOP_STUDY_URL, which would be asked: see tests/storage/test_studies.py
    f"TICKLOOP_{name}": f"planted-{name}"
    for name in ("READ_TOKEN", "DEPLOY_TOKEN", "KILL_TOKEN", "DEPLOY_KEY", "WAREHOUSE_PASSWORD", "REDIS_PASSWORD")
}
TABLES = ("raw_ticks", "aligned_events", "features", "labels")


def drive(settings: Settings) -> tuple[ChainReport, list[str]]:
    said: list[str] = []
    with open_instance(settings.paths.dagster) as instance:
        return run_chain(settings, instance, said.append), said


def flip_last_byte(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, ChainReport]:
    settings = tiny_settings(tmp_path_factory.mktemp("var"))
    with pytest.MonkeyPatch.context() as planted:
        for name, secret in PLANTED.items():
            planted.setenv(name, secret)
        report, said = drive(settings)
    assert not [line for line in said if "planted" in line]
    return settings, report


@pytest.fixture
def copied(built: tuple[Settings, ChainReport], tmp_path: Path) -> Settings:
    """The finished chain in a folder of its own, to be spoiled."""
    var = tmp_path / "var"
    shutil.copytree(built[0].paths.var, var)
    return replace(built[0], paths=Paths(var))


def test_every_table_is_made_and_passes_its_checks(built: tuple[Settings, ChainReport]) -> None:
    settings, report = built
    lake = Lake(settings.paths.lake)
    for day in DAYS:
        assert [name for name in TABLES if passed(lake, name, Part(SYNTHETIC, day)) is None] == []
    assert {name.split()[0] for name in report.made} == {
        *TABLES,
        *("warehouse_events", "walk_forward_slices", "search", "models", "backtests", "evaluation"),
        *("registered_model", "promotion"),
    }
    assert lake.verify() == []


def test_no_secret_of_the_environment_is_in_anything_that_the_chain_wrote(built: tuple[Settings, ChainReport]) -> None:
    var = built[0].paths.var
    files = [path for path in var.rglob("*") if path.is_file()]
    assert {"mlflow.db", "dagster.yaml", "trials.jsonl"} <= {path.name for path in files}
    assert any("history" in path.parts for path in files)  # Dagster's event logs
    holding = [path for path in files if b"planted" in path.read_bytes()]
    assert holding == []


def test_the_second_day_goes_on_from_the_first(built: tuple[Settings, ChainReport]) -> None:
    lake = Lake(built[0].paths.lake)
    cold = [lake.manifest("features", SYNTHETIC, day).metadata["cold_start"] for day in DAYS]
    assert cold == [True, False]
    row_ts = lake.scan("features", SYNTHETIC).select("row_ts").collect()["row_ts"]
    assert (row_ts.diff().drop_nulls() == 20_000_000).all()


def test_the_last_labels_of_a_day_look_into_the_next(built: tuple[Settings, ChainReport]) -> None:
    labels = Lake(built[0].paths.lake).scan("labels", SYNTHETIC, DAYS[:1]).collect()
    assert (labels["status_1000"][-40:] == 0).all()


def test_the_held_back_seconds_are_never_seen(built: tuple[Settings, ChainReport]) -> None:
    lake = Lake(built[0].paths.lake)
    first, last = (lake.manifest("raw_ticks", SYNTHETIC, day) for day in DAYS)
    assert (last.last_ts - first.first_ts) / 1e9 == pytest.approx(60, abs=0.5)


def test_the_registered_model_is_approved_as_what_it_is(built: tuple[Settings, ChainReport], tmp_path: Path) -> None:
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
    bundle = read_bundle(bundle_of(registry, version, tmp_path, FALLBACK), _catalogue(settings))
    assert bundle.model.certainty is not None
    run = registry.client.get_run(version.run_id)
    assert {"catalogue_sha", "config_sha", "data_fingerprint", "slice"} <= set(run.data.tags)


def test_the_gates_are_judged_and_their_page_lies_beside_the_run(built: tuple[Settings, ChainReport]) -> None:
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


def test_where_test_counts_the_rivals_trade_the_same_minutes(built: tuple[Settings, ChainReport]) -> None:
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


def _catalogue(settings: Settings) -> dict[str, Any]:
    return catalogue_content(settings.features_of(SYNTHETIC))


def test_the_model_is_an_ensemble_that_knows_how_sure_it_is_and_the_page_says_how_that_went(
    built: tuple[Settings, ChainReport],
) -> None:
    settings, lake = built[0], Lake(built[0].paths.lake)
    part = Part(SYNTHETIC, lake.dates("models", SYNTHETIC)[0])
    bundle = read_bundle(bundle_folder(settings, part, NETWORK), _catalogue(settings))
    assert (bundle.model.kind, len(bundle.model.spec["members"])) == ("ensemble", 2)
    assert bundle.onnx is not None
    assert bundle.model.certainty is not None
    facts = lake.manifest("models", *part).metadata
    assert [member["seed"] for member in facts["members"]] == [7, 8]
    assert {epoch["member"] for epoch in facts["epochs"]} == {0, 1}
    found = lake.manifest("backtests", *part).metadata
    for run in ("model", "median band"):
        served = found["figures"][run]["served"]
        assert served["rows"] > 100
        assert 0.5 < served["coverage"] <= 1.0
        assert 0.5 < served["set_coverage"] <= 1.0
    assert found["figures"]["model"]["served"]["spread_bp"] > 0
    assert "Intervals and sets as served" in Path(found["report"]).read_text()


def test_the_summary_fits_on_a_screen_and_names_the_bundle(built: tuple[Settings, ChainReport]) -> None:
    summary = demo_summary(built[0])
    row = Lake(built[0].paths.lake).scan("registered_model", "all", ["all"]).collect().row(0, named=True)
    assert row["bundle_sha"] in summary
    assert all(word in summary for word in ("class_prior", "median_band", "probe", ".html", "make ui"))
    assert len(summary.splitlines()) <= 40
    assert max(map(len, summary.splitlines())) <= 140


def backtest_arguments(built: tuple[Settings, ChainReport], **changes: object) -> argparse.Namespace:
    lake = Lake(built[0].paths.lake)
    start, end = slice_of(lake, Part(SYNTHETIC, lake.dates("backtests", SYNTHETIC)[-1])).test
    given: dict[str, object] = dict.fromkeys(("queue", "fees", "sweep", "report"))
    given |= {"bundle": "champion", "symbol": SYNTHETIC, "start": str(start), "end": str(end), "policy": "take"}
    return argparse.Namespace(**(given | {"latency": "constant", "jobs": 1} | changes))


def test_every_order_fill_and_figure_of_a_backtest_lies_in_the_lake(built: tuple[Settings, ChainReport]) -> None:
    lake = Lake(built[0].paths.lake)
    key = lake.dates("backtests", SYNTHETIC)[-1]
    fills, orders, table = (lake.scan(name, SYNTHETIC, [key]).collect() for name in ("backtests", ORDERS, FIGURES))
    figures = lake.manifest("backtests", SYNTHETIC, key).metadata["figures"]
    assert orders["filled"].sum() == fills["qty"].sum() > 0
    assert {name: run["net"] for name, run in figures.items()} == dict(
        table.filter(pl.col("scope") == "symbol").select("run", "net").rows()
    )
    minutes = lake.scan(MINUTES, SYNTHETIC, [key]).collect().group_by("run").agg(pl.col("net").sum())
    assert dict(minutes.rows()) == pytest.approx({name: run["net"] for name, run in figures.items()})
    known = base_net(lake, Part(SYNTHETIC, key)).sums[:, :, COUNTS].sum()
    assert 0 <= known <= lake.manifest(MINUTES, SYNTHETIC, key).rows
    assert [len(figures["model"][name]) for name in ("budgets", "surface")] == [2, 8]
    assert figures["probe"]["queue_band"]
    assert {row["baseline"] for row in figures["model"]["execution"]} == {"TWAP", "always-take", "always-post"}
    assert "quote" in figures


def test_the_registry_holds_the_figures_that_the_lake_holds(built: tuple[Settings, ChainReport]) -> None:
    lake, registry = Lake(built[0].paths.lake), Registry(built[0].paths.mlflow)
    part = Part(SYNTHETIC, lake.dates("backtests", SYNTHETIC)[-1])
    run = registry.client.get_run(lake.manifest("evaluation", *part).metadata["mlflow_run"])
    wanted = figure_metrics(lake.manifest("backtests", *part).metadata["figures"])
    assert {name: run.data.metrics[name] for name in wanted} == pytest.approx(wanted)
    assert {"backtest/net/probe", "backtest/markout_bp/maker_250/probe", "backtest/surface/0_1_1/net/model"} <= set(
        wanted
    )


def test_a_run_holds_the_page_of_its_evaluation_and_the_risk_coverage_curves(
    built: tuple[Settings, ChainReport],
) -> None:
    lake, client = Lake(built[0].paths.lake), Registry(built[0].paths.mlflow).client
    part = Part(SYNTHETIC, lake.dates("evaluation", SYNTHETIC)[-1])
    run_id = lake.manifest("evaluation", *part).metadata["mlflow_run"]
    metrics = client.get_run(run_id).data.metrics
    pictures = {Path(one.path).name for one in client.list_artifacts(run_id, "pictures")}
    (page,) = (Path(one.path) for one in client.list_artifacts(run_id, "evaluation"))
    assert page.name.endswith(".evaluation.html")
    for cell in lake.manifest("models", *part).metadata["cells"]:
        assert f"risk_coverage_{cell}.svg" in pictures
        curve = client.get_metric_history(run_id, f"risk_coverage/{cell}")
        assert [point.step for point in curve] == list(range(20))
        assert metrics[f"risk_coverage/{cell}"] == curve[-1].value
        assert {f"test/aurc/{cell}/{name}" for name in ("model", "lightgbm", "imbalance")} <= set(metrics)


def test_the_statistics_judge_a_search_by_its_whole_ledger(built: tuple[Settings, ChainReport]) -> None:
    lake, registry = Lake(built[0].paths.lake), Registry(built[0].paths.mlflow)
    part = Part(SYNTHETIC, lake.dates("search", SYNTHETIC)[-1])
    found = lake.manifest("search", *part).metadata
    judged = found["statistics"]
    assert judged["trials"] == found["trials"] > 0
    assert judged["verdict"] == "insufficient"  # of a minute
    assert len(judged["sentences"]) == 6
    run = registry.client.get_run(lake.manifest("evaluation", *part).metadata["mlflow_run"])
    assert run.data.metrics["search/trials"] == found["trials"]


def test_the_trials_of_lightgbm_have_a_ledger_of_their_own(built: tuple[Settings, ChainReport]) -> None:
    lake = Lake(built[0].paths.lake)
    part = Part(SYNTHETIC, lake.dates("evaluation", SYNTHETIC)[-1])
    (ledger,) = (built[0].paths.trials / part.symbol / part.key).glob(f"*/{BASELINE_LEDGER}")
    cells = lake.manifest("models", *part).metadata["cells"]
    tried = sorted((trial["study"], trial["number"]) for trial in read_trials(ledger))
    assert tried == sorted((f"lightgbm/{cell}", 0) for cell in cells)


def test_the_command_comes_to_the_figures_of_the_chain(built: tuple[Settings, ChainReport], tmp_path: Path) -> None:
    lake = Lake(built[0].paths.lake)
    figures = lake.manifest("backtests", SYNTHETIC, lake.dates("backtests", SYNTHETIC)[-1]).metadata["figures"]
    page = tmp_path / "page.html"
    report = backtest_report(built[0], backtest_arguments(built, policy="probe", report=page, sweep=["fee=0,2"]))
    plain = json.loads(json.dumps(report.plain, allow_nan=False))
    assert plain["figures"] == {key: figures["probe"][key] for key in plain["figures"]}
    assert plain["markouts"] == figures["probe"]["markouts"]
    assert {"facts", "notes", "groups", "implementability", "budgets", "surface", "queue_band"} <= set(plain)
    assert len(plain["surface"]) == 2
    assert plain["facts"]["bundle sha"] in page.read_text()
    assert f"{plain['figures']['fills']:,}" in report.text


def test_what_the_command_asks_for_is_what_its_run_trades_on(built: tuple[Settings, ChainReport]) -> None:
    lake = Lake(built[0].paths.lake)
    changes: tuple[dict[str, object], ...] = ({}, {"fees": "30,30"}, {"latency": "stress:30"})
    cases = [open_asked(built[0], lake, backtest_arguments(built, policy="probe", **one)).case for one in changes]
    plain, costly, slow = (case.run("probe").performance for case in cases)
    assert plain.fills > 0
    assert costly.fees == pytest.approx(30e-4 * costly.volume)
    assert costly.fees != plain.fees
    assert slow.net != plain.net
    assert cases[2].desk.terms.infer_latency_ns == 30 * cases[0].desk.terms.infer_latency_ns > 0


def test_the_command_refuses_a_bundle_of_another_catalogue_and_a_window_without_rows(
    built: tuple[Settings, ChainReport],
) -> None:
    settings = built[0]
    other = replace(settings, features=replace(settings.features, normalizer_clip=5.0))
    with pytest.raises(BundleError, match="was made for feature catalogue"):
        backtest_report(other, backtest_arguments(built))
    with pytest.raises(NotEnoughData, match="holds no"):
        backtest_report(settings, backtest_arguments(built, start="2024-08-09T10:00", end="2024-08-09T10:01"))


def test_the_runs_stand_under_named_jobs(built: tuple[Settings, ChainReport]) -> None:
    with open_instance(built[0].paths.dagster) as instance:
        runs = instance.get_runs(dg.RunsFilter(tags={CHAIN_TAG: "yes"}))
    assert {run.job_name for run in runs} == {"data", "slices", "training", "registry"}
    assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
    assert {run.tags[".dagster/repository"] for run in runs} == {"__repository__@tickloop"}


def test_a_second_run_reuses_everything(copied: Settings) -> None:
    report, said = drive(copied)
    assert report.made == []
    assert len(report.reused) >= 4 * len(DAYS) + 1 + 4 + 1
    assert any("up to date" in line for line in said)


def test_a_torn_partition_is_made_again(copied: Settings) -> None:
    lake = Lake(copied.paths.lake)
    manifest = lake.manifest("features", SYNTHETIC, DAYS[1])
    truncate(lake.root / "features" / SYNTHETIC / DAYS[1] / manifest.file)
    assert not lake.intact("features", SYNTHETIC, DAYS[1])
    report, _ = drive(copied)
    assert report.made == [f"{name} {SYNTHETIC} {DAYS[1]}" for name in ("features", "labels")]
    assert lake.manifest("features", SYNTHETIC, DAYS[1]).sha256 == manifest.sha256
    assert lake.verify() == []


def test_a_partition_whose_manifest_cannot_be_read_is_made_again(copied: Settings) -> None:
    lake = Lake(copied.paths.lake)
    sha256 = lake.manifest("features", SYNTHETIC, DAYS[1]).sha256
    truncate(copied.paths.lake / "features" / SYNTHETIC / DAYS[1] / "manifest.json")
    report, _ = drive(copied)
    assert report.made == [f"{name} {SYNTHETIC} {DAYS[1]}" for name in ("features", "labels")]
    assert lake.manifest("features", SYNTHETIC, DAYS[1]).sha256 == sha256
    assert lake.verify() == []


def test_a_manifest_of_no_stage_of_the_chain_does_not_stop_it(copied: Settings) -> None:
    bad = copied.paths.lake / "live_events" / SYNTHETIC / "segment"
    bad.mkdir(parents=True)
    for file in ("manifest.json", "data-0000000000000000.parquet"):
        (bad / file).write_text("{")
    report, _ = drive(copied)
    assert report.made == []
    assert len(list(bad.glob("[!.]*"))) == 2


def test_a_changed_closing_state_is_made_again(copied: Settings) -> None:
    lake = Lake(copied.paths.lake)
    state_file = lake.manifest("features", SYNTHETIC, DAYS[0]).state_file
    assert state_file is not None
    flip_last_byte(lake.root / "features" / SYNTHETIC / DAYS[0] / state_file)
    report, _ = drive(copied)
    assert f"features {SYNTHETIC} {DAYS[0]}" in report.made
    assert lake.verify() == []


def test_a_changed_bundle_is_made_again(copied: Settings) -> None:
    lake = Lake(copied.paths.lake)
    part = Part(SYNTHETIC, lake.dates("models", SYNTHETIC)[0])
    flip_last_byte(bundle_folder(copied, part, NETWORK) / "weights.safetensors")
    assert not bundles_intact(copied, lake, part)
    report, _ = drive(copied)
    assert f"models {SYNTHETIC} {part.key}" in report.made
    assert f"search {SYNTHETIC} {part.key}" in report.reused
    assert bundles_intact(copied, lake, part)


def test_a_deleted_report_is_made_again(copied: Settings) -> None:
    key = Lake(copied.paths.lake).dates("backtests", SYNTHETIC)[0]
    page = report_path(copied, Part(SYNTHETIC, key))
    page.unlink()
    report, _ = drive(copied)
    assert f"backtests {SYNTHETIC} {key}" in report.made
    assert f"models {SYNTHETIC} {key}" in report.reused
    assert page.is_file()


def test_a_registry_that_is_gone_is_built_again(copied: Settings) -> None:
    shutil.rmtree(copied.paths.mlflow)
    row = Lake(copied.paths.lake).scan("registered_model", "all", ["all"]).collect().row(0, named=True)
    drive(copied)
    version = Registry(copied.paths.mlflow).aliased(row["model"], CHAMPION)
    assert version is not None
    assert version.bundle_sha == row["bundle_sha"]


def remade(settings: Settings, part: Part, *names: str) -> None:
    """Assets of a slice, with their checks, whether they are up to date or not."""
    with open_instance(settings.paths.dagster) as instance:
        job = build_definitions(settings).resolve_job_def("training")
        selected = [dg.AssetKey(name) for name in names]
        job.execute_in_process(instance=instance, partition_key=slice_key(part), asset_selection=selected)


def learning(settings: Settings, **changes: Any) -> Settings:
    return replace(settings, models=replace(settings.models, **changes))


def calibrating_later(lake: Lake, part: Part, seconds: int) -> None:
    """Write the slices again; this one's calibration begins so much later, and all behind it but the end of Test."""
    pieces, wait = frame_slices(lake.scan("walk_forward_slices", part.symbol, [WHOLE]).collect()), seconds * NS_PER_S
    place = [piece.key for piece in pieces].index(part.key)
    piece = pieces[place]
    later = ValParts(piece.split.search, *((start + wait, end + wait) for start, end in piece.split[1:]))
    val, test = (piece.val[0], piece.val[1] + wait), (piece.test[0] + wait, piece.test[1])
    pieces[place] = replace(piece, val=val, test=test, parts=later)
    frame = slice_frame(pieces)
    lake.write("walk_forward_slices", part.symbol, WHOLE, frame, schema_sha=schema_sha(frame.schema))
    lake.set_verdict("walk_forward_slices", part.symbol, WHOLE, True, {})


def test_members_count_as_earlier_slices_say_and_never_as_their_own_test_does(
    copied: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, models = Lake(copied.paths.lake), copied.models
    earlier, later = (Part(SYNTHETIC, key) for key in lake.dates("models", SYNTHETIC)[:2])
    calibrating_later(lake, later, seconds=6)  # most of the earlier Test is over by then
    both = replace(models.ensemble, stacking=True, networks=(sibling(models.network, "gru"),))
    stacking_on = learning(copied, ensemble=both)
    for part in (earlier, later):
        remade(stacking_on, part, "models")
    first, bundle = (read_bundle(bundle_folder(copied, part, NETWORK), _catalogue(copied)) for part in (earlier, later))
    assert [member["kind"] for member in bundle.model.spec["members"]] == ["cnn", "gru"]
    on = bench(stacking_on, lake, later)
    test = slice_data(stacking_on, lake, earlier, longest_memory_rows(stacking_on)).test
    begins = slice_of(lake, later).split.calibration[0]
    learnt = fit_stacking([said_before(earlier.key, first.model, test, begins)])
    assert np.allclose(shares_of(first.model), 0.5)  # no slice comes before it
    assert np.allclose(shares_of(bundle.model), learnt.weights)
    assert np.abs(learnt.weights - 0.5).max() > 0.01
    assert learnt.known_ts < begins
    monkeypatch.setattr(stacking, "earlier_slices", lambda *_: [later])
    assert earlier_shares(on, lake, later, ["cnn", "gru"]) is None  # of its own Test no label is known in time
    monkeypatch.setattr(stacking, "said_before", lambda key, model, rows, _: said_before(key, model, rows, 2**62))
    with pytest.raises(LeakageError, match="labels behind its stacking weights reach"):
        earlier_shares(on, lake, later, ["cnn", "gru"])


def test_two_processes_search_a_slice_together(copied: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake(copied.paths.lake)
    part = Part(SYNTHETIC, lake.dates("search", SYNTHETIC)[0])
    together = learning(copied, search=replace(copied.models.search, trials=3, workers=2))
    folder = together.paths.trials / part.symbol / part.key / search_inputs(together, lake, part)[:12]
    judge = fitting.judge_candidate

    def judged_beside(*arguments: Any) -> Any:
        """Here no trial ends before the other process works on one as well."""
        until(lambda: trials_of(folder) > 1)
        return judge(*arguments)

    monkeypatch.setattr(fitting, "judge_candidate", judged_beside)
    remade(together, part, "search")
    ledger = read_trials(folder / LEDGER)
    assert sorted(trial["number"] for trial in ledger) == [0, 1, 2]
    assert {trial["state"] for trial in ledger} == {"complete"}
    assert lake.manifest("search", *part).metadata["trials"] == 3
    assert len({trial.user_attrs["worker"] for trial in study_of(folder).get_trials()}) == 2


def study_of(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name="/".join(folder.parts[-3:]), storage=study_journal(folder / "study.journal"))


def trials_of(folder: Path) -> int:
    return len(study_of(folder).get_trials(deepcopy=False))


def test_the_sensor_asks_for_slices_without_a_model_and_only_those(copied: Settings) -> None:
    lake = Lake(copied.paths.lake)
    assert untrained_slices(copied, lake) == []
    key = lake.dates("evaluation", SYNTHETIC)[0]
    (lake.root / "evaluation" / SYNTHETIC / key / "manifest.json").unlink()
    with (
        open_instance(copied.paths.dagster) as instance,
        dg.build_sensor_context(instance, resources={"lake": lake}) as context,
    ):
        requests = new_slices(copied)(context)
    assert isinstance(requests, list)
    assert [request.partition_key for request in requests] == [f"{key}|{SYNTHETIC}"]
    assert key in requests[0].run_key


def test_the_sensor_skips_and_says_why_where_every_slice_has_a_model(built: tuple[Settings, ChainReport]) -> None:
    settings = built[0]
    with (
        open_instance(settings.paths.dagster) as instance,
        dg.build_sensor_context(instance, resources={"lake": Lake(settings.paths.lake)}) as context,
    ):
        answer = new_slices(settings)(context)
    assert isinstance(answer, dg.SkipReason)
    assert SYNTHETIC in (answer.skip_message or "")


def test_an_evaluated_model_is_registered_once(copied: Settings) -> None:
    lake = Lake(copied.paths.lake)
    sensor = evaluated_model(copied)
    assert SYNTHETIC in str(sensor(lake=lake).skip_message)
    key = lake.dates("evaluation", SYNTHETIC)[-1]
    (lake.root / "registered_model" / "all" / "all" / "manifest.json").unlink()
    [(part, sha)] = unregistered_models(copied, lake)
    assert part == Part(SYNTHETIC, key)
    assert sensor(lake=lake).run_key == f"registry|{SYNTHETIC}|{key}|{sha[:12]}"


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
