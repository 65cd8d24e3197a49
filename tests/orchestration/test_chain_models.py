"""How a slice is searched and its members weighed: ledgers, ensembles, and two processes at once."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import optuna
import pytest

from assets import fitting, stacking
from assets.bundles import NETWORK, bundle_folder
from assets.evaluation import BASELINE_LEDGER
from assets.fitting import LEDGER, bench, longest_memory_rows
from assets.partitions import WHOLE, Part, slice_key
from assets.search import search_inputs
from assets.slice_data import slice_data, slice_of
from assets.stacking import earlier_shares, said_before
from assets.walk_forward_slices import NS_PER_S, frame_slices, slice_frame
from config.settings import Settings
from market.errors import LeakageError
from market.schema import schema_sha
from modeling.ensemble import fit_stacking
from modeling.parameters import sibling
from modeling.snapshot import shares_of
from modeling.walk_forward import ValParts
from orchestration.definitions import build_definitions
from orchestration.instance import open_instance
from orchestration.tapes import SYNTHETIC
from storage.bundle import read_bundle
from storage.lake import Lake
from storage.registry import Registry
from storage.studies import study_journal
from storage.trials import read_trials
from tests.builders_chain import Built, catalogue_of
from tests.builders_processes import until


def test_the_model_is_an_ensemble_that_knows_how_sure_it_is_and_the_page_says_how_that_went(
    built: Built,
) -> None:
    settings, lake = built[0], Lake(built[0].paths.lake)
    part = Part(SYNTHETIC, lake.dates("models", SYNTHETIC)[0])
    bundle = read_bundle(bundle_folder(settings, part, NETWORK), catalogue_of(settings))
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


def test_a_run_holds_the_page_of_its_evaluation_and_the_risk_coverage_curves(
    built: Built,
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


def test_the_statistics_judge_a_search_by_its_whole_ledger(built: Built) -> None:
    lake, registry = Lake(built[0].paths.lake), Registry(built[0].paths.mlflow)
    part = Part(SYNTHETIC, lake.dates("search", SYNTHETIC)[-1])
    found = lake.manifest("search", *part).metadata
    judged = found["statistics"]
    assert judged["trials"] == found["trials"] > 0
    assert judged["verdict"] == "insufficient"  # of a minute
    assert len(judged["sentences"]) == 6
    run = registry.client.get_run(lake.manifest("evaluation", *part).metadata["mlflow_run"])
    assert run.data.metrics["search/trials"] == found["trials"]


def test_the_trials_of_lightgbm_have_a_ledger_of_their_own(built: Built) -> None:
    lake = Lake(built[0].paths.lake)
    part = Part(SYNTHETIC, lake.dates("evaluation", SYNTHETIC)[-1])
    (ledger,) = (built[0].paths.trials / part.symbol / part.key).glob(f"*/{BASELINE_LEDGER}")
    cells = lake.manifest("models", *part).metadata["cells"]
    tried = sorted((trial["study"], trial["number"]) for trial in read_trials(ledger))
    assert tried == sorted((f"lightgbm/{cell}", 0) for cell in cells)


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
    first, bundle = (
        read_bundle(bundle_folder(copied, part, NETWORK), catalogue_of(copied)) for part in (earlier, later)
    )
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
