"""Fitted venue models, one numbered version after another: never changed, never taken back, and proved when read.

``ROOT/SYMBOL/v000001/`` holds ``fit.json``, ``latency.npz`` where a table was fitted (arrays, no pickle), and
``manifest.json``: the sha256 of both, the journal that they come from, and the sha256 of the manifest before.
"""

import hashlib
import io
import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from backtest.answers import EffectiveRates, Share
from backtest.fits import Interval, VenueFit
from backtest.queue_fit import QueueFit
from market.errors import BacktestError, CorruptFile, DataError
from market.latency import LatencyTable, latency_table, legs_in
from storage.files import locked, publish_folder

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
FIT: Final = "fit.json"
TABLE: Final = "latency.npz"
_START: Final = "0" * 64  # what stands before the first version


class StoredFit(NamedTuple):
    """One version."""

    version: int
    journal: str  # fingerprint of the journal that it was fitted from
    created: str  # UTC, ISO 8601
    sha256: str  # of its manifest
    fit: VenueFit


class VenueModels:
    """Versions of each symbol's fitted venue models below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def versions(self, symbol: str) -> list[int]:
        """Numbers of the published versions, oldest first."""
        return sorted(int(path.name[1:]) for path in (self.root / symbol).glob("v[0-9]*"))

    def newest(self, symbol: str) -> StoredFit | None:
        """The newest version, None if there is none. Raises CorruptFile if it is not as it was written."""
        found = self.versions(symbol)
        return self.read(symbol, found[-1]) if found else None

    def read(self, symbol: str, version: int) -> StoredFit:
        """One version, proved.

        Raises DataError if there is no such version, CorruptFile if a file is missing, torn or changed.
        """
        folder = self._folder(symbol, version)
        if not folder.is_dir():
            raise DataError(f"{symbol} has no venue models of version {version}; there are {self.versions(symbol)}")
        raw = _bytes(folder, MANIFEST)
        manifest = _manifest(folder, raw)
        if (manifest["symbol"], manifest["version"]) != (symbol, version):
            raise CorruptFile(f"{folder} is version {manifest['version']} of {manifest['symbol']}")
        self._check_previous(symbol, version, manifest["previous"])
        contents = {name: _proved(folder, name, sha) for name, sha in manifest["files"].items()}
        sha = hashlib.sha256(raw).hexdigest()
        return StoredFit(version, manifest["journal"], manifest["created"], sha, _fit(folder, contents))

    def publish(self, symbol: str, fit: VenueFit, journal: str, now: datetime) -> StoredFit:
        """Add a version; readers see all of it or nothing. The newest one is returned where it says the same already.

        Raises CorruptFile if the newest version is not as it was written.
        """
        with locked(self.root / f".{symbol}.lock"):
            before = self.newest(symbol)
            if before and before.journal == journal and document(before.fit) == document(fit):
                return before
            contents = _contents(fit)
            version = before.version + 1 if before else 1
            created = now.astimezone(UTC).isoformat(timespec="seconds")
            manifest = {
                "format": FORMAT,
                "symbol": symbol,
                "version": version,
                "journal": journal,
                "created": created,
                "files": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
                "previous": before.sha256 if before else _START,
            }
            raw = _json({**manifest, "sha256": hashlib.sha256(_json(manifest)).hexdigest()})
            publish_folder(self._folder(symbol, version), {**contents, MANIFEST: raw})
        return StoredFit(version, journal, created, hashlib.sha256(raw).hexdigest(), fit)

    def _folder(self, symbol: str, version: int) -> Path:
        return self.root / symbol / f"v{version:06d}"

    def _check_previous(self, symbol: str, version: int, promised: str) -> None:
        folder = self._folder(symbol, version - 1)
        found = hashlib.sha256(_bytes(folder, MANIFEST)).hexdigest() if version > 1 else _START
        if found != promised:
            raise CorruptFile(f"{folder / MANIFEST} was changed after version {version} was written")


def _bytes(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise CorruptFile(f"{folder / name} cannot be read: {error.strerror}") from error


def _proved(folder: Path, name: str, promised: str) -> bytes:
    content = _bytes(folder, name)
    found = hashlib.sha256(content).hexdigest()
    if found != promised:
        raise CorruptFile(f"{folder / name} has sha256 {found[:12]}, promised {promised[:12]}")
    return content


def _manifest(folder: Path, raw: bytes) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(raw)
        own = manifest.pop("sha256")
    except (ValueError, KeyError, AttributeError) as error:
        raise CorruptFile(f"{folder / MANIFEST} is no manifest: {error}") from error
    if own != hashlib.sha256(_json(manifest)).hexdigest():
        raise CorruptFile(f"{folder / MANIFEST} was changed after it was written")
    if manifest["format"] != FORMAT:
        raise CorruptFile(f"{folder / MANIFEST} is of format {manifest['format']}, this version reads {FORMAT}")
    return manifest


def _contents(fit: VenueFit) -> dict[str, bytes]:
    contents = {FIT: _json(document(fit))}
    if fit.latency is not None:
        contents[TABLE] = _npz(fit.latency)
    return contents


def document(fit: VenueFit) -> dict[str, Any]:
    """All of a fit but its table, as JSON holds it."""
    return {
        "leg_quantiles_ns": {
            leg: {name: found._asdict() for name, found in quantiles.items()}
            for leg, quantiles in fit.leg_quantiles.items()
        },
        "rates": {name: share._asdict() for name, share in fit.rates._asdict().items()},
        "queue": fit.queue._asdict() if fit.queue else None,
        "lacking": fit.lacking,
        "left_out": fit.left_out,
    }


def _fit(folder: Path, contents: dict[str, bytes]) -> VenueFit:
    found = json.loads(contents[FIT])
    queue = found["queue"]
    if queue:
        queue = QueueFit(**{**queue, "power_interval": tuple(queue["power_interval"])})
    return VenueFit(
        _table(folder, contents[TABLE]) if TABLE in contents else None,
        {
            leg: {name: Interval(**values) for name, values in quantiles.items()}
            for leg, quantiles in found["leg_quantiles_ns"].items()
        },
        EffectiveRates(**{name: Share(**share) for name, share in found["rates"].items()}),
        queue,
        found["lacking"],
        found["left_out"],
    )


def _npz(table: LatencyTable) -> bytes:
    sizes = np.array([table.spacing_ns, table.block_rows], np.int64)
    stream = io.BytesIO()
    np.savez_compressed(stream, legs=legs_in(table), rates=table.rates, edges=table.edges, sizes=sizes)
    return stream.getvalue()


def _table(folder: Path, content: bytes) -> LatencyTable:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as found:
            spacing_ns, block_rows = found["sizes"].tolist()
            return latency_table(found["legs"], found["rates"], found["edges"], spacing_ns, block_rows)
    except (ValueError, KeyError, zipfile.BadZipFile, BacktestError) as error:
        raise CorruptFile(f"{folder / TABLE} is no latency table: {error}") from error


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, indent=1).encode() + b"\n"
