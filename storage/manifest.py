"""What a partition of the lake is called, what its manifest says of it, and whether that lets it be used."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from market.errors import LakeError

MANIFEST_VERSION: Final = 2  # 1: before columns were recorded
UNCHECKED: Final = "unchecked"
PASSED: Final = "passed"
FAILED: Final = "failed"
_REBUILD: Final = "remove the partition and build it again with main.py run"
_Stamp = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]  # what ns UTC can say
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class Place(NamedTuple):
    """Where a partition stands in the lake."""

    dataset: str
    symbol: str
    key: str  # UTC date, or a slice

    @property
    def name(self) -> str:
        """dataset/symbol/key, as messages and pages print it."""
        return "/".join(self)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a partition holds, and whether it may be used."""

    dataset: str
    symbol: str
    key: str  # UTC date, or a slice
    file: str
    sha256: str
    bytes: int
    rows: int
    first_ts: _Stamp  # ns UTC; 0 where the partition has no rows or no time column
    last_ts: _Stamp
    schema_sha: str
    state_file: str | None  # closing state, from which the day after goes on
    state_sha256: str | None
    verdict: str = UNCHECKED
    checks: dict[str, bool] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    schema_version: int = MANIFEST_VERSION
    columns: dict[str, str] = field(default_factory=dict)  # name -> Polars type, in order; empty if version 1 wrote it
    original_sha256: str | None = None  # of the file that these rows were first written to, if compaction replaced it

    @property
    def place(self) -> Place:
        """Where the partition stands."""
        return Place(self.dataset, self.symbol, self.key)

    @property
    def name(self) -> str:
        """dataset/symbol/key, as messages and pages print it."""
        return self.place.name

    @property
    def rows_sha256(self) -> str:
        """What later stages know the rows by; compaction does not change it."""
        return self.original_sha256 or self.sha256

    @property
    def files(self) -> dict[str, str]:
        """Sha256 of each data file by its name."""
        state = {self.state_file: self.state_sha256} if self.state_file and self.state_sha256 else {}
        return {self.file: self.sha256, **state}


def require_names(*names: str) -> None:
    """Raises LakeError if one of ``names`` could leave the lake, or be mistaken for something else in it."""
    for name in names:
        if not _NAME.fullmatch(name):
            raise LakeError(f"{name!r} cannot name a folder of the lake: only letters, digits, _ . and - may")


def dump_manifest(manifest: Manifest) -> bytes:
    """The bytes of ``manifest.json``; a figure that is not finite, such as a share of no rows, is null in it."""
    return json.dumps(_finite(asdict(manifest)), indent=1, allow_nan=False).encode()


def load_manifest(content: bytes, place: Place) -> Manifest:
    """The manifest of a partition from the bytes of its ``manifest.json``; one of version 1 is brought up to date.

    Raises LakeError if they are none, are those of another partition, or were written by a later version.
    """
    try:
        values = msgspec.json.decode(content, type=dict[str, Any])
        version = values.setdefault("schema_version", 1)
        if version not in range(1, MANIFEST_VERSION + 1):
            raise LakeError(
                f"the manifest of {place.name} has version {version}, this program knows 1 to {MANIFEST_VERSION}: "
                f"update the program, or {_REBUILD}"
            )
        manifest = msgspec.convert({**values, "schema_version": MANIFEST_VERSION}, Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise LakeError(f"the manifest of {place.name} cannot be read: {error}; {_REBUILD}") from error
    if manifest.place != place:
        raise LakeError(f"the manifest of {place.name} is that of {manifest.name}")
    return manifest


def require_verdict(manifest: Manifest, unchecked: bool) -> None:
    """Raises LakeError unless the checks let the partition be used, or have yet to run and that is allowed."""
    if manifest.verdict == PASSED or (unchecked and manifest.verdict == UNCHECKED):
        return
    failed = ", ".join(name for name, passed in manifest.checks.items() if not passed)
    which = f" ({failed})" if failed else ""
    raise LakeError(f"{manifest.name} may not be used: its checks are {manifest.verdict}{which}")


def require_one_schema(manifests: Sequence[Manifest]) -> None:
    """Raises LakeError if two partitions hold different tables."""
    first = manifests[0]
    for manifest in manifests:
        if manifest.schema_sha != first.schema_sha:
            raise LakeError(
                f"{manifest.name} has schema {manifest.schema_sha[:12]}, "
                f"{first.name} has {first.schema_sha[:12]}: build them again"
            )


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
