"""The model of a slice: an ensemble of the best candidate, calibrated, and the median band beside it, as bundles."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from logging import Logger
from pathlib import Path
from typing import Any, Final

import dagster as dg
import numpy as np
import polars as pl

from assets.bundles import NETWORK, bundle_folder, slice_model
from assets.checks import Verdict
from assets.ensembles import Trained, certain, combined, train_members
from assets.fitting import Bench, bench, checkpoints, curve_of, network_of, step_us
from assets.partitions import Part, part_of, symbol_slices
from assets.search import MODEL_ROOMS
from assets.slice_data import data_fingerprint, upstream_shas
from assets.stacking import earlier_shares, stacking_inputs
from assets.tables import Table, blocking, content_shas, inputs_sha, judge, passed, publish
from assets.warm_start import Start, slice_before, start_of_member
from config.settings import Settings, config_sha
from features.catalogue import catalogue_content, catalogue_sha, feature_names
from market.errors import BundleError, NotEnoughData, TickloopError
from market.kernel_cache import kernel_sha
from modeling.baselines import fit_baselines
from modeling.parameters import TrainingParameters, network_parameters
from modeling.sampling import ready_rows
from modeling.search_space import Candidate
from modeling.snapshot import MEDIAN_BAND, ModelSnapshot
from modeling.streaming import forecaster_from
from modeling.told import rows_between, told_of
from storage.bundle import Bundle, Golden, bundle_sha, golden_rows, read_bundle, write_bundle
from storage.lake import Lake

GOLDEN_ROWS: Final = 32  # with a forecast, behind those that fill the memory


def models_inputs(settings: Settings, lake: Lake, part: Part) -> str:
    """Sha of what a slice's models are made from."""
    found = passed(lake, "search", part)
    upstream = [
        upstream_shas(lake, part),
        content_shas(found)[:1],
        config_sha(settings),
        *started_from(settings, lake, part),
        stacking_inputs(settings, lake, part),
    ]
    return inputs_sha("models", [], upstream, MODEL_ROOMS)


def started_from(settings: Settings, lake: Lake, part: Part) -> list[object]:
    """Content of the slice whose weights this one starts from; empty where it starts cold."""
    before = slice_before(lake, part) if settings.models.walk_forward.warm_start else None
    return [content_shas(passed(lake, "models", before))[:1]] if before else []


@dg.asset(partitions_def=symbol_slices, deps=["search"], group_name="models", kinds={"pytorch"})
def models(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]
) -> dg.MaterializeResult:
    """One bundle for the ensemble and one for the median band, the runner's fallback."""
    part, on = part_of(context), bench(settings, lake, part_of(context))
    inputs = models_inputs(settings, lake, part)
    with checkpoints(settings, part, inputs) as folder:
        return publish(lake, "models", part, made(on, lake, part, folder, context.log), inputs)


def made(on: Bench, lake: Lake, part: Part, folder: Path, log: Logger) -> Table:
    """The slice's bundles, written, as a table; a killed fit goes on from ``folder``, members and epochs are logged."""
    members = train_members(on, best_candidate(lake, part), partial(member_start, on, lake, part), folder, log)
    stamps, metrics = bundle_stamps(on.settings, lake, part), fit_metrics(members)
    rows = [
        {"kind": kind, **store(on, model, bundle_folder(on.settings, part, kind), stamps, metrics)}
        for kind, model in slice_models(on, lake, part, members).items()
    ]
    facts = {"bundle_sha": rows[0]["sha"], "rows": members[0].fit.train_rows, **metrics, **member_facts(on, members)}
    return Table(pl.DataFrame(rows), facts)


def member_start(on: Bench, lake: Lake, part: Part, candidate: Candidate, member: int) -> Start:
    """What a member's fit starts from: nothing, or the same member of the slice before."""
    if not on.settings.models.walk_forward.warm_start:
        return Start(None, "cold: models.walk_forward.warm_start is off")
    if on.settings.models.ensemble.method == "mc_dropout":
        return Start(None, "cold: a bundle of mc_dropout holds draws, not the network that they are of")
    before = slice_before(lake, part)
    model = slice_model(on.settings, lake, before, NETWORK) if before else None
    network = network_of(on.features, candidate.network, on.shape)
    return start_of_member(network, before.key if before else "", model, member)


@dg.multi_asset_check(
    specs=blocking(
        "models",
        bundles_prove_themselves="Every bundle of the table is on disk, with its hashes, catalogue and forecasts.",
        exports_agree="Torch, ONNX Runtime and the streaming runtime forecast the same to 1e-5.",
        fast_enough="One streaming step keeps to the latency budget.",
    )
)
def models_hold(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]
) -> Iterator[dg.AssetCheckResult]:
    """Each bundle reads back with its hashes, catalogue and golden forecasts, and forecasts in time."""
    part = part_of(context)
    table = lake.scan("models", part.symbol, [part.key], unchecked=True).collect()
    yield from judge(
        lake, "models", part, [proved(settings, part, table), exported(settings, part), fast_enough(settings, table)]
    )


def slice_models(on: Bench, lake: Lake, part: Part, members: list[Trained]) -> dict[str, ModelSnapshot]:
    """The ensemble of the members and the median band, by the kind of their bundles; both know how sure they are."""
    kinds = [member.fit.model.kind for member in members]
    band = fit_baselines(on.data.taught, feature_names(on.features), on.settings.models.baselines)[1]
    return {NETWORK: combined(on, members, earlier_shares(on, lake, part, kinds)), MEDIAN_BAND: certain(on, band)}


def fit_metrics(members: list[Trained]) -> dict[str, float]:
    """Means over the members."""
    losses, epochs = ([float(getattr(one.fit, name)) for one in members] for name in ("val_nll", "best_epoch"))
    return {"val_nll": float(np.mean(losses)), "best_epoch": float(np.mean(epochs))}


def member_facts(on: Bench, members: list[Trained]) -> dict[str, Any]:
    """What was fitted, member by member and epoch by epoch."""
    epochs = [line for number, member in enumerate(members) for line in curve_of(member.fit, number)]
    cells = [cell.name for cell in on.shape.cells]
    return {"cells": cells, "members": [member.facts for member in members], "epochs": epochs}


def bundles_intact(settings: Settings, lake: Lake, part: Part) -> bool:
    """Whether the bundles that a slice's table names are on disk, whole, and the ones it was written with."""
    table = lake.scan("models", part.symbol, [part.key]).collect()
    return proved(settings, part, table).passed


def best_candidate(lake: Lake, part: Part) -> Candidate:
    """What the search found."""
    facts = lake.manifest("search", *part).metadata
    return Candidate(network_parameters(facts["network"]), TrainingParameters(**facts["training"]))


def bundle_stamps(settings: Settings, lake: Lake, part: Part) -> dict[str, str]:
    """What a bundle comes from."""
    return {
        "catalogue_sha": catalogue_sha(settings.features_of(part.symbol)),
        "config_sha": config_sha(settings),
        "data_fingerprint": data_fingerprint(lake, part),
        "code_version": f"{version('tickloop')}+{kernel_sha()}",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def store(
    on: Bench, model: ModelSnapshot, folder: Path, stamps: dict[str, str], metrics: dict[str, float]
) -> dict[str, object]:
    """Write one bundle; its row in the table of models."""
    settings, duration, golden = on.settings, step_us(model), golden_of(on, model)
    bundle = Bundle(
        model=model,
        normalizer=catalogue_content(on.features),
        policy={"trading": asdict(settings.trading), "venue": asdict(settings.venue)},
        golden=golden,
        metrics={**metrics, "step_us": duration} if model.kind != MEDIAN_BAND else {"step_us": duration},
        latency_budget_us=settings.models.step_budget_us,
        onnx=export_of(model, golden),
        **stamps,
    )
    row: dict[str, object] = {"sha": write_bundle(folder, bundle), "step_us": duration}
    return row | {"receptive_rows": forecaster_from(model).receptive_rows}


def export_of(model: ModelSnapshot, golden: Golden) -> bytes | None:
    """A network or ensemble as one ONNX graph, proved on the newest consecutive golden rows; None for a median band."""
    if model.kind == MEDIAN_BAND:
        return None
    from modeling.export import export_onnx

    return export_onnx(model, golden.values[int(np.flatnonzero(~golden.valid).max(initial=-1)) + 1 :])


def golden_of(on: Bench, model: ModelSnapshot) -> Golden:
    """The newest rows of Val on which the model has a forecast. Raises NotEnoughData if there are none."""
    memory, rows = forecaster_from(model).receptive_rows, told_of(on.data.conformal).rows
    ready = np.flatnonzero(ready_rows(rows.valid, memory))
    if not ready.size:
        raise NotEnoughData(f"no row of Val follows {memory} valid ones: nothing to prove the bundle with")
    first, last = rows.row_ts[max(0, ready[-1] + 1 - memory - GOLDEN_ROWS)], rows.row_ts[ready[-1]]
    chosen = rows_between(on.data.conformal, int(first), int(last))
    return golden_rows(model, chosen.values, chosen.valid)


def proved(settings: Settings, part: Part, table: pl.DataFrame) -> Verdict:
    """Every bundle of the table is on disk and proves itself."""
    for kind, sha in table.select("kind", "sha").iter_rows():
        folder = bundle_folder(settings, part, kind)
        try:
            read_bundle(folder, catalogue_content(settings.features_of(part.symbol)))
        except BundleError as error:
            return Verdict("bundles_prove_themselves", False, {"fault": str(error)})
        if bundle_sha(folder) != sha:
            return Verdict("bundles_prove_themselves", False, {"fault": f"{kind} is another bundle than the table's"})
    return Verdict("bundles_prove_themselves", table.height > 0, {"bundles": table.height})


def exported(settings: Settings, part: Part) -> Verdict:
    """The network's ONNX file still forecasts what torch and streaming do on the golden rows."""
    from modeling.export import require_agreement

    try:
        bundle = read_bundle(
            bundle_folder(settings, part, NETWORK), catalogue_content(settings.features_of(part.symbol))
        )
        require_agreement(bundle.model, bundle.onnx or b"", bundle.golden.values)
    except TickloopError as error:
        return Verdict("exports_agree", False, {"fault": str(error)})
    return Verdict("exports_agree", True, {"bytes": len(bundle.onnx or b"")})


def fast_enough(settings: Settings, table: pl.DataFrame) -> Verdict:
    """One streaming step keeps to the latency budget."""
    slowest, budget_us = float(table["step_us"].max()), settings.models.step_budget_us  # type: ignore[arg-type]
    return Verdict("fast_enough", slowest <= budget_us, {"step_us": slowest, "budget_us": budget_us})
