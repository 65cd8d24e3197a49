"""Partitions written under earlier rules, or in many small row groups, rewritten as the lake writes them today."""

from typing import NamedTuple

from market.errors import LakeError
from storage.lake import Lake
from storage.manifest import Place
from storage.parquet import is_tuned, read_row_groups
from storage.progress import Told, untold


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


def compact_all(lake: Lake, told: Told = untold) -> tuple[list[Compacted], list[str]]:
    """Compact every partition of a lake: those that were rewritten, and one line for each that could not be."""
    rewritten, faults = list[Compacted](), list[str]()
    places = lake.places()
    for place in told(places, len(places)):
        try:
            done = compact(lake, place)
        except LakeError as error:
            faults.append(str(error))
        else:
            rewritten += [done] if done else []
    return rewritten, faults
