"""What starts by what has happened; a sensor reads what assets have left and computes nothing."""

import dagster as dg

from assets.partitions import WHOLE, Part, slice_key, slices, symbols
from assets.tables import passed
from assets.walk_forward_slices import frame_slices
from config.settings import Settings
from orchestration import jobs
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


def new_slices(settings: Settings) -> dg.SensorDefinition:
    """Requests a model for every slice that has none."""
    running = settings.orchestration.schedules_running

    @dg.sensor(
        job=jobs.training,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING if running else dg.DefaultSensorStatus.STOPPED,
    )
    def new_slices(
        context: dg.SensorEvaluationContext, lake: dg.ResourceParam[Lake]
    ) -> list[dg.RunRequest] | dg.SkipReason:
        waiting = untrained_slices(settings, lake)
        if not waiting:
            return dg.SkipReason(f"every slice of {', '.join(settings.data.symbols)} has an evaluated model")
        context.instance.add_dynamic_partitions(symbols.name, sorted({part.symbol for part, _ in waiting}))
        context.instance.add_dynamic_partitions(slices.name, sorted({part.key for part, _ in waiting}))
        return [
            dg.RunRequest(
                run_key=f"new_slice|{part.symbol}|{part.key}|{windows_sha[:12]}",
                partition_key=slice_key(part),
                tags={"retrain/reason": f"slice {part.key} has no evaluated model"},
            )
            for part, windows_sha in waiting
        ]

    return new_slices
