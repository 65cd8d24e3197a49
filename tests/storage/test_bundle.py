"""Bundles: what is written comes back, and nothing else is accepted."""

import hashlib
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from features.catalogue import content_sha
from market.errors import BundleError
from modeling.calibration import identity
from modeling.snapshot import ModelSnapshot, ensemble_of
from modeling.streaming import forecaster_from
from storage.bundle import FILES, Bundle, bundle_sha, golden_rows, read_bundle, write_bundle
from storage.deployment import pack, unpack
from tests.builders_modeling import random_model, random_rows
from tests.builders_trading import CERTAINTY

CATALOGUE = {"version": "2.0", "features": [{"name": "a", "unit": "ms"}], "parameters": {"row_interval_ms": 20}}


def _bundle() -> Bundle:
    model = random_model()
    values = random_rows(80)
    return Bundle(
        model=model,
        normalizer=CATALOGUE,
        policy={"horizon_ms": 250},
        golden=golden_rows(model, values, np.ones(80, np.bool_)),
        metrics={"macro_f1": 0.5},
        catalogue_sha=content_sha(CATALOGUE),
        config_sha="d" * 64,
        data_fingerprint="e" * 64,
        code_version="0.1.0",
        created="2024-08-09T00:05:03Z",
        latency_budget_us=60.0,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "bundle", _bundle())
    return tmp_path / "bundle"


def _forge(folder: Path, name: str, content: bytes) -> None:
    """Replace a file and promise its new hash."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = hashlib.sha256(content).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_bundle_comes_back_as_written(folder):
    written, read = _bundle(), read_bundle(folder, CATALOGUE)
    assert (read.model.kind, dict(read.model.spec)) == (written.model.kind, dict(written.model.spec))
    for name in ("policy", "normalizer", "metrics", "created", "config_sha", "latency_budget_us"):
        assert getattr(read, name) == getattr(written, name)
    values, valid = random_rows(90, seed=5), np.ones(90, np.bool_)
    expected = forecaster_from(written.model).run(values, valid)
    assert np.array_equal(forecaster_from(read.model).run(values, valid), expected)


def test_same_bundle_has_the_same_sha_and_replaces_itself(folder):
    sha = bundle_sha(folder)
    assert write_bundle(folder, _bundle()) == sha == bundle_sha(folder)
    assert [path.name for path in folder.parent.iterdir()] == ["bundle"]


def test_another_metric_gives_another_sha(folder):
    assert write_bundle(folder, replace(_bundle(), metrics={"macro_f1": 0.6})) != write_bundle(folder, _bundle())


@pytest.mark.parametrize(
    "name", ["weights.safetensors", "normalizer.json", "calibration.json", "policy.json", "golden.npz"]
)
def test_one_changed_byte_is_refused(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(BundleError, match=f"torn: {name}"):
        read_bundle(folder, CATALOGUE)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"version": "3.0"}, "catalogue 2.0 instead of 3.0"),
        ({"features": [{"name": "a", "unit": "s"}]}, "a means something else"),
        ({"features": [{"name": "b", "unit": "ms"}]}, "a is not one of ours, b is unknown to it"),
        ({"parameters": {"row_interval_ms": 50}}, "row_interval_ms=20 instead of 50"),
        ({"parameters": {}}, "row_interval_ms=20 instead of None"),
    ],
    ids=["version", "meaning", "columns", "setting", "no setting"],
)
def test_another_catalogue_is_refused_and_the_difference_named(folder, change, named):
    with pytest.raises(BundleError, match=f"made for feature catalogue .*: {named}"):
        read_bundle(folder, CATALOGUE | change)


def test_extra_file_is_refused(folder):
    (folder / "model.pkl").write_bytes(b"")
    with pytest.raises(BundleError, match="model.pkl"):
        read_bundle(folder, CATALOGUE)


def test_missing_file_is_refused(folder):
    (folder / "policy.json").unlink()
    with pytest.raises(BundleError, match="policy.json"):
        read_bundle(folder, CATALOGUE)


def test_missing_bundle_is_one_clear_error(tmp_path):
    with pytest.raises(BundleError, match="no readable manifest"):
        read_bundle(tmp_path / "nothing", CATALOGUE)


def test_pickled_golden_rows_are_refused(folder):
    stream = io.BytesIO()
    np.savez(stream, values=np.array([{}], object), valid=np.ones(1, bool), forecasts=np.zeros((1, 1)))
    _forge(folder, "golden.npz", stream.getvalue())
    with pytest.raises(BundleError, match="golden.npz cannot be read"):
        read_bundle(folder, CATALOGUE)


def test_golden_rows_that_other_weights_made_are_refused(folder):
    other = replace(_bundle(), model=random_model(seed=9))
    with pytest.raises(BundleError, match="golden rows' forecasts are off"):
        write_bundle(folder, other)
    assert read_bundle(folder, CATALOGUE).metrics == {"macro_f1": 0.5}


def test_forged_calibration_fails_the_golden_rows(folder):
    stored = json.loads((folder / "calibration.json").read_text())
    stored["scale"][0][0] += 0.1
    _forge(folder, "calibration.json", json.dumps(stored).encode())
    with pytest.raises(BundleError, match="golden rows' forecasts are off"):
        read_bundle(folder, CATALOGUE)


@pytest.mark.parametrize("key", ["kind", "spec", "files", "catalogue_sha", "created", "bundle_version"])
def test_manifest_without_a_key_is_refused(folder, key):
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest[key]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=key):
        read_bundle(folder, CATALOGUE)


def test_weights_of_another_shape_are_refused(folder):
    from safetensors.numpy import load, save

    weights = load((folder / "weights.safetensors").read_bytes())
    weights["fuse.bias"] = np.zeros(3, np.float32)
    _forge(folder, "weights.safetensors", save(weights))
    with pytest.raises(BundleError, match=r"'fuse.bias' have shape \(3,\)"):
        read_bundle(folder, CATALOGUE)


@pytest.mark.parametrize(
    ("key", "value"),
    [("columns", None), ("dilations", [[-3, 2], [2, 4], [5, 10]]), ("dilations", [[], [], []]), ("width", 9)],
)
def test_spec_that_fits_no_weights_is_refused(folder, key, value):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["spec"][key] = value
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="cannot be run"):
        read_bundle(folder, CATALOGUE)


def test_metric_that_is_not_a_number_is_refused_and_the_old_bundle_stays(folder):
    with pytest.raises(BundleError, match="finite numbers"):
        write_bundle(folder, replace(_bundle(), metrics={"mcc": float("nan")}))
    assert read_bundle(folder, CATALOGUE).metrics == {"macro_f1": 0.5}


def test_golden_rows_shorter_than_the_receptive_field_are_refused():
    with pytest.raises(BundleError, match="10 golden rows give no forecast"):
        golden_rows(random_model(), random_rows(10), np.ones(10, np.bool_))


def test_bundle_is_read_and_run_without_torch(folder):
    code = (
        "import sys; from pathlib import Path; from storage.bundle import read_bundle;"
        f"read_bundle(Path({str(folder)!r}), {CATALOGUE!r});"
        "assert not {'torch', 'pytorch_lightning', 'optuna'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def _exported(folder: Path, onnx: bytes = b"an export") -> Path:
    write_bundle(folder, replace(_bundle(), onnx=onnx))
    return folder


def test_bundle_carries_an_export_and_a_runner_does_without(folder):
    assert read_bundle(_exported(folder), CATALOGUE).onnx == b"an export"
    sha = bundle_sha(folder)
    assert set(unpack(pack(folder))) == {"manifest.json", *FILES}
    (folder / "model.onnx").unlink()
    read = read_bundle(folder, CATALOGUE)
    assert (read.onnx, bundle_sha(folder)) == (None, sha)


def test_export_that_was_changed_or_never_promised_is_refused(folder):
    (_exported(folder) / "model.onnx").write_bytes(b"another")
    with pytest.raises(BundleError, match="torn: model.onnx"):
        read_bundle(folder, CATALOGUE)
    write_bundle(folder, _bundle())
    (folder / "model.onnx").write_bytes(b"an export")
    with pytest.raises(BundleError, match="holds others: .*model.onnx"):
        read_bundle(folder, CATALOGUE)


@pytest.mark.parametrize("version", [1, 4, 6])
def test_bundle_of_another_version_is_refused(folder, version):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "bundle_version": version}))
    with pytest.raises(BundleError, match=f"has version {version}, readable are"):
        read_bundle(folder, CATALOGUE)


def test_certainty_comes_back_as_written_and_one_that_cannot_be_used_is_refused(folder):
    write_bundle(folder, replace(_bundle(), model=replace(random_model(), certainty=CERTAINTY)))
    assert read_bundle(folder, CATALOGUE).model.certainty.as_dict() == CERTAINTY.as_dict()
    fitted = json.loads((folder / "calibration.json").read_text())
    fitted["certainty"]["parameters"]["window"] = 60
    _forge(folder, "calibration.json", json.dumps(fitted).encode())
    with pytest.raises(BundleError, match="100 scores for a conformal window of 60"):
        read_bundle(folder, CATALOGUE)
    fitted["certainty"] = CERTAINTY.as_dict() | {"calibration": {"scale": 1.0, "shifts": [0.0, 0.0]}}
    _forge(folder, "calibration.json", json.dumps(fitted).encode())
    with pytest.raises(BundleError, match="is no state of a calibration"):
        read_bundle(folder, CATALOGUE)


def _write_ensemble(folder: Path) -> ModelSnapshot:
    members = [replace(random_model(seed), calibration=identity(3)) for seed in range(3)]
    model = ensemble_of(members, np.tile([0.2, 0.3, 0.5], (3, 1)))
    write_bundle(
        folder, replace(_bundle(), model=model, golden=golden_rows(model, random_rows(80), np.ones(80, np.bool_)))
    )
    return model


@pytest.mark.parametrize("name", FILES)
def test_ensemble_with_a_changed_byte_or_of_another_catalogue_is_refused_in_one_line(folder, name):
    _write_ensemble(folder)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BundleError, match=f"torn: {name} does not have its promised sha256"):
        read_bundle(folder, CATALOGUE)
    (folder / name).write_bytes(content)
    with pytest.raises(BundleError, match="made for feature catalogue .*, this is"):
        read_bundle(folder, CATALOGUE | {"version": "9.9"})


def test_ensemble_that_does_not_say_what_its_members_count_is_refused(folder):
    from safetensors.numpy import load, save

    _write_ensemble(folder)
    weights = load((folder / "weights.safetensors").read_bytes())
    _forge(folder, "weights.safetensors", save({key: array for key, array in weights.items() if key != "shares"}))
    with pytest.raises(BundleError, match="does not say what its members count"):
        read_bundle(folder, CATALOGUE)


def test_ensemble_comes_back_as_written(folder):
    model, values = _write_ensemble(folder), random_rows(80)
    expected = forecaster_from(model).run_members(values, np.ones(80, np.bool_))
    read = forecaster_from(read_bundle(folder, CATALOGUE).model)
    assert np.array_equal(read.run_members(values, np.ones(80, np.bool_)), expected)
