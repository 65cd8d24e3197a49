"""Model bundles: the folder that carries a fitted model from research to whoever forecasts with it.

Nothing in a bundle is executable: JSON, safetensors and arrays without pickle. A bundle is published by a rename,
and read back only when every file has its promised hash and the golden rows give the promised forecasts. A network's
ONNX file is for other programs: it is hashed, never run here, and left out of what goes to a runner.
"""

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from features.catalogue import content_sha, difference
from market.errors import BundleError, ConfigError, ModelError, OtherCatalogue
from modeling.calibration import Calibration
from modeling.certainty import Certainty
from modeling.forecast import Floats
from modeling.snapshot import ModelSnapshot
from modeling.streaming import forecaster_from
from storage.files import publish_folder

VERSION: Final = 5
READABLE: Final = (5,)  # the calibration of older ones did not learn in a session
TOLERANCE: Final = 1e-5  # between a golden forecast and the one computed here
MANIFEST: Final = "manifest.json"
FILES: Final = ("weights.safetensors", "normalizer.json", "calibration.json", "policy.json", "golden.npz")
ONNX: Final = "model.onnx"  # of networks; a runner's copy of the bundle lacks it
_STAMPS: Final = ("catalogue_sha", "config_sha", "data_fingerprint", "code_version", "created", "latency_budget_us")


@dataclass(frozen=True)
class Golden:
    """Rows and what the model forecast on them where it was made."""

    values: Floats  # (rows, features)
    valid: NDArray[np.bool_]  # (rows,)
    forecasts: Floats  # (rows, forecast size)


@dataclass(frozen=True)
class Bundle:
    """A model, what its inputs and decisions need, and where it comes from."""

    model: ModelSnapshot
    normalizer: Mapping[str, Any]  # content of the feature catalogue; the normaliser's state belongs to the stream
    policy: Mapping[str, Any]  # JSON-able: the decision rules it was searched and tested with
    golden: Golden
    metrics: Mapping[str, float]
    catalogue_sha: str
    config_sha: str
    data_fingerprint: str
    code_version: str
    created: str  # UTC, ISO 8601
    latency_budget_us: float  # of one step
    onnx: bytes | None = None  # of networks, what modeling.export makes; None also in a runner's copy


def golden_rows(model: ModelSnapshot, values: Floats, valid: NDArray[np.bool_]) -> Golden:
    """Golden vectors over some consecutive rows.

    Raises BundleError if they are too few for a usable forecast.
    """
    forecaster = forecaster_from(model)
    forecasts = forecaster.run(values, valid)
    if not forecaster.shape.ready(forecasts).any():
        raise BundleError(f"{len(values)} golden rows give no forecast; the model needs {forecaster.receptive_rows}")
    return Golden(np.ascontiguousarray(values, np.float32), np.ascontiguousarray(valid, np.bool_), forecasts)


def write_bundle(folder: Path, bundle: Bundle) -> str:
    """Publish a bundle in place of whatever ``folder`` held; returns its sha, that of its manifest.

    Raises BundleError if its golden rows do not give their forecasts, or the disk does not take it.
    """
    _prove(bundle.model, bundle.golden)
    contents = _contents(bundle)
    manifest = _json(_manifest(bundle, contents))
    try:
        publish_folder(folder, {**contents, MANIFEST: manifest})
    except OSError as error:
        raise BundleError(f"cannot write bundle {folder.name}: {os.strerror(error.errno or 0)}") from error
    return hashlib.sha256(manifest).hexdigest()


def bundle_sha(folder: Path) -> str:
    """The sha that names a bundle: that of its manifest, which holds the sha of everything else.

    Raises BundleError if there is none.
    """
    return hashlib.sha256(_bytes(folder, MANIFEST)).hexdigest()


def read_bundle(folder: Path, catalogue: Mapping[str, Any]) -> Bundle:
    """The bundle in ``folder``, proved: hashes, list of files, feature catalogue and golden forecasts.

    catalogue : ours, what features.catalogue.catalogue_content returns
    Raises BundleError, naming what is wrong, if any of them is not as promised.
    """
    try:
        manifest = json.loads(_bytes(folder, MANIFEST))
        contents = _verified(folder, manifest)
        if manifest["catalogue_sha"] != (ours := content_sha(catalogue)):
            theirs = json.loads(contents["normalizer.json"])
            raise OtherCatalogue(
                f"bundle {folder.name} was made for feature catalogue {manifest['catalogue_sha'][:12]}, "
                f"this is {ours[:12]}: {difference(theirs, catalogue) or 'it does not say what differs'}"
            )
        bundle = _assemble(manifest, contents)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"bundle {folder.name} cannot be read: {error}") from error
    _prove(bundle.model, bundle.golden)
    return bundle


def _contents(bundle: Bundle) -> dict[str, bytes]:
    from safetensors.numpy import save

    arrays = io.BytesIO()
    np.savez_compressed(arrays, **vars(bundle.golden))
    return {
        "weights.safetensors": save(
            {name: np.ascontiguousarray(array) for name, array in bundle.model.weights.items()}
        ),
        "normalizer.json": _json(bundle.normalizer),
        "calibration.json": _json(_calibration(bundle.model)),
        "policy.json": _json(bundle.policy),
        "golden.npz": arrays.getvalue(),
        **({} if bundle.onnx is None else {ONNX: bundle.onnx}),
    }


def _calibration(model: ModelSnapshot) -> dict[str, Any]:
    certainty = {} if model.certainty is None else {"certainty": model.certainty.as_dict()}
    return model.calibration.as_dict() | certainty


def _json(content: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(content, indent=1, sort_keys=True, allow_nan=False).encode()
    except (ValueError, TypeError) as error:
        raise BundleError(f"a bundle takes finite numbers, text and lists of them: {error}") from error


def _manifest(bundle: Bundle, contents: Mapping[str, bytes]) -> dict[str, Any]:
    return {
        "bundle_version": VERSION,
        "kind": bundle.model.kind,
        "spec": dict(bundle.model.spec),
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
        "metrics": dict(bundle.metrics),
        **{name: getattr(bundle, name) for name in _STAMPS},
    }


def _bytes(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise BundleError(f"bundle {folder.name} has no readable {name}") from error


def _verified(folder: Path, manifest: dict[str, Any]) -> dict[str, bytes]:
    if manifest["bundle_version"] not in READABLE:
        raise BundleError(f"bundle {folder.name} has version {manifest['bundle_version']}, readable are {READABLE}")
    if set(manifest["files"]) - {ONNX} != set(FILES):
        raise BundleError(f"bundle {folder.name} promises files {sorted(manifest['files'])}, expected {sorted(FILES)}")
    present = {path.name for path in folder.iterdir()}
    allowed = {*FILES, MANIFEST} | (present & {ONNX} & set(manifest["files"]))
    if present != allowed:
        raise BundleError(f"bundle {folder.name} lacks files or holds others: {sorted(present ^ allowed)}")
    contents = {name: _bytes(folder, name) for name in present - {MANIFEST}}
    for name, content in contents.items():
        if hashlib.sha256(content).hexdigest() != manifest["files"][name]:
            raise BundleError(f"bundle {folder.name} is torn: {name} does not have its promised sha256")
    return contents


def _assemble(manifest: dict[str, Any], contents: Mapping[str, bytes]) -> Bundle:
    fitted = json.loads(contents["calibration.json"])
    certainty = _certainty(fitted["certainty"]) if "certainty" in fitted else None
    weights = _weights(contents["weights.safetensors"])
    return Bundle(
        model=ModelSnapshot(manifest["kind"], manifest["spec"], weights, Calibration.from_dict(fitted), certainty),
        normalizer=json.loads(contents["normalizer.json"]),
        policy=json.loads(contents["policy.json"]),
        golden=_golden(contents["golden.npz"]),
        metrics=manifest["metrics"],
        onnx=contents.get(ONNX),
        **{name: manifest[name] for name in _STAMPS},
    )


def _certainty(stored: Mapping[str, Any]) -> Certainty:
    try:
        return Certainty.from_dict(stored)
    except (ModelError, ConfigError) as error:
        raise BundleError(f"calibration.json holds no certainty to begin with: {error}") from error


def _weights(content: bytes) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(content)
    except SafetensorError as error:
        raise BundleError(f"weights.safetensors cannot be read: {error}") from error


def _golden(content: bytes) -> Golden:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return Golden(**{name: archive[name] for name in ("values", "valid", "forecasts")})
    except (zipfile.BadZipFile, ValueError, KeyError) as error:
        raise BundleError(f"golden.npz cannot be read: {error}") from error


def _prove(model: ModelSnapshot, golden: Golden) -> None:
    """Raise BundleError unless the model forecasts what the golden rows promise."""
    try:
        forecaster = forecaster_from(model)
        forecasts = forecaster.run(golden.values, golden.valid)
    except (ModelError, KeyError, TypeError, ValueError) as error:
        raise BundleError(f"the bundle's model cannot be run: {error}") from error
    if forecasts.shape != golden.forecasts.shape or not forecaster.shape.ready(forecasts).any():
        raise BundleError(f"golden forecasts of shape {golden.forecasts.shape}, the model makes {forecasts.shape}")
    worst = float(np.abs(forecasts - golden.forecasts).max())
    if not worst <= TOLERANCE:
        raise BundleError(f"the golden rows' forecasts are off by {worst:.3g}, allowed is {TOLERANCE:g}")
