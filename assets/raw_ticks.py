"""Captured frames of a day, decoded: the venue's messages as integers, in order of arrival."""

import json
from collections.abc import Iterator

import dagster as dg
import numpy as np

from assets.captures import capture_inputs, import_day
from assets.checks import gap_share, ordered, quarantine_share
from assets.partitions import Part, day_before, day_beside, part_of, symbol_days
from assets.tables import Table, blocking, content_shas, inputs_sha, judge, passed, publish
from config.settings import Settings
from market.schema import events_to_frame, frame_to_events
from market.sources.formats import importer_for
from market.sources.importing import Importer
from storage.lake import Lake, State


def raw_ticks_inputs(settings: Settings, lake: Lake, part: Part) -> str:
    """Sha of what a day's raw ticks are made from."""
    before = content_shas(passed(lake, "raw_ticks", day_beside(part, -1)))
    used = [settings.instrument(part.symbol), settings.data.max_bad_share]
    return inputs_sha("raw_ticks", used, [capture_inputs(settings, part), before[1:]], ["market"])


@dg.asset(
    partitions_def=symbol_days,
    deps=[dg.AssetDep("raw_ticks", partition_mapping=day_before)],
    group_name="data",
    kinds={"parquet"},
)
def raw_ticks(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]
) -> dg.MaterializeResult:
    """Decoded messages of one day; the decoder goes on from where the day before left it."""
    part = part_of(context)
    importer = importer_for("capture", settings.instrument(part.symbol))
    cold_start = not resume_decoder(importer, lake, part)
    events = import_day(settings, part, importer)
    report = importer.account
    facts = {"cold_start": cold_start, "lines": report.lines, "quarantined": report.bad}
    lines = [f"{bad.file} line {bad.number}: {bad.reason}: {bad.line}" for bad in report.quarantined]
    pages = {"quarantine": dg.MetadataValue.md("\n".join(lines) or "nothing")}
    table = Table(events_to_frame(events), facts | report.counts, decoder_arrays(importer), pages)
    return publish(lake, "raw_ticks", part, table, raw_ticks_inputs(settings, lake, part))


@dg.multi_asset_check(specs=blocking("raw_ticks", "ordered", "gap_share", "quarantine_share"))
def raw_ticks_hold(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]
) -> Iterator[dg.AssetCheckResult]:
    """Messages arrive in order, on their day, whole."""
    part = part_of(context)
    facts = lake.manifest("raw_ticks", *part).metadata
    events = frame_to_events(lake.scan("raw_ticks", part.symbol, [part.key], unchecked=True).collect())
    quarantine = quarantine_share(facts["lines"], facts["quarantined"], settings.data.max_bad_share)
    yield from judge(lake, "raw_ticks", part, [ordered(events, part.key), gap_share(events), quarantine])


def resume_decoder(decoder: Importer, lake: Lake, part: Part) -> bool:
    """Let the decoder go on from the day before; False, and a cold start, where the lake has no such day."""
    state = state_before(lake, "raw_ticks", part)
    if state is None:
        return False
    decoder.restore(json.loads(state["decoder"].tobytes()))
    return True


def state_before(lake: Lake, dataset: str, part: Part) -> State | None:
    """Closing state of the day before, None for a cold start. Raises LakeError if that day did not pass."""
    before = day_beside(part, -1)
    return lake.state(dataset, *before) if lake.holds(dataset, *before) else None


def decoder_arrays(decoder: Importer) -> State:
    """A decoder's state as the lake keeps it: the bytes of its JSON."""
    return {"decoder": np.frombuffer(json.dumps(decoder.state(), sort_keys=True).encode(), np.uint8)}
