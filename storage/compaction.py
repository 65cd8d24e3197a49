"""Partitions written under earlier rules, or in many small row groups, rewritten as the lake writes them today."""

from typing import NamedTuple

from storage.lake import Lake
from storage.manifest import Place
from storage.parquet import is_tuned, read_row_groups


class Compacted(NamedTuple):
    """What became of one partition."""

    name: str
    bytes_before: int
    bytes_after: int


def compact(lake: Lake, place: Place) -> Compacted | None:
    """Rewrite a partition with the same rows, verdict and state; None where it already is as it should be.

    Raises LakeError if it is torn, or if another process is writing it; the old one then stays.
    """
    if is_tuned(lake.file(lake.manifest(*place))):
        return None
    with lake.writing(*place, schema_sha=lake.manifest(*place).schema_sha) as partition:
        old = lake.manifest(*place)  # again: now nobody else can replace it
        for rows in read_row_groups([lake.file(old)], None):
            partition.append(rows)
        new = partition.commit_compacted(old)
    return Compacted(place.name, old.bytes, new.bytes)


def compact_all(lake: Lake) -> list[Compacted]:
    """Compact every partition of a lake; those that were rewritten. Raises LakeError at the first torn one."""
    return [done for manifest in list(lake.manifests()) if (done := compact(lake, manifest.place))]
