"""How a stage leaves its table in the lake, and how its checks put their verdict on it."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import dagster as dg
import polars as pl

from assets.checks import Verdict
from assets.partitions import Part
from market.events import Events, empty_events
from market.schema import events_to_frame, schema_sha
from storage.files import file_sha256
from storage.lake import PASSED, Lake, Manifest, State

_ROOT: Final = Path(__file__).resolve().parents[1]
INPUTS: Final = "inputs"  # metadata that says what a partition was built from


@dataclass(frozen=True, slots=True)
class Table:
    """What a stage made: rows, the state that the next day goes on from, and facts for the UI and the summary."""

    frame: pl.DataFrame
    facts: Mapping[str, Any]
    state: State | None = None
    pages: Mapping[str, dg.MetadataValue] = field(default_factory=dict)  # shown in the UI, not kept in the manifest


class Closing(NamedTuple):
    """What a stage knows once its last batch is made; see Table."""

    facts: Mapping[str, Any]
    state: State
    pages: Mapping[str, dg.MetadataValue] = MappingProxyType({})


def publish_batches(
    lake: Lake, dataset: str, part: Part, batches: Iterable[Events], close: Callable[[], Closing], inputs: str
) -> dg.MaterializeResult:
    """Write a table of events to the lake batch by batch, unchecked, and tell the UI about it; see publish_frames."""
    frames = map(events_to_frame, chain([empty_events(0)], batches))
    return publish_frames(lake, dataset, part, frames, close, inputs)


def publish_frames(
    lake: Lake, dataset: str, part: Part, frames: Iterator[pl.DataFrame], close: Callable[[], Closing], inputs: str
) -> dg.MaterializeResult:
    """Write a table to the lake frame by frame, unchecked, and tell the UI about it.

    frames : at least one, which may be empty; all of one schema
    close : called after the last frame; what it raises, as what a frame raises, leaves the old partition as it was
    """
    first = next(frames)
    with lake.writing(dataset, part.symbol, part.key, schema_sha=schema_sha(first.schema)) as partition:
        for frame in chain([first], frames):
            partition.append(frame)
        closing = close()
        manifest = partition.commit(closing.state, {**closing.facts, INPUTS: inputs})
    return _result(manifest, first.schema, {**closing.facts, **closing.pages})


def publish(lake: Lake, dataset: str, part: Part, table: Table, inputs: str) -> dg.MaterializeResult:
    """Write a table to the lake, unchecked, and tell the UI about it."""
    manifest = lake.write(
        dataset,
        part.symbol,
        part.key,
        table.frame,
        schema_sha=schema_sha(table.frame.schema),
        state=table.state,
        metadata={**table.facts, INPUTS: inputs},
    )
    return _result(manifest, table.frame.schema, {**table.facts, **table.pages})


def _result(manifest: Manifest, schema: Mapping[str, object], facts: Mapping[str, Any]) -> dg.MaterializeResult:
    columns = [dg.TableColumn(name, str(dtype)) for name, dtype in schema.items()]
    shown: dict[str, Any] = {
        "dagster/row_count": manifest.rows,
        "dagster/column_schema": dg.TableSchema(columns),
        "sha256": manifest.sha256,
        "bytes": manifest.bytes,
    }
    return dg.MaterializeResult(metadata={**shown, **facts})


def blocking(asset: str, **holds: str) -> list[dg.AssetCheckSpec]:
    """Checks of one asset that stop whatever follows it, each with a line that says what holds where it passes."""
    return [dg.AssetCheckSpec(name, asset=asset, blocking=True, description=line) for name, line in holds.items()]


def judge(lake: Lake, dataset: str, part: Part, verdicts: Sequence[Verdict]) -> Iterator[dg.AssetCheckResult]:
    """Write the verdict into the partition's manifest, then report each check."""
    checks = {verdict.name: bool(verdict.passed) for verdict in verdicts}
    lake.set_verdict(dataset, part.symbol, part.key, all(checks.values()), checks)
    for verdict in verdicts:
        pages = {name: dg.MetadataValue.md(page) for name, page in verdict.pages.items()}
        yield dg.AssetCheckResult(
            check_name=verdict.name,
            asset_key=dataset,
            passed=bool(verdict.passed),
            metadata={**verdict.facts, **pages},
        )


def passed(lake: Lake, dataset: str, part: Part) -> Manifest | None:
    """The manifest of a partition that may be used; None if there is none, or its files are not as it promises."""
    if not lake.intact(dataset, part.symbol, part.key):
        return None
    manifest = lake.manifest(dataset, part.symbol, part.key)
    return manifest if manifest.verdict == PASSED else None


def content_shas(manifest: Manifest | None) -> list[str | None]:
    """What a later stage can see of a partition: its rows and its closing state."""
    return [manifest.rows_sha256, manifest.state_sha256] if manifest else []


def inputs_sha(stage: str, settings: Sequence[Any], upstream: Any, rooms: Sequence[str]) -> str:
    """Sha256 over everything that a partition is made from: settings, upstream content and the rooms' code.

    settings : frozen dataclasses or plain JSON values
    """
    plain = [asdict(part) if hasattr(part, "__dataclass_fields__") else part for part in settings]
    content = {"stage": stage, "settings": plain, "upstream": upstream, "code": [code_sha(room) for room in rooms]}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@cache
def code_sha(room: str) -> str:
    """Sha256 over the sources of a room."""
    digest = hashlib.sha256()
    for path in sorted((_ROOT / room).rglob("*.py")):
        digest.update(f"{path.relative_to(_ROOT).as_posix()}\0{file_sha256(path)}\0".encode())
    return digest.hexdigest()
