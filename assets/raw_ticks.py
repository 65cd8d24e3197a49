"""Files of a day, decoded: the venue's messages as integers, in order of arrival."""

import json
from collections.abc import Iterator
from typing import Any, Final

import dagster as dg
import numpy as np

from assets.captures import capture_inputs, day_importer, import_day
from assets.checks import MOST_SHOWN, run_checks
from assets.partitions import Part, day_before, day_beside, part_of, symbol_days
from assets.raw_checks import Duplicates, GapRatio, Ordered, unparsed_share
from assets.tables import Closing, blocking, content_shas, inputs_sha, judge, passed, publish_batches
from config.settings import Settings
from market.schema import frame_to_events
from market.sources.importing import CLOCK_BACKWARDS, WAITING, WORST_STEP_BACK_NS, Importer
from storage.lake import Lake, State

_LONGEST_SHOWN: Final = 200  # characters of a line that could not be read


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
    importer = day_importer(settings, part.symbol)
    cold_start = not resume_importer(importer, lake, part)
    batches = import_day(settings, part, importer, context.log.info)
    inputs = raw_ticks_inputs(settings, lake, part)

    def close() -> Closing:
        return Closing({"cold_start": cold_start, **account_facts(importer)}, importer_arrays(importer))

    return publish_batches(lake, "raw_ticks", part, batches, close, inputs)


@dg.multi_asset_check(
    specs=blocking(
        "raw_ticks",
        ordered="Events arrive in order, belong to their UTC date, and the receive clock was never set back far.",
        duplicates="Hardly any message that bears an id repeats an earlier one.",
        gap_ratio="Little of the update ids, and of the time, lies between a gap and the snapshot that mends it.",
        unparsed_share="No more lines than allowed could not be read, and most came on streams that a reader knows.",
    )
)
def raw_ticks_hold(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]
) -> Iterator[dg.AssetCheckResult]:
    """Messages arrive in order, on their day, once, whole."""
    part, before = part_of(context), day_beside(part_of(context), -1)
    facts = lake.manifest("raw_ticks", *part).metadata
    opens_closed = lake.holds("raw_ticks", *before) and lake.manifest("raw_ticks", *before).metadata.get(WAITING, 0)
    checks = (
        Ordered(part.key, facts[CLOCK_BACKWARDS], facts[WORST_STEP_BACK_NS]),
        Duplicates(),
        GapRatio(bool(opens_closed)),
    )
    batches = map(frame_to_events, lake.batches("raw_ticks", part.symbol, [part.key], unchecked=True))
    unparsed = unparsed_share(facts, facts["quarantine"], settings.data.max_bad_share)
    yield from judge(lake, "raw_ticks", part, [*run_checks(batches, checks), unparsed])


def account_facts(importer: Importer) -> dict[str, Any]:
    """What the import met: lines, counts, and the first of the lines that could not be read."""
    account = importer.account
    first = [[*bad[:3], bad.line[:_LONGEST_SHOWN]] for bad in account.quarantined[:MOST_SHOWN]]
    return {"lines": account.lines, "quarantined": account.bad, **account.counts, "quarantine": first}


def resume_importer(importer: Importer, lake: Lake, part: Part) -> bool:
    """Let the importer go on from the day before; False, and a cold start, where the lake has no such day."""
    state = state_before(lake, "raw_ticks", part)
    if state is None:
        return False
    importer.restore(json.loads(state["decoder"].tobytes()))
    return True


def state_before(lake: Lake, dataset: str, part: Part) -> State | None:
    """Closing state of the day before, None for a cold start. Raises LakeError if that day did not pass."""
    before = day_beside(part, -1)
    return lake.state(dataset, *before) if lake.holds(dataset, *before) else None


def importer_arrays(importer: Importer) -> State:
    """An importer's state as the lake keeps it: the bytes of its JSON."""
    return {"decoder": np.frombuffer(json.dumps(importer.state(), sort_keys=True).encode(), np.uint8)}
