"""What starts by what has happened; a sensor reads what assets have left and computes nothing."""

import time

import dagster as dg

from assets.partitions import WHOLE, Part, slice_key, slices, symbols
from assets.registered_model import ALL, newest_slices
from assets.tables import passed
from assets.walk_forward_slices import frame_slices
from config.settings import Settings
from orchestration import jobs
from orchestration.attempts import attempts
from orchestration.retraining import NEW_SLICES, Clock, Wish, ask
from orchestration.switches import sensor_status
from storage.lake import Lake


def untrained_slices(settings: Settings, lake: Lake) -> list[tuple[Part, str]]:
    """Slices whose windows passed their checks and that no model was evaluated on, each with the sha of its windows."""
    found = []
    for symbol in settings.data.symbols:
        windows = passed(lake, "walk_forward_slices", Part(symbol, WHOLE))
        if windows is None:
            continue
        for piece in frame_slices(lake.scan("walk_forward_slices", symbol, [WHOLE]).collect()):
            if passed(lake, "evaluation", Part(symbol, piece.key)) is None:
                found.append((Part(symbol, piece.key), windows.rows_sha256))
    return found


def cut(lake: Lake, symbol: str) -> bool:
    """Whether a symbol has windows to train on."""
    return passed(lake, "walk_forward_slices", Part(symbol, WHOLE)) is not None


def new_slices(settings: Settings, clock: Clock = time.time) -> dg.SensorDefinition:
    """Requests a model for slices that have none, the newest first, as many a day as the budget allows."""

    @dg.sensor(
        job=jobs.training,
        minimum_interval_seconds=60,
        default_status=sensor_status(settings),
    )
    def new_slices(
        context: dg.SensorEvaluationContext, lake: dg.ResourceParam[Lake]
    ) -> list[dg.RunRequest] | dg.SkipReason:
        waiting = untrained_slices(settings, lake)
        if not waiting:
            uncut = [name for name in settings.data.symbols if not cut(lake, name)]
            missing = f"; no windows of {', '.join(uncut)} passed their checks" if uncut else ""
            return dg.SkipReason(
                f"every slice that there is of {', '.join(settings.data.symbols)} has a model{missing}"
            )
        context.instance.add_dynamic_partitions(symbols.name, sorted({part.symbol for part, _ in waiting}))
        context.instance.add_dynamic_partitions(slices.name, sorted({part.key for part, _ in waiting}))
        newest_first = sorted(waiting, key=lambda found: found[0].key, reverse=True)
        return ask(context.instance, settings, [training_wish(*found) for found in newest_first], clock).for_dagster

    return new_slices


def training_wish(part: Part, windows_sha: str) -> Wish:
    """The request to train on a slice."""
    key = f"new_slice|{part.symbol}|{part.key}|{windows_sha[:12]}"
    return Wish(NEW_SLICES, key, slice_key(part), f"slice {part.key} has no evaluated model")


def unregistered_models(settings: Settings, lake: Lake) -> list[tuple[Part, str]]:
    """Newest evaluated slices whose model the registry's table does not have, each with its bundle's sha."""
    newest = {symbol: Part(symbol, piece.key) for symbol, piece in newest_slices(settings, lake).items()}
    known = passed(lake, "registered_model", ALL)
    rows = [] if known is None else lake.scan("registered_model", *ALL[:1], [ALL.key]).collect().rows(named=True)
    registered = {(row["slice"], row["bundle_sha"]) for row in rows}
    shas = {part: str(lake.manifest("models", *part).metadata["bundle_sha"]) for part in newest.values()}
    return [(part, sha) for part, sha in shas.items() if (part.key, sha) not in registered]


def evaluated_model(settings: Settings) -> dg.SensorDefinition:
    """Registers the newest slice's model of a symbol once it is evaluated."""

    @dg.sensor(
        job=jobs.registry,
        minimum_interval_seconds=60,
        default_status=sensor_status(settings),
    )
    def evaluated_model(
        context: dg.SensorEvaluationContext, lake: dg.ResourceParam[Lake]
    ) -> list[dg.RunRequest] | dg.SkipReason:
        waiting = unregistered_models(settings, lake)
        if not waiting:
            known = newest_slices(settings, lake)
            said = (
                f"the newest evaluated model of {', '.join(known)} is registered" if known else "no model is evaluated"
            )
            return dg.SkipReason(said)
        found = "|".join(f"{part.symbol}|{part.key}|{sha[:12]}" for part, sha in waiting)
        return attempts(context.instance, [dg.RunRequest(f"registry|{found}")])

    return evaluated_model
