"""What ``main.py lake`` does and prints: the list of the partitions, their faults, what compaction saved."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from storage.compaction import compact_all
from storage.lake import Lake, Manifest
from storage.progress import Counting

_HEADINGS: Final = ("partition", "rows", "bytes", "verdict", "from", "to")


class Report(NamedTuple):
    """An answer for people and for programs."""

    text: str
    plain: dict[str, Any]  # what JSON can hold
    sound: bool = True


def list_partitions(lake: Lake) -> Report:
    """Every partition with its rows, bytes, verdict and time range; those that cannot be read are named."""
    manifests, faults = lake.manifests()
    rows, size = sum(manifest.rows for manifest in manifests), sum(manifest.bytes for manifest in manifests)
    lines = [partition_table(manifests), *(f"unreadable: {fault}" for fault in faults)]
    text = "\n".join([*lines, f"{len(manifests)} partitions, {rows:,} rows, {size:,} bytes"])
    return Report(text, {"partitions": [partition_facts(manifest) for manifest in manifests], "unreadable": faults})


def verify(lake: Lake) -> Report:
    """Reads every byte of the lake, and says what is not as its manifest promises, one line a fault."""
    faults, count = lake.verify(Counting("partitions verified")), len(lake.places())
    text = "\n".join([*faults, f"{count} partitions, {len(faults)} faults"])
    return Report(text, {"partitions": count, "faults": faults}, not faults)


def compact(lake: Lake) -> Report:
    """Rewrites what is not stored as the lake stores it today, and says what that saved and what could not be read."""
    (done, faults), count = compact_all(lake, Counting("partitions looked at")), len(lake.places())
    before, after = sum(part.bytes_before for part in done), sum(part.bytes_after for part in done)
    lines = [f"{part.name}  {part.bytes_before:,} -> {part.bytes_after:,} bytes" for part in done]
    lines += [f"skipped: {fault}" for fault in faults]
    text = "\n".join([*lines, f"{len(done)} of {count} partitions rewritten, {before:,} -> {after:,} bytes"])
    plain = {"partitions": count, "rewritten": [part._asdict() for part in done], "skipped": faults}
    return Report(text, plain, not faults)


COMMANDS: Final[dict[str, Callable[[Lake], Report]]] = {
    "list": list_partitions,
    "verify": verify,
    "compact": compact,
}


def partition_facts(manifest: Manifest) -> dict[str, Any]:
    """A partition's line as plain values, for programs."""
    return {
        "partition": manifest.name,
        "rows": manifest.rows,
        "bytes": manifest.bytes,
        "verdict": manifest.verdict,
        "first_ts": manifest.first_ts,
        "last_ts": manifest.last_ts,
        "sha256": manifest.sha256,
        "columns": manifest.columns,
    }


def partition_table(manifests: Sequence[Manifest]) -> str:
    """One line a partition: name, rows, bytes, verdict, and the UTC time of its first and last row."""
    lines = [_HEADINGS, *map(_cells, manifests)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(_aligned, line, widths, range(len(line)))).rstrip() for line in lines)


def _cells(manifest: Manifest) -> tuple[str, ...]:
    span = (_time(manifest.first_ts), _time(manifest.last_ts))
    return manifest.name, f"{manifest.rows:,}", f"{manifest.bytes:,}", manifest.verdict, *span


def _time(stamp_ns: int) -> str:
    return f"{datetime.fromtimestamp(stamp_ns // 1_000_000_000, UTC):%Y-%m-%d %H:%M:%S}" if stamp_ns else "-"


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column in (1, 2) else cell.ljust(width)
